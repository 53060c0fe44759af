#include "threadpool.h"

#include <pthread.h>
#include <stdlib.h>

typedef enum { running, immediate_shutdown, graceful_shutdown } threadpool_shutdown_t;

typedef struct {
    void (*function)(void *);
    void *argument;
} threadpool_task_t;

struct threadpool_t {
    pthread_mutex_t lock;
    pthread_cond_t notify;
    pthread_cond_t room;
    pthread_t *threads;
    threadpool_task_t *queue;
    size_t queue_size, head, count;
    int thread_count;
    threadpool_shutdown_t shutdown;
};

static void *threadpool_thread(void *argument)
{
    threadpool_t *pool = argument;

    for (;;) {
        pthread_mutex_lock(&pool->lock);
        while (pool->count == 0 && pool->shutdown == running)
            pthread_cond_wait(&pool->notify, &pool->lock);
        if (pool->shutdown == immediate_shutdown || pool->count == 0)
            break;
        threadpool_task_t task = pool->queue[pool->head];
        pool->head = (pool->head + 1) % pool->queue_size;
        pool->count--;
        pthread_cond_signal(&pool->room);
        pthread_mutex_unlock(&pool->lock);
        task.function(task.argument);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

static int threadpool_free(threadpool_t *pool)
{
    pthread_cond_destroy(&pool->room);
    pthread_cond_destroy(&pool->notify);
    pthread_mutex_destroy(&pool->lock);
    free(pool->queue);
    free(pool->threads);
    free(pool);
    return 0;
}

threadpool_t *threadpool_create(int thread_count, size_t queue_size, int flags)
{
    threadpool_t *pool = calloc(1, sizeof *pool);

    (void)flags;
    if (pool == NULL)
        return NULL;
    pool->queue_size = queue_size;
    pool->threads = calloc((size_t)thread_count, sizeof *pool->threads);
    pool->queue = calloc(queue_size, sizeof *pool->queue);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->notify, NULL);
    pthread_cond_init(&pool->room, NULL);
    if (pool->threads == NULL || pool->queue == NULL) {
        threadpool_free(pool);
        return NULL;
    }
    for (; pool->thread_count < thread_count; pool->thread_count++) {
        if (pthread_create(&pool->threads[pool->thread_count], NULL, threadpool_thread, pool) != 0) {
            threadpool_close(pool, 0);
            threadpool_destroy(pool);
            return NULL;
        }
    }
    return pool;
}

int threadpool_add(threadpool_t *pool, void (*function)(void *), void *argument, int flags)
{
    int error = 0;

    if (pool == NULL || function == NULL)
        return threadpool_invalid;
    if (pthread_mutex_lock(&pool->lock) != 0)
        return threadpool_lock_failure;
    while ((flags & threadpool_wait) && pool->count == pool->queue_size && pool->shutdown == running)
        pthread_cond_wait(&pool->room, &pool->lock);
    if (pool->shutdown != running) {
        error = threadpool_shutdown;
    } else if (pool->count == pool->queue_size) {
        error = threadpool_queue_full;
    } else {
        pool->queue[(pool->head + pool->count) % pool->queue_size] = (threadpool_task_t){function, argument};
        pool->count++;
        pthread_cond_signal(&pool->notify);
    }
    pthread_mutex_unlock(&pool->lock);
    return error;
}

size_t threadpool_waiting(threadpool_t *pool)
{
    pthread_mutex_lock(&pool->lock);
    size_t count = pool->count;
    pthread_mutex_unlock(&pool->lock);
    return count;
}

int threadpool_close(threadpool_t *pool, int flags)
{
    if (pthread_mutex_lock(&pool->lock) != 0)
        return threadpool_lock_failure;
    if (pool->shutdown == running)
        pool->shutdown = flags & threadpool_graceful ? graceful_shutdown : immediate_shutdown;
    pthread_cond_broadcast(&pool->notify);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

int threadpool_destroy(threadpool_t *pool)
{
    int error = 0;

    for (int i = 0; i < pool->thread_count; i++)
        if (pthread_join(pool->threads[i], NULL) != 0)
            error = threadpool_thread_failure;
    return error != 0 ? error : threadpool_free(pool);
}
