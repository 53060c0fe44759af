/*
 * The way in: a bounded queue of tasks, filled by the event loop and emptied by the workers.
 *
 * Bounded, because an unbounded queue does not make a slow server faster, it only hides how late the answers will be,
 * until memory runs out. When this queue is full, push() waits, the event loop stops reading, the kernel's buffers
 * fill, and the clients feel that they have to slow down. That chain is called back-pressure.
 */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { ANSWER_SIZE = 128 };

struct connection; /* the event loop's business alone: to everyone else just a name */

/*
 * One request, from the moment its line was read until its answer was sent. Nobody locks a task: at any moment each
 * field belongs to exactly one thread, and the task changes hands only through a queue that has a lock.
 */
struct task {
    /* written by the event loop before the push, read by the worker */
    size_t length;
    /* written by the worker that took the task, read by the event loop after the hand-back */
    bool failed;
    size_t answer_length;
    char answer[ANSWER_SIZE];
    /* link in the list of finished tasks, guarded by that list's lock */
    struct task *next_finished;
    /* the event loop's own: workers never look at these */
    struct connection *owner;
    struct task *next_of_owner; /* the same client's next request: answers leave in this order */
    bool answered;
    /* the request itself: `length` bytes, any bytes, not a C string */
    char text[];
};

struct task_queue {
    pthread_mutex_t lock;     /* guards everything below */
    pthread_cond_t not_empty; /* workers wait here */
    pthread_cond_t not_full;  /* the event loop waits here */
    struct task **slots;      /* a ring: `count` tasks, the oldest at slots[head] */
    size_t capacity;
    size_t head;
    size_t count;
    size_t waiting;  /* workers in pop that nobody has signalled yet */
    size_t reserved; /* tasks that belong to workers which are being woken */
    bool closed;
};

bool task_queue_init(struct task_queue *queue, size_t capacity);
void task_queue_destroy(struct task_queue *queue);

/* Appends a task; while the queue is full, waits until there is space. Not to be called after close. */
void task_queue_push(struct task_queue *queue, struct task *task);

/* Takes the oldest task; while there is none, waits. NULL means: closed, and every task has been taken. */
struct task *task_queue_pop(struct task_queue *queue);

/* No more tasks will come. What is already in the queue will still be popped. */
void task_queue_close(struct task_queue *queue);

size_t task_queue_length(struct task_queue *queue);

#endif
