#include "thread_pool.h"

#include <errno.h>
#include <stdlib.h>

pthread_t reaper;

/* Joins the workers, as they end. */
static void *reap(void *argument)
{
    struct thread_pool *pool = argument;

    for (int i = 0; i < pool->workers; i++)
        pthread_join(pool->threads[i], NULL);
    return NULL;
}

/* All a worker ever does. It leaves this loop in one case only: the queue is closed, and empty. */
static void *worker(void *argument)
{
    struct thread_pool *pool = argument;
    void *task;

    while ((task = task_queue_pop(&pool->tasks)) != NULL)
        pool->work(task); /* no lock is held here: this is where the workers run side by side */
    return NULL;
}

bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity, void (*work)(void *task))
{
    pool->workers = 0;
    pool->work = work; /* all of this before the first thread, so that no worker can come too early to see it */
    pool->threads = calloc((size_t)workers, sizeof *pool->threads);
    if (pool->threads == NULL || !task_queue_init(&pool->tasks, capacity)) {
        free(pool->threads);
        errno = ENOMEM;
        return false;
    }
    for (; pool->workers < workers; pool->workers++) {
        int error = pthread_create(&pool->threads[pool->workers], NULL, worker, pool);
        if (error != 0) { /* those that run already are sent home; `workers` says how many that are */
            thread_pool_close(pool);
            thread_pool_join(pool);
            errno = error; /* pthread_create() returns its error and leaves errno alone */
            return false;
        }
    }
    int error = pthread_create(&reaper, NULL, reap, pool);
    if (error != 0) {
        thread_pool_close(pool);
        thread_pool_join(pool);
        errno = error;
    }
    return error == 0;
}

bool thread_pool_submit(struct thread_pool *pool, void *task)
{
    return task_queue_push(&pool->tasks, task);
}
