#include "pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <threads.h>
#include <unistd.h>

typedef struct {
    thrd_t thread;
    int number;
    int bell;
    mtx_t lock; // guards the two ends of the list
    job *oldest, **end;
} worker;

static struct {
    mtx_t lock; // guards everything down to `closed`
    cnd_t not_empty;
    job *oldest, **end;
    size_t length, capacity;
    int sleepers; // workers that wait for not_empty
    bool wanted; // the event loop waits for room
    bool closed;

    int size;
    worker workers[64];
    tss_t self; // the worker, for its log lines
    mtx_t log_lock;
} pool;

// Workers tell what they do on stderr, at length.
static void say(const char *format, ...)
{
    char line[512];
    const worker *w = tss_get(pool.self);
    int n = snprintf(line, sizeof line, "[worker %2d] ................................................ ", w->number);
    va_list rest;
    va_start(rest, format);
    n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, rest);
    va_end(rest);
    n = n < (int)sizeof line - 2 ? n : (int)sizeof line - 2;
    line[n++] = '\n';
    mtx_lock(&pool.log_lock);
    if (write(STDERR_FILENO, line, (size_t)n) < 0)
        n = 0; // nobody listens: all the same to us
    mtx_unlock(&pool.log_lock);
}

static void ring(const worker *w)
{
    if (eventfd_write(w->bell, 1) != 0)
        say("cannot ring, eventfd %d", w->bell);
}

static job *take(bool *wanted)
{
    mtx_lock(&pool.lock);
    while (pool.oldest == NULL && !pool.closed) {
        pool.sleepers++;
        cnd_wait(&pool.not_empty, &pool.lock);
        pool.sleepers--;
    }
    job *j = pool.oldest;
    *wanted = j != NULL && pool.wanted;
    if (j != NULL) {
        pool.oldest = j->next;
        if (pool.oldest == NULL)
            pool.end = &pool.oldest;
        pool.length--;
        pool.wanted = false;
    }
    mtx_unlock(&pool.lock);
    return j;
}

static void work(job *j)
{
    unsigned words = 0, sum = 0;
    bool inside = false;
    for (size_t i = 0; i < j->size; i++) {
        bool letter = j->text[i] != ' ' && j->text[i] != '\t';
        words += letter && !inside;
        inside = letter;
        sum = sum * 31 + (unsigned char)j->text[i];
    }
    if (j->size == 0 || (j->size >= 3 && strncmp(j->text, "bad", 3) == 0))
        snprintf(j->answer, sizeof j->answer, "ERROR: invalid input\n");
    else
        snprintf(j->answer, sizeof j->answer, "result: %u words, %zu bytes, sum %u\n", words, j->size, sum);
}

static int run(void *argument)
{
    worker *w = argument;
    bool wanted;
    tss_set(pool.self, w);
    say("starts, its eventfd is %d", w->bell);
    for (job *j; (j = take(&wanted)) != NULL;) {
        if (wanted)
            ring(w);
        say("took job %p of connection %llu, %zu bytes", (void *)j, (unsigned long long)j->from, j->size);
        work(j);
        say("made of job %p this answer: %.*s", (void *)j, (int)strlen(j->answer) - 1, j->answer);
        j->next = NULL;
        mtx_lock(&w->lock);
        *w->end = j;
        w->end = &j->next;
        mtx_unlock(&w->lock);
        ring(w);
        say("has told the event loop, eventfd %d, and goes back to the queue", w->bell);
    }
    say("leaves");
    return w->number;
}

bool pool_open(int workers, size_t capacity)
{
    pool.capacity = capacity;
    pool.end = &pool.oldest;
    if (mtx_init(&pool.lock, mtx_plain) != thrd_success || mtx_init(&pool.log_lock, mtx_plain) != thrd_success ||
        cnd_init(&pool.not_empty) != thrd_success || tss_create(&pool.self, NULL) != thrd_success)
        return false;
    for (; pool.size < workers; pool.size++) {
        worker *w = &pool.workers[pool.size];
        w->number = pool.size;
        w->end = &w->oldest;
        w->bell = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (w->bell < 0 || mtx_init(&w->lock, mtx_plain) != thrd_success ||
            thrd_create(&w->thread, run, w) != thrd_success)
            return false;
    }
    return true;
}

int pool_eventfd(int number)
{
    return pool.workers[number].bell;
}

bool pool_try_push(job *j)
{
    j->next = NULL;
    mtx_lock(&pool.lock);
    bool room = pool.length < pool.capacity;
    pool.wanted = !room;
    if (room) {
        *pool.end = j;
        pool.end = &j->next;
        pool.length++;
        cnd_signal(&pool.not_empty);
    }
    mtx_unlock(&pool.lock);
    return room;
}

job *pool_finished(int number)
{
    worker *w = &pool.workers[number];
    eventfd_t times;
    eventfd_read(w->bell, &times);
    mtx_lock(&w->lock);
    job *list = w->oldest;
    w->oldest = NULL;
    w->end = &w->oldest;
    mtx_unlock(&w->lock);
    return list;
}

static int sleepers(void)
{
    mtx_lock(&pool.lock);
    int n = pool.sleepers;
    mtx_unlock(&pool.lock);
    return n;
}

void pool_close(void)
{
    int n = sleepers();
    mtx_lock(&pool.lock);
    pool.closed = true;
    while (n-- > 0) // one for each that sleeps; the others find the queue closed
        cnd_signal(&pool.not_empty);
    mtx_unlock(&pool.lock);
    for (int i = 0; i < pool.size; i++) {
        thrd_join(pool.workers[i].thread, NULL);
        mtx_destroy(&pool.workers[i].lock);
        close(pool.workers[i].bell);
    }
    tss_delete(pool.self);
    cnd_destroy(&pool.not_empty);
    mtx_destroy(&pool.lock);
    mtx_destroy(&pool.log_lock);
}
