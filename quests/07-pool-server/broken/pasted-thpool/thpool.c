#include "thpool.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

struct job {
    struct job *prev;
    void (*function)(void *);
    void *arg;
};

/* Says that there are jobs. It has no lock of its own: the queue's is held around it. */
struct bsem {
    pthread_cond_t cond;
    int v;
};

struct jobqueue {
    pthread_mutex_t rwmutex;
    struct job *front;
    struct job *rear;
    struct bsem has_jobs;
    int len;
};

struct thpool_ {
    struct jobqueue jobqueue;
    pthread_t *threads;
    int num_threads;
    int num_threads_working; /* guarded by the queue's lock, as the flag is */
    int threads_keepalive;
};

static void bsem_reset(struct bsem *bsem)
{
    bsem->v = 0;
}

static void bsem_post(struct bsem *bsem)
{
    bsem->v = 1;
    pthread_cond_signal(&bsem->cond);
}

static void bsem_post_all(struct bsem *bsem)
{
    bsem->v = 1;
    pthread_cond_broadcast(&bsem->cond);
}

static void jobqueue_push(struct jobqueue *queue, struct job *job)
{
    job->prev = NULL;
    if (queue->len == 0)
        queue->front = job;
    else
        queue->rear->prev = job;
    queue->rear = job;
    queue->len++;
    bsem_post(&queue->has_jobs);
}

static struct job *jobqueue_pull(struct jobqueue *queue)
{
    struct job *job = queue->front;

    if (queue->len == 0)
        return NULL;
    queue->front = job->prev;
    if (--queue->len == 0)
        bsem_reset(&queue->has_jobs);
    else
        bsem_post(&queue->has_jobs);
    return job;
}

static void jobqueue_clear(struct jobqueue *queue)
{
    struct job *job;

    while ((job = jobqueue_pull(queue)) != NULL)
        free(job);
}

static void *thread_do(void *argument)
{
    threadpool pool = argument;
    struct jobqueue *queue = &pool->jobqueue;

    pthread_mutex_lock(&queue->rwmutex);
    while (pool->threads_keepalive) {
        struct job *job = jobqueue_pull(queue);
        if (job == NULL) {
            while (queue->has_jobs.v == 0)
                pthread_cond_wait(&queue->has_jobs.cond, &queue->rwmutex);
            continue;
        }
        pool->num_threads_working++;
        pthread_mutex_unlock(&queue->rwmutex);
        job->function(job->arg);
        free(job);
        pthread_mutex_lock(&queue->rwmutex);
        pool->num_threads_working--;
    }
    pthread_mutex_unlock(&queue->rwmutex);
    return NULL;
}

threadpool thpool_init(int num_threads)
{
    threadpool pool = calloc(1, sizeof *pool);

    if (pool == NULL)
        return NULL;
    pool->threads = calloc((size_t)num_threads, sizeof *pool->threads);
    if (pool->threads == NULL) {
        free(pool);
        return NULL;
    }
    pthread_mutex_init(&pool->jobqueue.rwmutex, NULL);
    pthread_cond_init(&pool->jobqueue.has_jobs.cond, NULL);
    pool->threads_keepalive = 1;
    for (; pool->num_threads < num_threads; pool->num_threads++) {
        int error = pthread_create(&pool->threads[pool->num_threads], NULL, thread_do, pool);
        if (error != 0) {
            thpool_destroy(pool);
            errno = error;
            return NULL;
        }
    }
    return pool;
}

int thpool_add_work(threadpool pool, void (*function)(void *), void *argument)
{
    struct job *job = malloc(sizeof *job);

    if (job == NULL)
        return -1;
    job->function = function;
    job->arg = argument;
    pthread_mutex_lock(&pool->jobqueue.rwmutex);
    jobqueue_push(&pool->jobqueue, job);
    pthread_mutex_unlock(&pool->jobqueue.rwmutex);
    return 0;
}

int thpool_num_threads_working(threadpool pool)
{
    pthread_mutex_lock(&pool->jobqueue.rwmutex);
    int working = pool->num_threads_working;
    pthread_mutex_unlock(&pool->jobqueue.rwmutex);
    return working;
}

void thpool_destroy(threadpool pool)
{
    pthread_mutex_lock(&pool->jobqueue.rwmutex);
    pool->threads_keepalive = 0;
    bsem_post_all(&pool->jobqueue.has_jobs);
    pthread_mutex_unlock(&pool->jobqueue.rwmutex);
    for (int i = 0; i < pool->num_threads; i++)
        pthread_join(pool->threads[i], NULL);
    jobqueue_clear(&pool->jobqueue);
    pthread_cond_destroy(&pool->jobqueue.has_jobs.cond);
    pthread_mutex_destroy(&pool->jobqueue.rwmutex);
    free(pool->threads);
    free(pool);
}
