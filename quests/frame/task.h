/*
 * One request, from the moment its line was read until its answer was sent.
 *
 * Nobody locks a task. At any moment each field belongs to exactly one thread, and a task changes hands in two places
 * only, both of which have a lock: the task queue on the way in, the mailbox of completions on the way back.
 */
#ifndef TASK_H
#define TASK_H

#include <stdbool.h>
#include <stddef.h>

enum { ANSWER_SIZE = 128 };

struct connection; /* the event loop's business alone: to everyone else just a name */

struct task {
    /* written by the event loop before the submit, read by the worker */
    size_t length;
    /* written by the worker that took the task, read by the event loop when the task has come back */
    bool failed;              /* the answer is a message about an error, not a result */
    size_t answer_length;
    char answer[ANSWER_SIZE]; /* `answer_length` bytes: the bare value or message, neither `result:` nor a newline */
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
