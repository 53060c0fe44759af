#include "handoff.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static struct worker {
    pthread_t thread;
    long number;
} crew[64];
static long started;

static void burn(long ms)
{
    struct timespec from, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

static void work(struct task *t)
{
    unsigned low = 1, high = 0; /* Adler-32 */
    if (t->length == 0 || (t->length > 2 && t->text[0] == 'b' && t->text[1] == 'a' && t->text[2] == 'd')) {
        strcpy(t->answer, "ERROR: invalid input\n");
        return;
    }
    if (t->length > 5 && t->length < 12 && memcmp(t->text, "spin ", 5) == 0) {
        char digits[8] = {0};
        memcpy(digits, t->text + 5, t->length - 5);
        burn(atol(digits));
    }
    for (size_t i = 0; i < t->length; i++) {
        low = (low + (unsigned char)t->text[i]) % 65521;
        high = (high + low) % 65521;
    }
    snprintf(t->answer, sizeof t->answer, "result: 0x%04X%04X\n", high, low);
}

static void *worker(void *argument)
{
    long self = ((struct worker *)argument)->number;
    struct task *t;
    bool tell;
    while ((t = queue_take(&tell)) != NULL) {
        if (tell)
            results_ring();
        char name[32];
        registry_name(t->client_row, name);
        journal("worker %ld: request %u of %s, %zu bytes", self, t->number, name, t->length);
        work(t);
        journal("worker %ld: %.*s", self, (int)strcspn(t->answer, "\n"), t->answer);
        results_put(t);
    }
    return NULL;
}

void workers_start(long count)
{
    for (; started < count; started++) {
        crew[started].number = started;
        if (pthread_create(&crew[started].thread, NULL, worker, &crew[started]) != 0)
            abort();
    }
}

void workers_join(void)
{
    for (long i = 0; i < started; i++)
        pthread_join(crew[i].thread, NULL);
}
