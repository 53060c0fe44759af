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
    queue->waiting = 0;
    queue->reserved = 0;
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
 * A task that wakes a worker is reserved for that worker: nobody can come first. Both signals are sent with the lock
 * held: then no thread can be between its check and its wait, so no wake-up falls into that gap.
 */
void task_queue_push(struct task_queue *queue, struct task *task)
{
    pthread_mutex_lock(&queue->lock);
    while (queue->count == queue->capacity)
        pthread_cond_wait(&queue->not_full, &queue->lock);
    queue->slots[(queue->head + queue->count) % queue->capacity] = task;
    queue->count++;
    if (queue->waiting > 0) { /* this task is for the worker that is woken, and for no other */
        queue->waiting--;
        queue->reserved++;
        pthread_cond_signal(&queue->not_empty);
    }
    pthread_mutex_unlock(&queue->lock);
}

struct task *task_queue_pop(struct task_queue *queue)
{
    struct task *task = NULL;

    bool mine;

    pthread_mutex_lock(&queue->lock);
    mine = queue->count > queue->reserved;
    if (!mine && !queue->closed) {
        queue->waiting++;
        pthread_cond_wait(&queue->not_empty, &queue->lock);
        if (queue->reserved > 0) { /* woken by push */
            queue->reserved--;
            mine = true;
        }
    }
    if (mine) { /* a closed queue is emptied first: no task is lost */
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
