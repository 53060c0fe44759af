/*
 * Drives the queue of lesson 01 for the benchmark: one producer, some consumers, tasks that cost nothing.
 *
 *     ring CAPACITY CONSUMERS MILLISECONDS PAUSE
 *
 * PAUSE: so many microseconds the producer sleeps before each task; 0: it never does. Prints one line, the same that the other queues print: operations, nanoseconds, nanoseconds of CPU time, context switches.
 * Exits with status 1 if a number was lost or came twice.
 */
#include "task_queue.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { LOOKS_AT_THE_CLOCK_EVERY = 64 };

static struct task_queue queue;
static pthread_barrier_t start;

struct consumer {
    pthread_t thread;
    uint64_t count, sum;
};

static void *consume(void *argument)
{
    struct consumer *self = argument;
    uint64_t count = 0, sum = 0;
    void *task;

    pthread_barrier_wait(&start);
    while ((task = task_queue_pop(&queue)) != NULL) {
        count++;
        sum += (uintptr_t)task;
    }
    self->count = count;
    self->sum = sum;
    return NULL;
}

static int64_t now(clockid_t clock)
{
    struct timespec time;

    clock_gettime(clock, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

static long switches(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw + usage.ru_nivcsw;
}

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "ring: %s\n", what);
    exit(1);
}

int main(int argc, char **argv)
{
    must(argc == 5, "usage: ring CAPACITY CONSUMERS MILLISECONDS PAUSE");
    size_t capacity = strtoul(argv[1], NULL, 10);
    size_t consumers = strtoul(argv[2], NULL, 10);
    int64_t length = strtoll(argv[3], NULL, 10) * 1000000;
    struct timespec pause = {.tv_nsec = strtol(argv[4], NULL, 10) * 1000};

    struct consumer *all = calloc(consumers, sizeof *all);
    must(all != NULL && task_queue_init(&queue, capacity), "no memory");
    pthread_barrier_init(&start, NULL, (unsigned)consumers + 1);
    for (size_t i = 0; i < consumers; i++)
        must(pthread_create(&all[i].thread, NULL, consume, &all[i]) == 0, "cannot start a thread");

    pthread_barrier_wait(&start);
    long switches_before = switches();
    int64_t cpu_before = now(CLOCK_PROCESS_CPUTIME_ID), before = now(CLOCK_MONOTONIC);
    uint64_t number = 0, sum = 0;
    do {
        if (pause.tv_nsec > 0)
            nanosleep(&pause, NULL);
        for (int i = 0; i < (pause.tv_nsec > 0 ? 1 : LOOKS_AT_THE_CLOCK_EVERY); i++) {
            number++; /* from 1: a task is never NULL */
            sum += number;
            task_queue_push(&queue, (void *)(uintptr_t)number);
        }
    } while (now(CLOCK_MONOTONIC) - before < length);
    task_queue_close(&queue);
    uint64_t count_out = 0, sum_out = 0;
    for (size_t i = 0; i < consumers; i++) {
        pthread_join(all[i].thread, NULL);
        count_out += all[i].count;
        sum_out += all[i].sum;
    }
    int64_t took = now(CLOCK_MONOTONIC) - before, cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu_before;
    long switched = switches() - switches_before;

    must(count_out == number && sum_out == sum, "a task was lost or came twice");
    printf("%llu %lld %lld %ld\n", (unsigned long long)number, (long long)took, (long long)cpu, switched);
    pthread_barrier_destroy(&start);
    task_queue_destroy(&queue);
    free(all);
    return 0;
}
