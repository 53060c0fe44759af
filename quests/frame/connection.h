/*
 * One client, seen from the event loop: its bytes in, its lines, its tasks in order, its bytes out. Given.
 *
 * None of these functions waits for anything: the socket has to be non-blocking. All of them run on the main thread.
 * A connection is an object, not a descriptor number: numbers are used again as soon as a client has left.
 */
#ifndef CONNECTION_H
#define CONNECTION_H

#include "reply.h"
#include "task.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    LINE_LIMIT = 1024, /* longest request, without its end of line */
    INPUT_SIZE = 2048, /* most bytes read at once */
    OWED_LIMIT = 64,   /* a connection that owes this many answers is not read: one client cannot fill the memory */
};

struct connection {
    int fd; /* -1 once closed */

    /* for the event loop to use as it likes; all zero at first */
    uint32_t watched;            /* the events that epoll reports for it */
    struct connection *previous; /* in the list of open connections */
    struct connection *next;     /* in the list of open, later in that of dead ones */

    /* kept by connection.c; the event loop may look */
    struct task *oldest, **newest; /* requests whose answers are owed, in the order of the requests */
    int owed;                      /* length of that list */
    int in_flight;                 /* tasks that connection_next_task() gave out and that are not back yet */
    bool at_end;                   /* the client will send no more; it may still read */
    bool broken;                   /* a call on the socket failed, or memory ran out: to be closed */
    bool refused;                  /* a line was too long: what follows is read and thrown away */
    bool said_goodbye;             /* after a refusal: our sending side is shut */
    size_t line_length, line_sent; /* the answer that is being sent, and how much of it is out */
    char line[REPLY_SIZE];
    size_t input_start, input_length; /* what was read and is not yet a task */
    char input[INPUT_SIZE];
};

/* A connection for a socket that was just accepted. NULL: no memory; the socket is still the caller's. */
struct connection *connection_open(int fd);

/*
 * One recv(). What it brought is kept until connection_next_task() cuts it into lines: take all of them before you read
 * again. Sets at_end or broken when that is what recv() says.
 */
void connection_read(struct connection *connection);

/*
 * The next whole line as a task that can be submitted, or NULL: there is none. The task remembers its owner, and its
 * place among the answers. (A line that is too long is answered here; the pool never sees it.)
 */
struct task *connection_next_task(struct connection *connection);

/* A task that connection_next_task() gave out has come back, finished. If its client is gone, it is freed. */
void connection_take_back(struct task *task);

/* Sends the answers that are ready, in the order of the requests, until the socket takes no more. Sets broken. */
void connection_send(struct connection *connection);

/* May it be read? Not after its end, and not while it owes too many answers. */
bool connection_wants_input(const struct connection *connection);

/* Is an answer ready that the socket did not take? Then it is to be sent when there is room again. */
bool connection_wants_output(const struct connection *connection);

/* Nothing more to read from it, nothing more owed to it, or broken: it is to be closed. */
bool connection_is_done(const struct connection *connection);

/*
 * Closes the socket and forgets all answers. The object lives on while in_flight is not 0, because tasks point to it;
 * then free() is all it needs.
 */
void connection_close(struct connection *connection);

#endif
