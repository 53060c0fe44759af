#include "thread_pool.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void ring(int bell)
{
    const uint64_t token = 1;
    if (write(bell, &token, sizeof token) < 0)
        abort(); /* only if 2^64 - 2 tokens lay there already */
}

/* CRC-32 of the text, a few rounds so that it is work. */
static uint32_t checksum(const char *text, size_t length)
{
    uint32_t crc = 0;
    for (int round = 0; round < 16; round++) {
        crc = ~crc;
        for (size_t i = 0; i < length; i++) {
            crc ^= (unsigned char)text[i];
            for (int bit = 0; bit < 8; bit++)
                crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        }
    }
    return crc;
}

/* Who asks what was asked last gets its value at once. */
static struct {
    sem_t lock; /* 1: guards the rest */
    size_t length;
    char text[LINE_MAX_BYTES];
    uint32_t value;
} last;

static bool was_last(const struct task *t, uint32_t *value)
{
    lock_sem(&last.lock);
    bool same = t->length == last.length && memcmp(t->text, last.text, t->length) == 0;
    if (same) {
        *value = last.value;
    } else { /* from now on this is the last one */
        last.length = t->length;
        memcpy(last.text, t->text, t->length);
    }
    sem_post(&last.lock);
    return same;
}

static void remember(uint32_t value)
{
    lock_sem(&last.lock);
    last.value = value;
    sem_post(&last.lock);
}

static uint32_t value_of(const struct task *t)
{
    uint32_t value;
    if (!was_last(t, &value)) {
        value = checksum(t->text, t->length);
        remember(value);
    }
    return value;
}

static void work(struct task *t)
{
    if (t->length == 0 || (t->length >= 3 && memcmp(t->text, "bad", 3) == 0))
        snprintf(t->reply, sizeof t->reply, "ERROR: invalid input\n");
    else
        snprintf(t->reply, sizeof t->reply, "result: %08x\n", value_of(t));
}

static void *worker(void *argument)
{
    struct thread_pool *p = argument;
    struct task *t;
    bool wake;
    while ((t = queue_pop(p->queue, &wake)) != NULL) {
        if (wake)
            ring(p->bell);
        work(t);
        t->next = NULL;
        lock_sem(&p->outbox_lock);
        if (p->first == NULL)
            p->first = t;
        else
            p->last->next = t;
        p->last = t;
        sem_post(&p->outbox_lock);
        ring(p->bell);
    }
    return NULL;
}

bool pool_start(struct thread_pool *p, struct task_queue *queue, int size)
{
    *p = (struct thread_pool){.queue = queue, .bell = eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC)};
    if (p->bell < 0 || sem_init(&p->outbox_lock, 0, 1) < 0 || sem_init(&last.lock, 0, 1) < 0)
        return false;
    for (; p->size < size; p->size++)
        if ((errno = pthread_create(&p->threads[p->size], NULL, worker, p)) != 0)
            return false;
    return true;
}

bool pool_collect(struct thread_pool *p, struct task **t)
{
    uint64_t token;
    if (read(p->bell, &token, sizeof token) < 0)
        return false;
    lock_sem(&p->outbox_lock);
    *t = p->first;
    if (*t != NULL)
        p->first = (*t)->next;
    sem_post(&p->outbox_lock);
    return true;
}

void pool_join(struct thread_pool *p)
{
    for (int i = 0; i < p->size; i++)
        pthread_join(p->threads[i], NULL);
    sem_destroy(&p->outbox_lock);
    sem_destroy(&last.lock);
    close(p->bell);
}
