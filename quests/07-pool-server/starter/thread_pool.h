/*
 * The workers, and the way back: a fixed number of threads that pop a task, compute, and hand the finished task back
 * through a list and an eventfd.
 *
 * This is step 2 of the quest. Nothing in here knows what a socket is, and it should stay so: a worker cannot send to
 * the wrong client if it cannot send.
 */
#ifndef THREAD_POOL_H
#define THREAD_POOL_H

#include "task_queue.h"

struct thread_pool {
    struct task_queue tasks; /* has a lock of its own */
    pthread_t *threads;
    int workers; /* how many of `threads` have been started */

    pthread_mutex_t finished_lock; /* guards the list below */
    struct task *first_finished;
    struct task **last_finished; /* where the next one is hooked in */
    int finished_fd;             /* eventfd: readable while there may be something in the list; -1 until you make it */
};

/*
 * Starts all workers. False if that fails; then nothing is left behind.
 * Who: the main thread, before the first client. Never again later: the pool is fixed.
 */
bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity);

/*
 * Hands a task to the workers; waits while the queue is full.
 * Who: the event loop. From here on it must not touch the task, except the fields that are its own.
 */
void thread_pool_submit(struct thread_pool *pool, struct task *task);

/*
 * Takes all finished tasks as one list, linked by next_finished; NULL if there are none.
 * Who: the event loop, when finished_fd is readable. Never waits.
 */
struct task *thread_pool_collect(struct thread_pool *pool);

/*
 * Tells the workers to go home once the queue is empty. Never waits for them, and never makes them drop a task.
 * Who: the main thread, at shutdown.
 */
void thread_pool_close(struct thread_pool *pool);

/*
 * Waits for the workers (pthread_join), then gives everything back.
 * Who: the main thread, after close. Never before every finished task was collected.
 */
void thread_pool_destroy(struct thread_pool *pool);

/*
 * Writes an answer line into a task; the newline is added here. Given.
 * Who: the worker that has the task; the event loop for a task that no worker will see.
 */
void task_answer(struct task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
