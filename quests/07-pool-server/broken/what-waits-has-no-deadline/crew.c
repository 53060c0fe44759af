#include "crew.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 400 }; /* who can be spared goes home after so long without work */

int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void ring(struct crew *crew)
{
    const uint64_t one = 1;
    while (write(crew->bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* ---- what a job computes ---- */

static bool begins(const struct job *job, const char *word, size_t size)
{
    return job->length >= size && memcmp(job->text, word, size) == 0;
}

static void burn(const struct job *job)
{
    char digits[8] = "";
    struct timespec used;

    if (!begins(job, "spin ", 5) || job->length > 5 + 5)
        return;
    memcpy(digits, job->text + 5, job->length - 5);
    long limit = strtol(digits, NULL, 10);
    do {
        for (volatile int i = 0; i < 50000; i++)
            continue;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    } while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < limit);
}

static void compute(struct job *job)
{
    uint32_t low = 1, high = 0; /* Adler-32, and the length */

    job->rejected = job->length == 0 || begins(job, "bad", 3);
    if (job->rejected) {
        strcpy(job->answer, "ERROR: invalid input");
        return;
    }
    burn(job);
    for (size_t i = 0; i < job->length; i++) {
        low = (low + (unsigned char)job->text[i]) % 65521;
        high = (high + low) % 65521;
    }
    snprintf(job->answer, sizeof job->answer, "result: %08x/%zu", high << 16 | low, job->length);
}

/* ---- a member of the crew ---- */

/* With the desk locked. Waits until there is a job; false: go home. */
static bool wait_for_job(struct crew *crew)
{
    while (crew->first == NULL && !crew->closed) {
        if (crew->members <= crew->least) {
            pthread_cond_wait(&crew->work, &crew->desk);
            continue;
        }
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += PATIENCE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        /* Too late is only too late if there is still nothing to do and nobody else has left meanwhile. */
        if (pthread_cond_timedwait(&crew->work, &crew->desk, &until) == ETIMEDOUT && crew->first == NULL
            && crew->members > crew->least)
            return false;
    }
    return crew->first != NULL;
}

static struct job *take(struct crew *crew, struct seat *seat)
{
    struct job *job = crew->first;

    crew->first = job->next;
    if (crew->first == NULL)
        crew->last = &crew->first;
    crew->waiting--;
    crew->at_work++;
    seat->has_job = true;
    seat->overdue = false;
    seat->since = now_ms();
    seat->ticket = job->ticket;
    return job;
}

static void put_on_shelf(struct crew *crew, struct seat *seat, struct job *job)
{
    job->next = NULL;
    *crew->results_end = job;
    crew->results_end = &job->next;
    seat->has_job = false;
    crew->at_work--;
}

static void *member(void *argument)
{
    struct seat *seat = argument;
    struct crew *crew = seat->crew;

    pthread_mutex_lock(&crew->desk);
    while (wait_for_job(crew)) {
        bool was_full = crew->waiting == crew->capacity;
        struct job *job = take(crew, seat);
        pthread_mutex_unlock(&crew->desk);
        if (was_full)
            ring(crew);
        compute(job);
        pthread_mutex_lock(&crew->desk);
        put_on_shelf(crew, seat, job);
        pthread_mutex_unlock(&crew->desk);
        ring(crew);
        pthread_mutex_lock(&crew->desk);
    }
    seat->state = SEAT_LEFT;
    crew->members--;
    pthread_mutex_unlock(&crew->desk);
    return NULL;
}

/* ---- the event loop's side ---- */

/* A free seat, taken; one whose thread has left but was not joined is the last choice. With the desk locked. */
static struct seat *take_seat(struct crew *crew)
{
    struct seat *left = NULL;

    for (int i = 0; i < crew->most; i++) {
        struct seat *seat = &crew->seats[i];
        if (seat->state == SEAT_LEFT)
            left = seat;
        if (seat->state == SEAT_EMPTY) {
            left = seat;
            break;
        }
    }
    return left;
}

static bool hire(struct crew *crew)
{
    pthread_mutex_lock(&crew->desk);
    struct seat *seat = take_seat(crew);
    bool join = seat->state == SEAT_LEFT;
    seat->state = SEAT_TAKEN;
    crew->members++;
    pthread_mutex_unlock(&crew->desk);

    if (join)
        pthread_join(seat->thread, NULL);
    int error = pthread_create(&seat->thread, NULL, member, seat);
    if (error == 0)
        return true;
    pthread_mutex_lock(&crew->desk);
    seat->state = SEAT_EMPTY;
    crew->members--;
    pthread_mutex_unlock(&crew->desk);
    errno = error;
    return false;
}

bool crew_start(struct crew *crew, int least, int most, size_t capacity)
{
    pthread_condattr_t clock;

    *crew = (struct crew){.capacity = capacity, .least = least, .most = most};
    crew->last = &crew->first;
    crew->results_end = &crew->results;
    crew->bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (crew->bell < 0)
        return false;
    pthread_mutex_init(&crew->desk, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&crew->work, &clock);
    pthread_condattr_destroy(&clock);
    for (int i = 0; i < most; i++)
        crew->seats[i].crew = crew;
    for (int i = 0; i < least; i++)
        if (!hire(crew)) {
            int error = errno;
            crew_dismiss(crew);
            errno = error;
            return false;
        }
    return true;
}

size_t crew_room(struct crew *crew)
{
    pthread_mutex_lock(&crew->desk);
    size_t room = crew->capacity - crew->waiting;
    pthread_mutex_unlock(&crew->desk);
    return room;
}

void crew_give(struct crew *crew, struct job *job)
{
    job->next = NULL;
    pthread_mutex_lock(&crew->desk);
    *crew->last = job;
    crew->last = &job->next;
    crew->waiting++;
    pthread_cond_signal(&crew->work);
    /* More jobs than members: one of them would have to wait for another to end. */
    size_t unfinished = crew->waiting + (size_t)crew->at_work;
    bool short_handed = unfinished > (size_t)crew->members && crew->members < crew->most;
    pthread_mutex_unlock(&crew->desk);
    if (short_handed && !hire(crew))
        perror("pool_server: one worker less than wanted");
}

struct job *crew_results(struct crew *crew)
{
    uint64_t count;

    while (read(crew->bell, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&crew->desk);
    struct job *jobs = crew->results;
    crew->results = NULL;
    crew->results_end = &crew->results;
    pthread_mutex_unlock(&crew->desk);
    return jobs;
}

int crew_overdue(struct crew *crew, int64_t limit, struct ticket found[SEATS], int64_t *next)
{
    int64_t now = now_ms();
    int count = 0;

    pthread_mutex_lock(&crew->desk);
    *next = -1;
    for (int i = 0; i < crew->most; i++) {
        struct seat *seat = &crew->seats[i];
        if (!seat->has_job || seat->overdue)
            continue;
        if (now - seat->since >= limit) {
            seat->overdue = true;
            found[count++] = seat->ticket;
        } else if (*next < 0 || seat->since + limit < *next) {
            *next = seat->since + limit;
        }
    }
    pthread_mutex_unlock(&crew->desk);
    return count;
}

struct occupancy crew_occupancy(struct crew *crew)
{
    pthread_mutex_lock(&crew->desk);
    struct occupancy occupancy = {.waiting = crew->waiting, .at_work = crew->at_work};
    pthread_mutex_unlock(&crew->desk);
    return occupancy;
}

void crew_dismiss(struct crew *crew)
{
    bool started[SEATS];

    pthread_mutex_lock(&crew->desk);
    crew->closed = true;
    pthread_cond_broadcast(&crew->work);
    for (int i = 0; i < crew->most; i++)
        started[i] = crew->seats[i].state != SEAT_EMPTY;
    pthread_mutex_unlock(&crew->desk);
    for (int i = 0; i < crew->most; i++)
        if (started[i])
            pthread_join(crew->seats[i].thread, NULL);
    pthread_cond_destroy(&crew->work);
    pthread_mutex_destroy(&crew->desk);
    close(crew->bell);
    for (struct job *job = crew->results, *next; job != NULL; job = next) {
        next = job->next;
        free(job);
    }
}
