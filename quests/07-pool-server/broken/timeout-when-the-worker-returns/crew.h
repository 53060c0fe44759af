/*
 * The crew: between MIN and MAX threads that compute, the bounded tray of jobs before them and the shelf of results
 * behind them. One mutex guards all of it, so that "is there a job", "who is at work" and "may I go home" are always
 * answered at the same moment.
 */
#ifndef CREW_H
#define CREW_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TEXT_LIMIT = 1024, ANSWER_LIMIT = 80, SEATS = 64 };

/* Whose answer this is: a connection's number, which is never used twice, and the how manieth of its requests. */
struct ticket {
    uint64_t connection;
    uint64_t sequence;
};

struct job {
    struct ticket ticket;
    struct job *next;
    int64_t took;
    bool rejected;
    char answer[ANSWER_LIMIT]; /* without the newline */
    size_t length;
    char text[TEXT_LIMIT];
};

enum seat_state { SEAT_EMPTY, SEAT_TAKEN, SEAT_LEFT /* its thread has gone home and was not joined yet */ };

struct seat {
    struct crew *crew;
    pthread_t thread; /* the event loop's */
    enum seat_state state;
    bool has_job;   /* since `since`, for `ticket` */
    bool overdue;   /* already reported */
    int64_t since;
    struct ticket ticket;
};

struct crew {
    pthread_mutex_t desk;
    pthread_cond_t work; /* idle members wait here, on the monotonic clock */
    struct job *first, **last;
    size_t waiting, capacity;
    struct job *results, **results_end;
    bool closed;
    int least, most;
    int members; /* seats that are taken */
    int at_work; /* members with a job in hand */
    struct seat seats[SEATS];
    int bell; /* eventfd: results on the shelf, room in the tray, or somebody has gone home */
};

struct occupancy {
    size_t waiting;
    int at_work;
};

int64_t now_ms(void);

/* Starts `least` members. False, with errno, if that cannot be done; then nothing is left behind. */
bool crew_start(struct crew *crew, int least, int most, size_t capacity);

/* How many jobs fit into the tray at least; only crew_give() makes it less. */
size_t crew_room(struct crew *crew);

/* Puts a job into the tray, which must have room, and calls in another member if it would have to wait for one. */
void crew_give(struct crew *crew, struct job *job);

/* Silences the bell and takes everything off the shelf. */
struct job *crew_results(struct crew *crew);

/* Jobs that have been in somebody's hand for `limit` ms or more, each reported once. Returns how many there are, and in
 * *next the time at which there may be another, or -1. */
int crew_overdue(struct crew *crew, int64_t limit, struct ticket found[SEATS], int64_t *next);

struct occupancy crew_occupancy(struct crew *crew);

/* Lets the crew empty the tray, sees everybody home and gives everything back. */
void crew_dismiss(struct crew *crew);

#endif
