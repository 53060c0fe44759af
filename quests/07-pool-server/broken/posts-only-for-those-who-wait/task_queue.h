/* The bounded ring of waiting tasks, on three semaphores. */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include <semaphore.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { LINE_MAX_BYTES = 1024, REPLY_MAX = 32 };

struct task {
    uint64_t owner; /* the connection's handle, see handoff_server.c */
    uint32_t turn;  /* its place among that connection's requests */
    struct task *next; /* in the outbox */
    char reply[REPLY_MAX];
    size_t length;
    char text[LINE_MAX_BYTES];
};

struct task_queue {
    struct task **ring;
    size_t capacity, head, count;
    int waiting;     /* workers that wait for an item */
    bool closed;
    bool main_waits; /* the event loop found no slot and wants to be told of one */
    sem_t items;     /* tasks in the ring, plus one for each worker that waits once it is closed */
    sem_t slots;     /* free places, less the one the event loop may have reserved */
    sem_t lock;      /* 1: guards the fields above */
};

void lock_sem(sem_t *lock); /* sem_wait that outlives signals */

bool queue_init(struct task_queue *q, size_t capacity);
/* Never blocks. False: full, and the worker that makes room will return `wake` from queue_pop. */
bool queue_reserve(struct task_queue *q);
void queue_unreserve(struct task_queue *q);
void queue_put(struct task_queue *q, struct task *t); /* into the reserved slot */
/* NULL: an item without a task, that is, closed and empty. */
struct task *queue_pop(struct task_queue *q, bool *wake);
void queue_close(struct task_queue *q);
void queue_destroy(struct task_queue *q);

#endif
