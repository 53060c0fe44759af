#include "work.h"

#include "completions.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { HASH_ROUNDS = 200, SPIN_DIGITS = 5 };

/* ---- what is computed: no shared state, so no lock, and the same text always gives the same value ---- */

static uint64_t hash(const char *text, size_t length)
{
    uint64_t value = 14695981039346656037u; /* FNV-1a, 64 bits */
    for (int round = 0; round < HASH_ROUNDS; round++)
        for (size_t i = 0; i < length; i++)
            value = (value ^ (unsigned char)text[i]) * 1099511628211u;
    return value;
}

static bool starts_with(const struct task *task, const char *word)
{
    size_t length = strlen(word);
    return task->length >= length && memcmp(task->text, word, length) == 0;
}

/* The milliseconds of "spin MS"; 0 for any other text. */
static long spin_time(const struct task *task)
{
    size_t first = strlen("spin ");
    long milliseconds = 0;

    if (!starts_with(task, "spin ") || task->length > first + SPIN_DIGITS)
        return 0;
    for (size_t i = first; i < task->length; i++) {
        if (task->text[i] < '0' || task->text[i] > '9')
            return 0;
        milliseconds = milliseconds * 10 + (task->text[i] - '0');
    }
    return milliseconds;
}

static long cpu_milliseconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return used.tv_sec * 1000 + used.tv_nsec / 1000000;
}

/* Uses up CPU time of this thread; the clock is a system call, so it is not asked all the time. */
static void burn(long milliseconds)
{
    for (long start = cpu_milliseconds(); cpu_milliseconds() - start < milliseconds;)
        for (volatile int i = 0; i < 100000; i++)
            continue;
}

/* ---- the two ends of a task ---- */

static void succeed(struct task *task, uint64_t value)
{
    task->failed = false;
    task->answer_length = (size_t)snprintf(task->answer, ANSWER_SIZE, "%016llx", (unsigned long long)value);
}

/* The message goes into the task, and so to whoever asked: there is no other place from which it could find the way. */
static void fail(struct task *task, const char *message)
{
    task->failed = true;
    task->answer_length = (size_t)snprintf(task->answer, ANSWER_SIZE, "%s", message);
}

static void compute(struct task *task)
{
    if (task->length == 0 || starts_with(task, "bad")) {
        fail(task, "invalid input");
        return;
    }
    burn(spin_time(task));
    succeed(task, hash(task->text, task->length));
}

/*
 * One way in, one way out. However compute() ends, the task is posted, here and nowhere else: no return in its middle
 * can lose a task, and the event loop is woken for an error as it is for a result.
 */
void work_run(void *argument)
{
    struct task *task = argument;

    compute(task);
    completions_post(task);
}
