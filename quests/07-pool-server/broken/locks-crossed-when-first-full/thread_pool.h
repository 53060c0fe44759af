/*
 * The workers, and the way back: a fixed number of threads that pop a task, compute, and hand the finished task back
 * through a list and an eventfd. Nothing in here knows what a socket is, and that is the point: a worker cannot send
 * to the wrong client if it cannot send.
 */
#ifndef THREAD_POOL_H
#define THREAD_POOL_H

#include "task_queue.h"

struct thread_pool {
    struct task_queue tasks;
    struct records records;
    pthread_t *threads;
    int workers; /* how many of `threads` have been started */

    pthread_mutex_t finished_lock; /* guards the list; held together with no other lock */
    struct task *first_finished;
    struct task **last_finished; /* where the next one is hooked in */
    int finished_fd;             /* eventfd, readable while there may be something in the list */
};

/* Starts the workers. On failure nothing is left behind, and errno says why. */
bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity);

/* Hands a task to the workers; waits while the queue is full. */
void thread_pool_submit(struct thread_pool *pool, struct task *task);

/* Takes all finished tasks as one list. To be called when finished_fd is readable; never waits. */
struct task *thread_pool_collect(struct thread_pool *pool);

/* Tells the workers to go home once the queue is empty. Does not wait for them. */
void thread_pool_close(struct thread_pool *pool);

/* Waits for the workers and gives everything back. Close first, and collect what is still owed. */
void thread_pool_destroy(struct thread_pool *pool);

/* Writes an answer line into a task; the newline is added here. */
void task_answer(struct task *task, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
