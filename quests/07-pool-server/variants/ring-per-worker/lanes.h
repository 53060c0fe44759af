#ifndef LANES_H
#define LANES_H
/* The pool: every worker has a lane of its own, a small ring of jobs.
 *
 *   lanes_put() puts a job into the lane with the least to do. A worker takes from its own lane first, and steals from
 *   the others when that is empty. What is done goes onto one stack, which lanes_results() takes whole.
 *
 * How many jobs wait in all lanes together is bounded by one counter. All functions here are the event loop's. */
#include <stdbool.h>
#include <stddef.h>

enum { TEXT_MAX = 1024, ANSWER_MAX = 96, LANES_MAX = 64 };

struct job {
    struct connection *from; /* the event loop's; workers only carry it */
    struct job *after;       /* the event loop's: the next request of the same connection */
    bool answered;           /* the event loop's */
    struct job *below;       /* in the stack of results */
    bool rejected;
    size_t length;
    char text[TEXT_MAX];
    size_t answer_length;
    char answer[ANSWER_MAX]; /* with its newline */
};

struct occupancy {
    size_t waiting, at_work;
};

void lanes_open(int workers, size_t capacity);

/* False: CAPACITY jobs wait, and the bell rings when one of them is taken. Only lanes_put() makes the room less. */
bool lanes_room(void);

/* Only after lanes_room() has said yes. Never waits. */
void lanes_put(struct job *job);

/* An eventfd: rung after each job, and when there is room again for which lanes_room() was asked in vain. */
int lanes_bell(void);

/* Silences the bell; everything that is done, the first one first. */
struct job *lanes_results(void);

struct occupancy lanes_occupancy(void);

/* Lets the workers finish what waits, joins them, gives everything back. */
void lanes_close(void);

#endif
