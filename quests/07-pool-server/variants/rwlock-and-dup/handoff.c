#define _GNU_SOURCE
#include "handoff.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct task **ring;
    size_t capacity, first, length;
    bool loop_waits, closed;
} queue;

static struct {
    pthread_mutex_t lock;
    long waiting, running, finished;
} ledger;

static struct {
    pthread_mutex_t lock;
    struct task *first, *last;
    int fd;
} results;

static struct {
    pthread_rwlock_t lock;
    int rows;
    struct row {
        bool used;
        char name[32];
    } *row;
} registry;

static int journal_fd;

static void *checked(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

void handoff_init(size_t capacity)
{
    pthread_mutex_init(&queue.lock, NULL);
    pthread_cond_init(&queue.filled, NULL);
    pthread_mutex_init(&ledger.lock, NULL);
    pthread_mutex_init(&results.lock, NULL);
    pthread_rwlock_init(&registry.lock, NULL);
    queue.ring = checked(calloc(capacity, sizeof *queue.ring));
    queue.capacity = capacity;
    results.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    const char *path = getenv("POOL_SERVER_LOG");
    if (path != NULL)
        journal_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    else
        journal_fd = open("/tmp", O_TMPFILE | O_WRONLY | O_APPEND | O_CLOEXEC, 0600); /* vanishes with us */
    if (journal_fd < 0)
        journal_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (results.fd < 0 || journal_fd < 0)
        abort();
}

void handoff_destroy(void)
{
    pthread_cond_destroy(&queue.filled);
    pthread_mutex_destroy(&queue.lock);
    pthread_mutex_destroy(&ledger.lock);
    pthread_mutex_destroy(&results.lock);
    pthread_rwlock_destroy(&registry.lock);
    free(queue.ring);
    free(registry.row);
    close(results.fd);
    close(journal_fd);
}

bool queue_offer(struct task *t)
{
    pthread_mutex_lock(&queue.lock);
    bool room = queue.length < queue.capacity;
    queue.loop_waits = !room;
    if (room) {
        queue.ring[(queue.first + queue.length++) % queue.capacity] = t;
        pthread_mutex_lock(&ledger.lock);
        ledger.waiting++;
        pthread_mutex_unlock(&ledger.lock);
        pthread_cond_signal(&queue.filled);
    }
    pthread_mutex_unlock(&queue.lock);
    return room;
}

struct task *queue_take(bool *tell)
{
    struct task *t = NULL;
    pthread_mutex_lock(&queue.lock);
    while (queue.length == 0 && !queue.closed)
        pthread_cond_wait(&queue.filled, &queue.lock);
    *tell = queue.length > 0 && queue.loop_waits;
    if (queue.length > 0) {
        t = queue.ring[queue.first];
        queue.first = (queue.first + 1) % queue.capacity;
        queue.length--;
        queue.loop_waits = false;
        pthread_mutex_lock(&ledger.lock); /* hand over hand: */
        pthread_mutex_unlock(&queue.lock);
        ledger.waiting--;
        ledger.running++;
        pthread_mutex_unlock(&ledger.lock);
        return t;
    }
    pthread_mutex_unlock(&queue.lock);
    return NULL;
}

void queue_close(void)
{
    pthread_mutex_lock(&queue.lock);
    queue.closed = true;
    pthread_cond_broadcast(&queue.filled);
    pthread_mutex_unlock(&queue.lock);
}

void results_put(struct task *t)
{
    t->next = NULL;
    pthread_mutex_lock(&ledger.lock);
    ledger.running--;
    ledger.finished++;
    pthread_mutex_lock(&results.lock);
    if (results.first == NULL)
        results.first = t;
    else
        results.last->next = t;
    results.last = t;
    pthread_mutex_unlock(&results.lock);
    pthread_mutex_unlock(&ledger.lock);
    results_ring();
}

void results_ring(void)
{
    if (write(results.fd, &(uint64_t){1}, sizeof(uint64_t)) < 0)
        abort();
}

struct task *results_get(void)
{
    uint64_t rings;
    ssize_t n = read(results.fd, &rings, sizeof rings);
    (void)n; /* nothing there: we look all the same */
    pthread_mutex_lock(&results.lock);
    struct task *first = results.first;
    results.first = NULL;
    pthread_mutex_unlock(&results.lock);
    return first;
}

int results_fd(void)
{
    return results.fd;
}

int registry_add(const char *name)
{
    pthread_rwlock_wrlock(&registry.lock);
    int at = 0;
    while (at < registry.rows && registry.row[at].used)
        at++;
    if (at == registry.rows) {
        registry.rows += 64;
        registry.row = checked(realloc(registry.row, (size_t)registry.rows * sizeof *registry.row));
        memset(registry.row + at, 0, 64 * sizeof *registry.row);
    }
    registry.row[at].used = true;
    snprintf(registry.row[at].name, sizeof registry.row[at].name, "%s", name);
    pthread_rwlock_unlock(&registry.lock);
    return at;
}

void registry_remove(int row)
{
    pthread_rwlock_wrlock(&registry.lock);
    registry.row[row].used = false;
    pthread_rwlock_unlock(&registry.lock);
}

void registry_name(int row, char name[32])
{
    pthread_rwlock_rdlock(&registry.lock);
    memcpy(name, registry.row[row].name, 32);
    pthread_rwlock_unlock(&registry.lock);
}

void journal(const char *format, ...)
{
    char line[200];
    va_list rest;
    va_start(rest, format);
    int n = vsnprintf(line, sizeof line, format, rest);
    va_end(rest);
    if (n >= (int)sizeof line)
        n = sizeof line - 1;
    line[n++] = '\n'; /* in place of the 0; O_APPEND keeps lines whole without a lock */
    ssize_t written = write(journal_fd, line, (size_t)n);
    (void)written; /* a full disk is no reason to stop */
}

void journal_totals(void)
{
    pthread_mutex_lock(&ledger.lock);
    journal("%ld waiting, %ld running, %ld finished", ledger.waiting, ledger.running, ledger.finished);
    pthread_mutex_unlock(&ledger.lock);
}
