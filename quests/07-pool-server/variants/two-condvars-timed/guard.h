#ifndef GUARD_H
#define GUARD_H
/* A mutex that is tried first and waited for only then, so that it can say how often it was contended.
 *
 * SINGLE guards may be entered once by a thread: a second time is a mistake, and found (PTHREAD_MUTEX_ERRORCHECK).
 * NESTED guards may be entered again by the thread that is inside (PTHREAD_MUTEX_RECURSIVE). */
#include <pthread.h>

enum guard_kind { SINGLE = PTHREAD_MUTEX_ERRORCHECK, NESTED = PTHREAD_MUTEX_RECURSIVE };

struct guard {
    pthread_mutex_t mutex;
    unsigned long entered, contended; /* guarded by itself */
};

void guard_open(struct guard *guard, enum guard_kind kind);
void guard_close(struct guard *guard);
void enter(struct guard *guard);
void leave(struct guard *guard);

/* Leaves the guard, sleeps until `condition` is broadcast, but LOOK_AGAIN_S seconds at most, and enters again. It does
 * not say why it has come back: who calls it looks for himself, and calls it again if need be. */
void sleep_a_while(struct guard *guard, pthread_cond_t *condition);

/* The only kind of condition that sleep_a_while() is made for: one that goes by the monotonic clock. */
void condition_open(pthread_cond_t *condition);

#endif
