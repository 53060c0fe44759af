/* The end of the pool, in two steps. Between them the event loop collects and sends what the workers still finish. */
#include "thread_pool.h"

#include <stdlib.h>

/*
 * The flag and the broadcast are the queue's, under the queue's lock. What is queued stays queued: a worker gets NULL
 * only when the queue is closed and empty, so every task that was accepted is finished first.
 */
void thread_pool_close(struct thread_pool *pool)
{
    task_queue_close(&pool->tasks);
}

/* Join first: only then is it certain that nobody holds the lock, waits on a condition, or looks at the ring. */
void thread_pool_join(struct thread_pool *pool)
{
    for (int i = 0; i < pool->workers; i++)
        pthread_join(pool->threads[i], NULL);
    task_queue_destroy(&pool->tasks);
    free(pool->threads);
}
