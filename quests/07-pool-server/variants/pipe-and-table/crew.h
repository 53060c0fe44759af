#ifndef CREW_H
#define CREW_H
/* The crew: nothing is allocated once it has been opened.
 *
 * There are CAPACITY tasks, no more. A task is either free or waits: a worker that takes one copies it into a buffer of
 * its own and puts the task back at once. So whoever has a free task has room in the queue.
 *
 * There are as many slots for results as workers. A worker whose last result still lies in its slot waits until the
 * event loop has emptied it. That is no deadlock, because the event loop never waits for a worker: with no free task it
 * stops reading and goes on emptying slots. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_MAX = 1024, ANSWER_MAX = 48, CREW_MAX = 64 };

/* Whose request: the id of a client, and the how manieth of its requests. */
struct ticket {
    uint64_t client;
    unsigned turn;
};

struct result {
    struct ticket ticket;
    size_t length;
    char text[ANSWER_MAX]; /* with its newline */
};

int64_t now_ns(void);

/* Comes back when every worker has arrived. `limit_ms`: the longest that a task may take; 0: as long as it likes. */
void crew_open(int workers, size_t capacity, long limit_ms);

/* True: the next crew_push() will find a free task. False: the bell rings when there is one. */
bool crew_room(void);

/* Only after crew_room() has said yes. Never waits. */
void crew_push(struct ticket ticket, const char *text, size_t length);

/* An eventfd, rung for each result, for room that was wanted, and, if there is a limit, for each task that is begun. */
int crew_bell(void);
void crew_silence(void);

/* Empties the slots, and returns how many results there were. */
int crew_results(struct result found[CREW_MAX]);

/* Tasks that have been in a worker's hand for longer than the limit, each told once. Their results will come, too. In
 * *next: when to ask again, INT64_MAX if there is nothing to wait for. */
int crew_overdue(struct ticket found[CREW_MAX], int64_t *next);

/* Only when every task that was pushed has come back as a result. */
void crew_close(void);

#endif
