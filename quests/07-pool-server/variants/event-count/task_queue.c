#include "task_queue.h"

#include <stdlib.h>

bool task_queue_init(struct task_queue *queue, size_t capacity)
{
    queue->slots = calloc(capacity, sizeof *queue->slots);
    if (queue->slots == NULL)
        return false;
    queue->capacity = capacity;
    queue->head = 0;
    queue->count = 0;
    queue->closed = false;
    pthread_mutex_init(&queue->lock, NULL);
    queue->pushes = 0;
    pthread_mutex_init(&queue->park_lock, NULL);
    pthread_cond_init(&queue->pushed, NULL);
    pthread_cond_init(&queue->not_full, NULL);
    return true;
}

/* Only when no other thread can touch the queue any more: after the workers were joined. */
void task_queue_destroy(struct task_queue *queue)
{
    pthread_cond_destroy(&queue->not_full);
    pthread_cond_destroy(&queue->pushed);
    pthread_mutex_destroy(&queue->park_lock);
    pthread_mutex_destroy(&queue->lock);
    free(queue->slots);
}

/* The two locks are taken one after the other, never together: the task is there before it is announced. */
void task_queue_push(struct task_queue *queue, struct task *task)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->count == queue->capacity)
        pthread_cond_wait(&queue->not_full, &queue->lock);
    queue->slots[(queue->head + queue->count) % queue->capacity] = task;
    queue->count++;
    pthread_mutex_unlock(&queue->lock);
    pthread_mutex_lock(&queue->park_lock);
    queue->pushes++;
    pthread_cond_broadcast(&queue->pushed);
    pthread_mutex_unlock(&queue->park_lock);
}

static struct task *try_pop(struct task_queue *queue)
{
    struct task *task = NULL;

    pthread_mutex_lock(&queue->lock);
    if (queue->count > 0) { /* a closed queue is emptied first: no task is lost */
        task = queue->slots[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
        queue->count--;
        pthread_cond_signal(&queue->not_full);
    }
    pthread_mutex_unlock(&queue->lock);
    return task;
}

/*
 * The counter is read first and the queue looked into afterwards, without the counter's lock: a push between the look and
 * the sleep has changed the counter, and the worker looks again.
 */
struct task *task_queue_pop(struct task_queue *queue)
{
    for (;;) {
        pthread_mutex_lock(&queue->park_lock);
        unsigned long pushes = queue->pushes;
        bool closed = queue->closed;
        pthread_mutex_unlock(&queue->park_lock);
        struct task *task = try_pop(queue);
        if (task != NULL || closed)
            return task;
        pthread_mutex_lock(&queue->park_lock);
        while (queue->pushes == pushes && !queue->closed)
            pthread_cond_wait(&queue->pushed, &queue->park_lock);
        pthread_mutex_unlock(&queue->park_lock);
    }
}

void task_queue_close(struct task_queue *queue)
{
    pthread_mutex_lock(&queue->park_lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->pushed); /* everyone has to hear this one, not just one worker */
    pthread_mutex_unlock(&queue->park_lock);
}

size_t task_queue_length(struct task_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
