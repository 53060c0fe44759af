#include "pool.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

static pthread_mutex_t queue_mutex, tray_mutex;
static pthread_cond_t queue_filled, queue_drained;
static struct cell *queue_first, **queue_last = &queue_first;
static size_t queue_count, queue_limit;
static bool queue_closed;
static struct cell *tray_first, **tray_last = &tray_first;
static int bell, worker_count;
static pthread_t *worker_threads;
static struct cell *all_cells;

static void *need(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* The VALUE of a text is the text from back to front. */
static void work(struct cell *c)
{
    static const char good[] = "result: ", bad[] = "ERROR: invalid input\n";
    size_t n = c->text_len;
    if (n == 0 || (n >= 3 && memcmp(c->text, "bad", 3) == 0)) {
        c->answer_len = sizeof bad - 1;
        c->answer = memcpy(need(malloc(c->answer_len)), bad, c->answer_len);
        return;
    }
    c->answer_len = sizeof good - 1 + n + 1;
    c->answer = memcpy(need(malloc(c->answer_len)), good, sizeof good - 1);
    for (size_t i = 0; i < n; i++)
        c->answer[sizeof good - 1 + i] = c->text[n - 1 - i];
    c->answer[c->answer_len - 1] = '\n';
}

static void *worker(void *unused)
{
    (void)unused;
    for (;;) {
        pthread_mutex_lock(&queue_mutex);
        while (queue_count == 0 && !queue_closed)
            pthread_cond_wait(&queue_filled, &queue_mutex);
        struct cell *c = queue_first;
        if (c == NULL) {
            pthread_mutex_unlock(&queue_mutex);
            return NULL;
        }
        if ((queue_first = c->next) == NULL)
            queue_last = &queue_first;
        if (queue_count-- == queue_limit)
            pthread_cond_signal(&queue_drained);
        pthread_mutex_unlock(&queue_mutex);

        work(c);

        c->next = NULL;
        pthread_mutex_lock(&tray_mutex);
        bool was_empty = tray_first == NULL;
        *tray_last = c;
        tray_last = &c->next;
        pthread_mutex_unlock(&tray_mutex);
        /* Who finds something on the tray knows that the bell was rung for it, and the loop takes everything. */
        if (was_empty && write(bell, &(uint64_t){1}, sizeof(uint64_t)) < 0)
            abort();
    }
}

struct cell *pool_open(int workers, size_t capacity)
{
    size_t cells = capacity + (size_t)workers;
    all_cells = need(calloc(cells, sizeof *all_cells));
    for (size_t i = 0; i + 1 < cells; i++)
        all_cells[i].next = &all_cells[i + 1];
    queue_limit = capacity;
    worker_threads = need(calloc((size_t)workers, sizeof *worker_threads));
    pthread_mutex_init(&queue_mutex, NULL);
    pthread_mutex_init(&tray_mutex, NULL);
    pthread_cond_init(&queue_filled, NULL);
    pthread_cond_init(&queue_drained, NULL);
    if ((bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) < 0)
        abort();
    for (; worker_count < workers; worker_count++)
        if (pthread_create(&worker_threads[worker_count], NULL, worker, NULL) != 0)
            abort();
    return all_cells;
}

void pool_submit(struct cell *c)
{
    c->next = NULL;
    pthread_mutex_lock(&queue_mutex);
    /* Not for long: if a cell was free while CAPACITY others wait, some worker has empty hands. */
    while (queue_count == queue_limit)
        pthread_cond_wait(&queue_drained, &queue_mutex);
    *queue_last = c;
    queue_last = &c->next;
    queue_count++;
    pthread_cond_signal(&queue_filled);
    pthread_mutex_unlock(&queue_mutex);
}

struct cell *pool_tray(void)
{
    uint64_t rings;
    if (read(bell, &rings, sizeof rings) < 0)
        rings = 0;
    pthread_mutex_lock(&tray_mutex);
    struct cell *c = tray_first;
    tray_first = NULL;
    tray_last = &tray_first;
    pthread_mutex_unlock(&tray_mutex);
    return c;
}

int pool_bell(void)
{
    return bell;
}

void pool_close(void)
{
    pthread_mutex_lock(&queue_mutex);
    queue_closed = true;
    pthread_cond_broadcast(&queue_filled);
    pthread_mutex_unlock(&queue_mutex);
    for (int i = 0; i < worker_count; i++)
        pthread_join(worker_threads[i], NULL);
    pthread_cond_destroy(&queue_drained);
    pthread_cond_destroy(&queue_filled);
    pthread_mutex_destroy(&tray_mutex);
    pthread_mutex_destroy(&queue_mutex);
    close(bell);
    free(worker_threads);
    free(all_cells);
}
