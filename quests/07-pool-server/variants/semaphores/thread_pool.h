/* The workers and the outbox through which their finished tasks go back to the event loop. */
#ifndef THREAD_POOL_H
#define THREAD_POOL_H

#include "task_queue.h"

#include <pthread.h>

struct thread_pool {
    struct task_queue *queue;
    int size;
    pthread_t threads[64];
    sem_t outbox_lock; /* 1: guards the list */
    struct task *first, *last;
    int bell; /* eventfd with EFD_SEMAPHORE: one token per finished task, and one per freed slot that was asked for */
};

bool pool_start(struct thread_pool *p, struct task_queue *queue, int size);
/* Takes one token. False: there was none. *t is a finished task, or NULL when the token only said "there is room". */
bool pool_collect(struct thread_pool *p, struct task **t);
void pool_join(struct thread_pool *p); /* after queue_close */

#endif
