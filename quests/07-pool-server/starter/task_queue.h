/*
 * The way in: a bounded queue of tasks. The event loop fills it, the workers empty it.
 *
 * This is step 1 of the quest. Nothing in here knows what a socket or a worker is, so you can try it alone.
 */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { ANSWER_SIZE = 128 };

struct connection; /* yours, in handoff_server.c; to everyone else just a name */

/*
 * One request, from the moment its line was read until its answer was sent. Allocate it with
 * malloc(sizeof(struct task) + length).
 *
 * Nobody locks a task. At any moment it belongs to one thread, and it changes hands only through something that has a
 * lock. So for each field you can say who may touch it, and when.
 */
struct task {
    /* written by the event loop before the push, read by the worker */
    size_t length;
    /* written by the worker that took the task, read by the event loop after the hand-back */
    bool failed;
    size_t answer_length;
    char answer[ANSWER_SIZE];
    /* link in the list of finished tasks: whoever has that list's lock */
    struct task *next_finished;
    /* the event loop's own: a worker never looks at this, and there may be more of it (step 3) */
    struct connection *owner;
    /* the request: `length` bytes, any bytes, zeros too. Not a C string */
    char text[];
};

/* Everything below the lock is touched only by a thread that has the lock. */
struct task_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty; /* who waits here, and who wakes them? */
    pthread_cond_t not_full;  /* and here? */
    struct task **slots;      /* a ring: `count` tasks, the oldest at slots[head], after the last slot comes the first */
    size_t capacity;
    size_t head;
    size_t count;
    bool closed;
};

/*
 * Makes an empty queue for at most `capacity` tasks. False if there is no memory.
 * Who: the main thread, before there are workers.
 */
bool task_queue_init(struct task_queue *queue, size_t capacity);

/*
 * Gives back what init took: the memory, the mutex, both conditions.
 * Who: the main thread, after it has joined the workers. Never while anybody could still touch the queue.
 */
void task_queue_destroy(struct task_queue *queue);

/*
 * Appends a task. While the queue is full, it waits until there is room, asleep.
 * Who: the event loop. Never after close. Never grows the queue, drops a task or tries again and again.
 */
void task_queue_push(struct task_queue *queue, struct task *task);

/*
 * Takes the oldest task. While there is none, it waits. NULL means: closed, and every task has been taken.
 * Who: the workers. Never gives one task to two workers, and never NULL while a task is left.
 */
struct task *task_queue_pop(struct task_queue *queue);

/*
 * Says that no more tasks will come: every worker that waits wakes up, and so does not wait for ever. Returns at once.
 * Who: the main thread, at shutdown. Never throws away what is still in the queue.
 */
void task_queue_close(struct task_queue *queue);

#endif
