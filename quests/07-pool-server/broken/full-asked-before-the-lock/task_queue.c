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
 * Both waits are `while`, never `if`: between the signal and the moment the woken thread has the lock again, somebody
 * else may have come first, and POSIX allows a wait to return for no reason at all. Both signals are sent with the
 * lock held.
 */
static bool is_full(struct task_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    bool full = queue->count == queue->capacity;
    pthread_mutex_unlock(&queue->lock);
    return full;
}

void task_queue_push(struct task_queue *queue, struct task *task)
{
    while (is_full(queue)) {
        pthread_mutex_lock(&queue->lock);
        pthread_cond_wait(&queue->not_full, &queue->lock);
        pthread_mutex_unlock(&queue->lock);
    }
    pthread_mutex_lock(&queue->lock); /* nobody else pushes, so there is still room */
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
