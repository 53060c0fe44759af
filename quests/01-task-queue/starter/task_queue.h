/*
 * The bounded queue: tasks go in at one end and come out at the other, and any number of threads may do both at once.
 *
 * It knows nothing of what a task is: a pointer goes in, and the same pointer comes out, once. It is bounded, because
 * an unbounded queue does not make a slow program faster; it only hides how late the answers will be, until memory
 * runs out. Whoever is too fast for the others waits here, asleep.
 */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

/* Everything below the lock is touched only by a thread that has the lock. */
struct task_queue {
    pthread_mutex_t lock;
    pthread_cond_t not_empty; /* pop waits here; push, try_push and close wake it */
    pthread_cond_t not_full;  /* push waits here; pop and close wake it */
    void **slots;             /* a ring: `count` tasks, the oldest at slots[head], and after the last slot the first */
    size_t capacity;          /* the number of slots; never changes */
    size_t head;
    size_t count;
    bool closed;
};

/*
 * Makes an empty, open queue for at most `capacity` tasks (1 or more). False if there is no memory; then nothing is
 * left behind. Before any other thread knows the queue.
 */
bool task_queue_init(struct task_queue *queue, size_t capacity);

/*
 * Gives back what init took: the conditions, the mutex, the memory. Only when no thread is inside any function of this
 * queue and none will come: after they were joined.
 */
void task_queue_destroy(struct task_queue *queue);

/*
 * Appends a task, which is never NULL. While the queue is full, it waits, asleep. False if the queue is closed, even
 * if it was closed while this call waited: then the task was not taken, and is still the caller's.
 */
bool task_queue_push(struct task_queue *queue, void *task);

/* The same without waiting: false if the queue is full or closed. (Never waits means: for no other thread's deeds.) */
bool task_queue_try_push(struct task_queue *queue, void *task);

/*
 * Takes the oldest task. While there is none, it waits, asleep. NULL means: closed, and every task has been taken; from
 * then on every pop returns NULL.
 */
void *task_queue_pop(struct task_queue *queue);

/*
 * No more tasks will be taken in. Those inside can still be popped. Wakes everybody who waits, in push and in pop, and
 * returns at once. May be called more than once, and from any thread.
 */
void task_queue_close(struct task_queue *queue);

/* How many tasks are inside now. By the time the caller looks at the number, it may have changed. */
size_t task_queue_length(struct task_queue *queue);

#endif
