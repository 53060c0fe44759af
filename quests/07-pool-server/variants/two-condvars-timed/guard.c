#define _GNU_SOURCE
#include "guard.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LOOK_AGAIN_S = 5 };

/* These calls fail only if the program is wrong. */
static void sure(int error, const char *what)
{
    if (error == 0)
        return;
    fprintf(stderr, "pool_server: %s: %s\n", what, strerror(error));
    abort();
}

void guard_open(struct guard *guard, enum guard_kind kind)
{
    pthread_mutexattr_t attributes;

    sure(pthread_mutexattr_init(&attributes), "mutexattr_init");
    sure(pthread_mutexattr_settype(&attributes, kind), "mutexattr_settype");
    sure(pthread_mutex_init(&guard->mutex, &attributes), "mutex_init");
    sure(pthread_mutexattr_destroy(&attributes), "mutexattr_destroy");
    guard->entered = guard->contended = 0;
}

void guard_close(struct guard *guard)
{
    sure(pthread_mutex_destroy(&guard->mutex), "mutex_destroy");
}

void enter(struct guard *guard)
{
    int error = pthread_mutex_trylock(&guard->mutex);
    unsigned long busy = error == EBUSY;

    if (busy)
        error = pthread_mutex_lock(&guard->mutex);
    sure(error, "mutex_lock");
    guard->entered++;
    guard->contended += busy;
}

void leave(struct guard *guard)
{
    sure(pthread_mutex_unlock(&guard->mutex), "mutex_unlock");
}

void condition_open(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    sure(pthread_condattr_init(&attributes), "condattr_init");
    sure(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC), "condattr_setclock");
    sure(pthread_cond_init(condition, &attributes), "cond_init");
    sure(pthread_condattr_destroy(&attributes), "condattr_destroy");
}

void sleep_a_while(struct guard *guard, pthread_cond_t *condition)
{
    struct timespec until;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += LOOK_AGAIN_S;
    int error = pthread_cond_timedwait(condition, &guard->mutex, &until);
    sure(error == ETIMEDOUT ? 0 : error, "cond_timedwait");
}
