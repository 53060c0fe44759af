/* A fixed number of threads and a queue of tasks for them. */
#ifndef THREADPOOL_H
#define THREADPOOL_H

#include <stddef.h>

typedef struct threadpool_t threadpool_t;

typedef enum {
    threadpool_invalid = -1,
    threadpool_lock_failure = -2,
    threadpool_queue_full = -3,
    threadpool_shutdown = -4,
    threadpool_thread_failure = -5
} threadpool_error_t;

typedef enum { threadpool_graceful = 1, threadpool_wait = 2 } threadpool_flags_t;

threadpool_t *threadpool_create(int thread_count, size_t queue_size, int flags);

/* 0 or a threadpool_error_t. While the queue is full, waits if `flags` say so. */
int threadpool_add(threadpool_t *pool, void (*function)(void *), void *argument, int flags);

/* How many tasks no thread has taken yet. */
size_t threadpool_waiting(threadpool_t *pool);

/* Tells the threads to end, with threadpool_graceful after the last task. */
int threadpool_close(threadpool_t *pool, int flags);

/* Waits for the threads and gives everything back. */
int threadpool_destroy(threadpool_t *pool);

#endif
