#ifndef POOL_H
#define POOL_H
/* Sessions, a queue, workers, news.
 *
 * A session is what workers know of a client: a row of places for answers, with a lock of its own. A worker puts the
 * answer straight into its place, and then says that this session has news. A session is counted by its users: the
 * event loop, every task that belongs to it, and the list of news. Whoever lets go of it last frees it, and that may
 * be a worker, long after the client has gone. */
#include "guard.h"

#include <stdbool.h>
#include <stddef.h>

enum { TEXT_MAX = 1024, ANSWER_MAX = 32, PLACES = 32 };

struct answer {
    bool there;
    size_t length;
    char text[ANSWER_MAX]; /* with its newline */
};

struct session {
    struct guard guard;            /* for these three: */
    unsigned long asked, answered; /* requests so far, and answers that session_answers() has given out */
    struct answer places[PLACES];  /* of the requests from `answered` to `asked`, in turn */
    unsigned users;                /* guarded by the pool's census */
    struct session *next_news;     /* guarded by the pool's news */
    bool has_news;                 /* guarded by the pool's news */
};

/* The memory must have been malloc'ed, and may be larger than a session. Its user is who called this. */
void session_open(struct session *session);
void session_let_go(struct session *session);

/* Requests that are not answered yet. At most PLACES may be. */
size_t session_owes(struct session *session);

/* The next request of this session gets this answer, and needs no worker. */
void session_answer_at_once(struct session *session, const char *text);

/* Copies the answers that are next in turn, as many as are there and fit, and returns how many bytes these are. */
size_t session_answers(struct session *session, char *buffer, size_t size);

void pool_open(int workers, size_t capacity);

/* The next request of this session is a task. Sleeps while CAPACITY tasks wait. */
void pool_push(struct session *session, const char *text, size_t length);

/* An eventfd, rung whenever a session has news. */
int pool_bell(void);

/* A session with news, which becomes the caller's to let go. NULL: no more. Silence the bell first. */
struct session *pool_news(void);

/* True: nothing is queued, in a worker's hand or in the list of news. */
bool pool_is_quiet(void);

/* Lets the workers finish what waits, joins them, gives everything back. Every session must have been let go. */
void pool_close(void);

/* Tries the workers' computation against another way to compute it, for so long. */
void pool_rehearse(long cpu_ms);

#endif
