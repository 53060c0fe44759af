#include "task_queue.h"

#include <errno.h>
#include <stdlib.h>

void lock_sem(sem_t *lock)
{
    while (sem_wait(lock) < 0 && errno == EINTR)
        ;
}

bool queue_init(struct task_queue *q, size_t capacity)
{
    *q = (struct task_queue){.capacity = capacity, .ring = calloc(capacity, sizeof(struct task *))};
    return q->ring != NULL && sem_init(&q->items, 0, 0) == 0 && sem_init(&q->slots, 0, (unsigned)capacity) == 0 &&
           sem_init(&q->lock, 0, 1) == 0;
}

bool queue_reserve(struct task_queue *q)
{
    if (sem_trywait(&q->slots) == 0)
        return true;
    lock_sem(&q->lock);
    q->main_waits = true;
    sem_post(&q->lock);
    /* A worker that made room before it could see the wish: look once more. */
    return sem_trywait(&q->slots) == 0;
}

void queue_unreserve(struct task_queue *q)
{
    sem_post(&q->slots);
}

void queue_put(struct task_queue *q, struct task *t)
{
    lock_sem(&q->lock);
    q->ring[(q->head + q->count++) % q->capacity] = t;
    sem_post(&q->lock);
    sem_post(&q->items);
}

static bool is_closed(struct task_queue *q)
{
    lock_sem(&q->lock);
    bool closed = q->closed;
    sem_post(&q->lock);
    return closed;
}

static void count_waiting(struct task_queue *q, int more)
{
    lock_sem(&q->lock);
    q->waiting += more;
    sem_post(&q->lock);
}

struct task *queue_pop(struct task_queue *q, bool *wake)
{
    struct task *t = NULL;
    *wake = false;
    if (is_closed(q)) /* which it is only when all tasks have been taken */
        return NULL;
    count_waiting(q, 1);
    lock_sem(&q->items);
    lock_sem(&q->lock);
    q->waiting--;
    if (q->count > 0) {
        t = q->ring[q->head];
        q->head = (q->head + 1) % q->capacity;
        q->count--;
        sem_post(&q->slots); /* before main_waits is read: one of the two sides sees the other */
    }
    *wake = t != NULL && q->main_waits;
    if (*wake)
        q->main_waits = false;
    sem_post(&q->lock);
    return t;
}

void queue_close(struct task_queue *q)
{
    lock_sem(&q->lock);
    q->closed = true;
    int waiting = q->waiting;
    sem_post(&q->lock);
    for (int i = 0; i < waiting; i++)
        sem_post(&q->items);
}

void queue_destroy(struct task_queue *q)
{
    sem_destroy(&q->items);
    sem_destroy(&q->slots);
    sem_destroy(&q->lock);
    free(q->ring);
}
