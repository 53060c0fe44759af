/*
 * The way in: a bounded queue, filled by the event loop and emptied by the workers.
 *
 * Bounded, because an unbounded queue does not make a slow server faster, it only hides how late the answers will be,
 * until memory runs out. When this queue is full, push() waits, the event loop stops reading, the kernel's buffers
 * fill, and the clients feel that they have to slow down. That chain is called back-pressure.
 *
 * The queue carries pointers and never looks at what they point to. A pointer that was pushed belongs to whoever pops it.
 */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

struct task_queue {
    pthread_mutex_t lock;     /* guards everything below */
    pthread_cond_t not_empty; /* who pops waits here */
    pthread_cond_t not_full;  /* who pushes waits here */
    void **slots;             /* a ring: `count` tasks, the oldest at slots[head] */
    size_t capacity;
    size_t head;
    size_t count;
    bool closed;
};

/* False: there is no memory; then nothing is left behind. The capacity is 1 or more. */
bool task_queue_init(struct task_queue *queue, size_t capacity);

/* Gives everything back. No thread may be inside any of these functions any more, or come in again. */
void task_queue_destroy(struct task_queue *queue);

/*
 * Appends a task (never NULL); while the queue is full, waits until there is space. False means that the queue is closed,
 * also if that happened during the wait: then the task was not taken, and is the caller's as before.
 */
bool task_queue_push(struct task_queue *queue, void *task);

/* The same without ever waiting for space. False: full, or closed; the task was not taken. */
bool task_queue_try_push(struct task_queue *queue, void *task);

/* Takes the oldest task; while there is none, waits. NULL means: closed, and every task has been taken. */
void *task_queue_pop(struct task_queue *queue);

/* No more tasks will come. What is inside can still be popped. Wakes everybody who waits; may be called twice. */
void task_queue_close(struct task_queue *queue);

/* How many tasks are inside at this moment; it may be another number as soon as you look at it. */
size_t task_queue_length(struct task_queue *queue);

#endif
