#ifndef POOL_H
#define POOL_H
/* Cells, a queue, a tray.
 *
 * A cell carries one request. There are CAPACITY + WORKERS of them, made once. The event loop fills a cell and puts
 * it into the queue, a worker takes it out, works and lays it on the tray, the event loop empties the tray. Without
 * a free cell the event loop reads nothing: that bounds everything. */
#include <stddef.h>

struct cell {
    struct cell *next;
    void *who;         /* the connection; workers only carry it */
    unsigned place;    /* its slot in the connection's row of answers */
    char *answer;      /* malloc'ed by the worker, freed by the event loop */
    size_t answer_len;
    size_t text_len;
    char text[1024];
};

struct cell *pool_open(int workers, size_t capacity); /* starts the workers, returns the free cells as a list */
void pool_submit(struct cell *c);                     /* sleeps while CAPACITY cells wait */
struct cell *pool_tray(void);                         /* all finished cells, in the order of finishing */
int pool_bell(void);                                  /* eventfd: rung when the tray is no longer empty */
void pool_close(void);                                /* finishes what waits, joins, destroys */

#endif
