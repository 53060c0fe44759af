#include "crew.h"
#include "list.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct task {
    struct link link; /* in `waiting` or in `free` */
    struct ticket ticket;
    size_t length;
    char text[TEXT_MAX];
};

/* What a worker works with: each thread has its own, and nobody else knows where it is. */
struct scratch {
    size_t length;
    char text[TEXT_MAX];
    struct result result;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct link waiting, free;
    bool closed;
    bool room_wanted;
    struct hand { /* of each worker */
        bool busy, told;
        int64_t since;
        struct ticket ticket;
    } hands[CREW_MAX];
} desk;

static struct slot {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t emptied;
    bool full;
    struct result result;
} slots[CREW_MAX];

static struct task *tasks;
static int worker_count, bell;
static int64_t limit; /* in ns */
static pthread_barrier_t all_here;
static pthread_once_t key_made = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;

int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void ring(void)
{
    const uint64_t one = 1;
    while (write(bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- workers ---- */

static void make_key(void)
{
    if (pthread_key_create(&scratch_key, free) != 0) /* free(): what a thread has left when it ends */
        abort();
}

static struct scratch *scratch_of_this_thread(void)
{
    struct scratch *scratch = pthread_getspecific(scratch_key);
    if (scratch == NULL) {
        scratch = must(malloc(sizeof *scratch));
        if (pthread_setspecific(scratch_key, scratch) != 0)
            abort();
    }
    return scratch;
}

static void burn(const char *number, size_t length)
{
    char digits[8] = "";
    struct timespec from, now;

    memcpy(digits, number, length);
    long ms = strtol(digits, NULL, 10);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do {
        for (volatile int i = 0; i < 30000; i++)
            continue;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

/* The VALUE is a hash (Bernstein's), to the right in 20 columns. */
static void compute(struct scratch *s)
{
    uint64_t hash = 5381;
    int n;

    if (s->length == 0 || (s->length >= 3 && memcmp(s->text, "bad", 3) == 0)) {
        n = snprintf(s->result.text, ANSWER_MAX, "ERROR: invalid input\n");
    } else {
        if (s->length > 5 && s->length < 11 && memcmp(s->text, "spin ", 5) == 0)
            burn(s->text + 5, s->length - 5);
        for (size_t i = 0; i < s->length; i++)
            hash = hash * 33 + (unsigned char)s->text[i];
        n = snprintf(s->result.text, ANSWER_MAX, "result: %20llu\n", (unsigned long long)hash);
    }
    s->result.length = (size_t)n;
}

/* Sleeps until there is a task, and copies it into the scratch. False: the desk is closed, and nothing waits. */
static bool take(struct hand *hand, struct scratch *scratch)
{
    pthread_mutex_lock(&desk.lock);
    hand->busy = false;
    while (list_empty(&desk.waiting) && !desk.closed)
        pthread_cond_wait(&desk.work, &desk.lock);
    struct link *first = list_take(&desk.waiting);
    if (first != NULL) {
        struct task *task = OWNER(first, struct task, link);
        scratch->result.ticket = task->ticket;
        scratch->length = task->length;
        memcpy(scratch->text, task->text, task->length);
        list_append(&desk.free, &task->link);
        *hand = (struct hand){.busy = true, .since = now_ns(), .ticket = task->ticket};
        /* Under the lock: what happens to this thread behind it must not keep the loop from setting its alarm. */
        if (desk.room_wanted || limit > 0)
            ring();
        desk.room_wanted = false;
    }
    pthread_mutex_unlock(&desk.lock);
    return first != NULL;
}

static void put_into_slot(struct slot *slot, const struct result *result)
{
    pthread_mutex_lock(&slot->lock);
    while (slot->full)
        pthread_cond_wait(&slot->emptied, &slot->lock);
    slot->result = *result;
    slot->full = true;
    pthread_mutex_unlock(&slot->lock);
    ring();
}

static void *worker(void *argument)
{
    struct slot *slot = argument;
    struct hand *hand = &desk.hands[slot - slots];

    /* Whoever comes first makes the key. It is used behind the barrier only: pthread_once() alone would do, but Helgrind
     * does not know that it puts the making before the use. It knows barriers. */
    pthread_once(&key_made, make_key);
    pthread_barrier_wait(&all_here);
    while (take(hand, scratch_of_this_thread())) {
        compute(scratch_of_this_thread());
        put_into_slot(slot, &scratch_of_this_thread()->result);
    }
    return NULL;
}

/* ---- the event loop's side ---- */

void crew_open(int workers, size_t capacity, long limit_ms)
{
    limit = limit_ms * INT64_C(1000000);
    worker_count = workers;
    bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell < 0)
        abort();
    pthread_mutex_init(&desk.lock, NULL);
    pthread_cond_init(&desk.work, NULL);
    list_open(&desk.waiting);
    list_open(&desk.free);
    tasks = must(calloc(capacity, sizeof *tasks));
    for (size_t i = 0; i < capacity; i++) {
        list_open(&tasks[i].link);
        list_append(&desk.free, &tasks[i].link);
    }
    pthread_barrier_init(&all_here, NULL, (unsigned)workers + 1);
    for (int i = 0; i < workers; i++) {
        pthread_mutex_init(&slots[i].lock, NULL);
        pthread_cond_init(&slots[i].emptied, NULL);
        if (pthread_create(&slots[i].thread, NULL, worker, &slots[i]) != 0)
            abort();
    }
    pthread_barrier_wait(&all_here);
}

bool crew_room(void)
{
    pthread_mutex_lock(&desk.lock);
    bool room = !list_empty(&desk.free);
    desk.room_wanted = !room;
    pthread_mutex_unlock(&desk.lock);
    return room;
}

void crew_push(struct ticket ticket, const char *text, size_t length)
{
    pthread_mutex_lock(&desk.lock);
    struct task *task = OWNER(list_take(&desk.free), struct task, link);
    task->ticket = ticket;
    task->length = length;
    memcpy(task->text, text, length);
    list_append(&desk.waiting, &task->link);
    pthread_cond_signal(&desk.work);
    pthread_mutex_unlock(&desk.lock);
}

int crew_bell(void)
{
    return bell;
}

void crew_silence(void)
{
    uint64_t rings;
    while (read(bell, &rings, sizeof rings) < 0 && errno == EINTR)
        continue;
}

int crew_results(struct result found[CREW_MAX])
{
    int count = 0;
    for (int i = 0; i < worker_count; i++) {
        pthread_mutex_lock(&slots[i].lock);
        if (slots[i].full) {
            found[count++] = slots[i].result;
            slots[i].full = false;
            pthread_cond_signal(&slots[i].emptied);
        }
        pthread_mutex_unlock(&slots[i].lock);
    }
    return count;
}

int crew_overdue(struct ticket found[CREW_MAX], int64_t *next)
{
    int count = 0;
    *next = INT64_MAX;
    if (limit == 0)
        return 0;
    pthread_mutex_lock(&desk.lock);
    int64_t now = now_ns();
    for (int i = 0; i < worker_count; i++) {
        struct hand *hand = &desk.hands[i];
        if (!hand->busy || hand->told)
            continue;
        if (now - hand->since >= limit) {
            hand->told = true;
            found[count++] = hand->ticket;
        } else if (hand->since + limit < *next) {
            *next = hand->since + limit;
        }
    }
    pthread_mutex_unlock(&desk.lock);
    return count;
}

void crew_close(void)
{
    pthread_mutex_lock(&desk.lock);
    desk.closed = true;
    pthread_cond_broadcast(&desk.work);
    pthread_mutex_unlock(&desk.lock);
    for (int i = 0; i < worker_count; i++) {
        pthread_join(slots[i].thread, NULL);
        pthread_cond_destroy(&slots[i].emptied);
        pthread_mutex_destroy(&slots[i].lock);
    }
    pthread_barrier_destroy(&all_here); /* not before: the last ones may still have been on their way out of it */
    pthread_key_delete(scratch_key);
    pthread_cond_destroy(&desk.work);
    pthread_mutex_destroy(&desk.lock);
    close(bell);
    free(tasks);
}
