/* Nobody ever holds two of the locks in this file, so there is no order to keep. The price is that several lanes are
 * never seen at the same moment. Two rules make up for that:
 *
 *   1. A worker that goes idle says so first (busy = false, in its lane) and then looks into the other lanes.
 *   2. Who leaves a job in the lane of a busy worker nudges an idle one, after the job is there.
 *
 * Whichever comes first: if the worker's look was too early for the job, then the nudge comes after the worker's word,
 * and finds it idle. So no job waits in one lane while a worker sleeps at another. (And should that worker get
 * something else to do before it has heard the nudge, it passes it on.) */
#include "lanes.h"
#include "log.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct lane {
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t knock; /* for the one worker whose lane it is */
    struct job **ring;
    size_t first, count;
    bool busy;   /* it has a job in hand */
    bool nudged; /* there is something to steal */
    bool closed; /* nothing more will be put anywhere */
};

static struct lane lanes[LANES_MAX];
static int lane_count;
static size_t ring_size;

static struct {
    pthread_mutex_t lock;
    size_t taken, capacity; /* jobs that wait, in all lanes together */
    bool wanted;            /* the event loop has asked in vain */
} places;

static struct {
    pthread_mutex_t lock;
    struct job *top;
} results;

static int bell;

static void ring_the_bell(void)
{
    const uint64_t one = 1;
    while (write(bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* ---- what a job is ---- */

static void burn(long ms)
{
    struct timespec from, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do {
        for (volatile int i = 0; i < 50000; i++)
            continue;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

static bool starts_with(const struct job *job, const char *word)
{
    size_t n = strlen(word);
    return job->length >= n && memcmp(job->text, word, n) == 0;
}

static void compute(struct job *job)
{
    uint32_t crc = 0xffffffff;
    int n;

    job->rejected = job->length == 0 || starts_with(job, "bad");
    if (job->rejected) {
        n = snprintf(job->answer, ANSWER_MAX, "ERROR: invalid input\n");
    } else {
        if (starts_with(job, "spin ") && job->length < 5 + 6) {
            char digits[8] = "";
            memcpy(digits, job->text + 5, job->length - 5);
            burn(strtol(digits, NULL, 10));
        }
        for (size_t i = 0; i < job->length; i++) {
            crc ^= (unsigned char)job->text[i];
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
        }
        n = snprintf(job->answer, ANSWER_MAX, "result: ERROR: none, bytes: %zu, crc32: %08x\n", job->length, ~crc);
    }
    job->answer_length = (size_t)n;
}

/* ---- the workers ---- */

/* With the lane locked. */
static struct job *take_first(struct lane *lane)
{
    if (lane->count == 0)
        return NULL;
    struct job *job = lane->ring[lane->first];
    lane->first = (lane->first + 1) % ring_size;
    lane->count--;
    return job;
}

static struct job *steal(const struct lane *thief)
{
    struct job *job = NULL;
    for (int i = 1; i < lane_count && job == NULL; i++) {
        struct lane *lane = &lanes[(thief - lanes + i) % lane_count]; /* everybody begins with a different one */
        pthread_mutex_lock(&lane->lock);
        job = take_first(lane);
        pthread_mutex_unlock(&lane->lock);
    }
    return job;
}

/* Wakes one idle worker, if there is one, so that it looks into all lanes. */
static void nudge(const struct lane *by)
{
    bool found = false;
    for (int i = 0; i < lane_count && !found; i++) {
        struct lane *lane = &lanes[i];
        if (lane == by)
            continue;
        pthread_mutex_lock(&lane->lock);
        found = !lane->busy && lane->count == 0 && !lane->nudged;
        if (found) {
            lane->nudged = true;
            pthread_cond_signal(&lane->knock);
        }
        pthread_mutex_unlock(&lane->lock);
    }
}

/* Sleeps until there is a job. NULL: all lanes are closed and empty. */
static struct job *take(struct lane *mine, bool *stolen)
{
    bool over = false;
    struct job *job;

    pthread_mutex_lock(&mine->lock);
    mine->busy = false;
    *stolen = false;
    while ((job = take_first(mine)) == NULL && !over) {
        over = mine->closed; /* before the look, so that the look is the last one that is needed */
        mine->nudged = false;
        pthread_mutex_unlock(&mine->lock);
        job = steal(mine);
        pthread_mutex_lock(&mine->lock);
        *stolen = job != NULL;
        if (*stolen)
            break;
        while (mine->count == 0 && !mine->nudged && !mine->closed)
            pthread_cond_wait(&mine->knock, &mine->lock);
    }
    mine->busy = job != NULL;
    bool pass_on = mine->busy && (mine->nudged || mine->count > 0);
    mine->nudged = false;
    pthread_mutex_unlock(&mine->lock);

    if (pass_on)
        nudge(mine);
    return job;
}

static void give_back_place(void)
{
    pthread_mutex_lock(&places.lock);
    bool wanted = places.wanted;
    places.wanted = false;
    places.taken--;
    pthread_mutex_unlock(&places.lock);
    if (wanted)
        ring_the_bell();
}

static void hand_in(struct job *job)
{
    pthread_mutex_lock(&results.lock);
    job->below = results.top;
    results.top = job;
    pthread_mutex_unlock(&results.lock);
    ring_the_bell();
}

static void *worker(void *argument)
{
    struct lane *mine = argument;
    int number = (int)(mine - lanes);
    struct job *job;
    bool stolen;

    tell("worker %d: here", number);
    while ((job = take(mine, &stolen)) != NULL) {
        give_back_place();
        tell("worker %d: %s a job of %zu bytes", number, stolen ? "has stolen" : "has", job->length);
        compute(job);
        tell("worker %d: answers %.*s", number, (int)job->answer_length - 1, job->answer);
        hand_in(job);
        tell("worker %d: is done with it", number);
    }
    tell("worker %d: goes home", number);
    return NULL;
}

/* ---- the event loop's side ---- */

void lanes_open(int workers, size_t capacity)
{
    places.capacity = capacity;
    lane_count = workers;
    /* The fullest lane, just after a put: it had the least to do, and so at most its share of CAPACITY - 1 jobs that
     * waited and of one job in each hand; and one more has come. */
    ring_size = (capacity - 1) / (size_t)workers + 2;
    pthread_mutex_init(&places.lock, NULL);
    pthread_mutex_init(&results.lock, NULL);
    bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell < 0)
        abort();
    for (int i = 0; i < workers; i++) { /* all lanes before the first thief */
        pthread_mutex_init(&lanes[i].lock, NULL);
        pthread_cond_init(&lanes[i].knock, NULL);
        lanes[i].ring = calloc(ring_size, sizeof *lanes[i].ring);
        if (lanes[i].ring == NULL)
            abort();
    }
    for (int i = 0; i < workers; i++)
        if (pthread_create(&lanes[i].thread, NULL, worker, &lanes[i]) != 0)
            abort();
}

bool lanes_room(void)
{
    pthread_mutex_lock(&places.lock);
    bool room = places.taken < places.capacity;
    places.wanted = !room;
    pthread_mutex_unlock(&places.lock);
    return room;
}

void lanes_put(struct job *job)
{
    static int begin; /* takes turns, or the first lanes would get all the work of a quiet day */
    struct lane *best = NULL;
    size_t least = SIZE_MAX;

    pthread_mutex_lock(&places.lock);
    places.taken++;
    pthread_mutex_unlock(&places.lock);

    for (int i = 0; i < lane_count && least > 0; i++) {
        struct lane *lane = &lanes[(begin + i) % lane_count];
        pthread_mutex_lock(&lane->lock);
        size_t load = lane->count + lane->busy;
        pthread_mutex_unlock(&lane->lock);
        if (load < least) {
            least = load;
            best = lane;
        }
    }
    begin = (int)(best - lanes) + 1;

    pthread_mutex_lock(&best->lock);
    best->ring[(best->first + best->count++) % ring_size] = job;
    bool has_to_wait = best->busy;
    pthread_cond_signal(&best->knock);
    pthread_mutex_unlock(&best->lock);
    if (has_to_wait)
        nudge(best);
}

int lanes_bell(void)
{
    return bell;
}

struct job *lanes_results(void)
{
    struct job *oldest = NULL;
    uint64_t rings;

    while (read(bell, &rings, sizeof rings) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&results.lock);
    struct job *job = results.top;
    results.top = NULL;
    pthread_mutex_unlock(&results.lock);
    for (struct job *below; job != NULL; job = below) { /* ours alone by now: turned round without the lock */
        below = job->below;
        job->below = oldest;
        oldest = job;
    }
    return oldest;
}

struct occupancy lanes_occupancy(void)
{
    struct occupancy all = {0, 0};
    for (int i = 0; i < lane_count; i++) {
        pthread_mutex_lock(&lanes[i].lock);
        all.waiting += lanes[i].count;
        all.at_work += lanes[i].busy;
        pthread_mutex_unlock(&lanes[i].lock);
    }
    return all;
}

void lanes_close(void)
{
    for (int i = 0; i < lane_count; i++) {
        pthread_mutex_lock(&lanes[i].lock);
        lanes[i].closed = true;
        pthread_cond_signal(&lanes[i].knock);
        pthread_mutex_unlock(&lanes[i].lock);
    }
    for (int i = 0; i < lane_count; i++)
        pthread_join(lanes[i].thread, NULL);
    for (int i = 0; i < lane_count; i++) { /* a thief may have been at any lane until the last of them was home */
        pthread_cond_destroy(&lanes[i].knock);
        pthread_mutex_destroy(&lanes[i].lock);
        free(lanes[i].ring);
    }
    pthread_mutex_destroy(&places.lock);
    pthread_mutex_destroy(&results.lock);
    close(bell);
}
