/*
 * The event loop: one thread, the main thread, which owns every socket.
 *
 *     client --line--> [event loop] --task--> task queue --> [worker] computes
 *     client <-answer- [event loop] <---- eventfd + mailbox ---- [worker]
 *
 * Nothing in here needs a lock: all of it belongs to the main thread. What is shared with the workers lies behind
 * thread_pool.h and completions.h.
 */
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H

#include "thread_pool.h"

#include <stdbool.h>

struct connection;

struct event_loop {
    int epoll;
    int listener;             /* not the loop's own: main opens and closes it */
    int stop_fd;              /* the same; readable as soon as SIGTERM came */
    struct thread_pool *pool; /* the same */
    struct connection *open;  /* all clients that are connected */
    struct connection *dead;  /* freed at the end of the turn: an event of this turn may still point to them */
    int in_flight;            /* tasks that the pool has, of all connections */
    bool accept_paused;       /* out of descriptors: the listener is not watched for a while */
    bool draining;            /* after SIGTERM: finish, answer, leave */
};

/*
 * Makes the epoll set, with the listener, stop_fd and completions_fd() in it. The pool may not have been started yet.
 * False: it could not be done; errno says why, and nothing is left behind.
 */
bool event_loop_open(struct event_loop *loop, int listener, int stop_fd, struct thread_pool *pool);

/* Serves all clients until stop_fd is readable. False: epoll failed, errno says why. */
bool event_loop_run(struct event_loop *loop);

/*
 * After run, when the listener is closed and thread_pool_close() was called: reads no more requests, answers all that
 * were read, and returns when the last answer is out, or half a second after the last task has come back, for clients
 * that do not read. False: as run.
 */
bool event_loop_drain(struct event_loop *loop);

/* Closes what is left: clients, the epoll set. After the join, so that every task is back and can be freed. */
void event_loop_close(struct event_loop *loop);

#endif
