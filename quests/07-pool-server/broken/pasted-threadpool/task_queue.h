/* What passes between the event loop and the workers. The queue itself is the library's. */
#ifndef TASK_QUEUE_H
#define TASK_QUEUE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>

enum { ANSWER_SIZE = 128 };

struct connection; /* the event loop's business alone: to everyone else just a name */
struct thread_pool;

/*
 * One request, from the moment its line was read until its answer was sent. Nobody locks a task: at any moment each
 * field belongs to exactly one thread, and the task changes hands only through a queue that has a lock.
 */
struct task {
    /* written by the event loop before the push, read by the worker */
    size_t length;
    struct thread_pool *pool;
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

#endif
