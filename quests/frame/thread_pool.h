/*
 * The workers: a fixed number of threads, each of which pops a task, works on it, and pops the next one.
 *
 * What the work is, the pool does not know: it is told when it is started. And nothing in here knows what a socket is,
 * which is the point: a worker cannot send to the wrong client if it cannot send.
 */
#ifndef THREAD_POOL_H
#define THREAD_POOL_H

#include "task_queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct thread_pool {
    struct task_queue tasks; /* has a lock of its own */
    pthread_t *threads;      /* written before the first task, read after the last one: needs no lock */
    int workers;             /* how many of `threads` have been started */
    void (*work)(void *task); /* what a worker does with a task; is called with no lock held */
};

/* ---- thread_pool.c, lesson 02 ---- */

/*
 * Starts exactly `workers` threads, which wait for tasks. False: it could not be done; errno says why, and nothing is
 * left behind, neither a thread nor memory.
 * Who: the main thread, once, before the first client.
 */
bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity, void (*work)(void *task));

/*
 * Hands a task to the workers; waits while the queue is full. False: the pool is closed, and the task is the caller's
 * as before. Otherwise it belongs to a worker from here on.
 * Who: the event loop.
 */
bool thread_pool_submit(struct thread_pool *pool, void *task);

/* ---- shutdown.c, lesson 03 ---- */

/*
 * From now on no task is accepted, and workers that find the queue empty go home. Does not wait for them, and takes no
 * task away from them: the event loop goes on collecting what they finish. May be called twice.
 * Who: the main thread.
 */
void thread_pool_close(struct thread_pool *pool);

/*
 * Waits until every worker has ended, then destroys the queue and frees the memory. After close, once.
 * Who: the main thread, last of all.
 */
void thread_pool_join(struct thread_pool *pool);

#endif
