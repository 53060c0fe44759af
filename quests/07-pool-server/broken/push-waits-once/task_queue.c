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
    pthread_cond_init(&queue->not_empty, NULL);
    pthread_cond_init(&queue->not_full, NULL);
    return true;
}

/* Only when no other thread can touch the queue any more: after the workers were joined. */
void task_queue_destroy(struct task_queue *queue)
{
    pthread_cond_destroy(&queue->not_full);
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->lock);
    free(queue->slots);
}

/*
 * Only one thread pushes, and it is woken when there is room: nobody can have taken that room before it. Workers are
 * many, so they look again. Both signals are sent with the lock held.
 */
void task_queue_push(struct task_queue *queue, struct task *task)
{
    pthread_mutex_lock(&queue->lock);
    if (queue->count == queue->capacity)
        pthread_cond_wait(&queue->not_full, &queue->lock);
    queue->slots[(queue->head + queue->count) % queue->capacity] = task;
    queue->count++;
    pthread_cond_signal(&queue->not_empty);
    pthread_mutex_unlock(&queue->lock);
}

struct task *task_queue_pop(struct task_queue *queue)
{
    struct task *task = NULL;

    pthread_mutex_lock(&queue->lock);
    while (queue->count == 0 && !queue->closed)
        pthread_cond_wait(&queue->not_empty, &queue->lock);
    if (queue->count > 0) { /* a closed queue is emptied first: no task is lost */
        task = queue->slots[queue->head];
        queue->head = (queue->head + 1) % queue->capacity;
        queue->count--;
        pthread_cond_signal(&queue->not_full);
    }
    pthread_mutex_unlock(&queue->lock);
    return task;
}

void task_queue_close(struct task_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty); /* everyone has to hear this one, not just one worker */
    pthread_mutex_unlock(&queue->lock);
}

size_t task_queue_length(struct task_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
