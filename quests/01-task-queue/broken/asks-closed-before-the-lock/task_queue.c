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

/* Only when no other thread can touch the queue any more: after they were joined. */
void task_queue_destroy(struct task_queue *queue)
{
    pthread_cond_destroy(&queue->not_full);
    pthread_cond_destroy(&queue->not_empty);
    pthread_mutex_destroy(&queue->lock);
    free(queue->slots);
}

/* To be called with the lock, when there is space. One task is one reason to wake one thread. */
static void append(struct task_queue *queue, void *task)
{
    queue->slots[(queue->head + queue->count) % queue->capacity] = task;
    queue->count++;
    pthread_cond_signal(&queue->not_empty);
}

/*
 * Both waits are `while`, never `if`: between the signal and the moment the woken thread has the lock again, somebody
 * else may have come first, and POSIX allows a wait to return for no reason at all. All signals are sent with the
 * lock held: then no thread can be between its check and its wait, so no wake-up falls into that gap.
 */
bool task_queue_push(struct task_queue *queue, void *task)
{
    if (queue->closed)
        return false;
    pthread_mutex_lock(&queue->lock);
    while (queue->count == queue->capacity && !queue->closed)
        pthread_cond_wait(&queue->not_full, &queue->lock);
    bool taken = queue->count < queue->capacity; /* otherwise it was closed while this thread waited */
    if (taken)
        append(queue, task);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

/* The question and the deed under one lock: in between, somebody else could take the space that was seen. */
bool task_queue_try_push(struct task_queue *queue, void *task)
{
    pthread_mutex_lock(&queue->lock);
    bool taken = queue->count < queue->capacity && !queue->closed;
    if (taken)
        append(queue, task);
    pthread_mutex_unlock(&queue->lock);
    return taken;
}

void *task_queue_pop(struct task_queue *queue)
{
    void *task = NULL;

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

/* Everyone has to hear this, not just one: those who wait for a task, and those who wait for space. */
void task_queue_close(struct task_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_broadcast(&queue->not_empty);
    pthread_cond_broadcast(&queue->not_full);
    pthread_mutex_unlock(&queue->lock);
}

size_t task_queue_length(struct task_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    size_t count = queue->count;
    pthread_mutex_unlock(&queue->lock);
    return count;
}
