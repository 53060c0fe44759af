/* The end of the pool, in two steps. Between them the event loop collects and sends what the workers still finish. */
#include "thread_pool.h"

#include <stdlib.h>

extern pthread_t reaper; /* thread_pool.c: it joins the workers */

void thread_pool_close(struct thread_pool *pool)
{
    task_queue_close(&pool->tasks);
}

void thread_pool_join(struct thread_pool *pool)
{
    pthread_join(reaper, NULL);
    task_queue_destroy(&pool->tasks);
    free(pool->threads);
}
