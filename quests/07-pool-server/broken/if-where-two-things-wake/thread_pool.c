#include "thread_pool.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

enum { HASH_ROUNDS = 200, SPIN_DIGITS = 5 };

void task_answer(struct task *task, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(task->answer, ANSWER_SIZE - 1, format, arguments); /* one byte kept for the newline */
    va_end(arguments);
    task->answer_length = length < ANSWER_SIZE - 2 ? (size_t)length : ANSWER_SIZE - 2;
    task->answer[task->answer_length++] = '\n';
}

/* ---- what a task computes: no shared state, so no lock, and the same text always gives the same answer ---- */

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

static void compute(struct task *task)
{
    if (task->length == 0 || starts_with(task, "bad")) {
        task->failed = true;
        task_answer(task, "ERROR: invalid input");
        return;
    }
    long spin = spin_time(task);
    if (spin > 0)
        burn(spin);
    task_answer(task, "result: %016llx", (unsigned long long)hash(task->text, task->length));
}

/* ---- the workers ---- */

/*
 * First the list, then the eventfd: whoever is woken finds what it was woken for. The write is a system call, so it
 * is made after the unlock: nobody should have to wait for the kernel just to hang a task into a list.
 */
static void hand_back(struct thread_pool *pool, struct task *task)
{
    const uint64_t one = 1;

    task->next_finished = NULL;
    pthread_mutex_lock(&pool->finished_lock);
    *pool->last_finished = task;
    pool->last_finished = &task->next_finished;
    pthread_mutex_unlock(&pool->finished_lock);
    while (write(pool->finished_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

static void *worker(void *argument)
{
    struct thread_pool *pool = argument;
    struct task *task;

    while ((task = task_queue_pop(&pool->tasks)) != NULL) {
        compute(task); /* no lock is held here: this is where the workers run side by side */
        hand_back(pool, task);
        task_queue_done(&pool->tasks);
    }
    return NULL;
}

/* ---- what the event loop calls ---- */

bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity)
{
    pool->workers = 0;
    pool->first_finished = NULL;
    pool->last_finished = &pool->first_finished;
    pool->finished_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (pool->finished_fd < 0)
        return false;
    pool->threads = calloc((size_t)workers, sizeof *pool->threads);
    if (pool->threads == NULL || !task_queue_init(&pool->tasks, capacity)) {
        free(pool->threads);
        close(pool->finished_fd);
        errno = ENOMEM;
        return false;
    }
    pthread_mutex_init(&pool->finished_lock, NULL);
    for (; pool->workers < workers; pool->workers++) {
        int error = pthread_create(&pool->threads[pool->workers], NULL, worker, pool);
        if (error != 0) {
            thread_pool_close(pool);
            thread_pool_destroy(pool);
            errno = error;
            return false;
        }
    }
    return true;
}

void thread_pool_submit(struct thread_pool *pool, struct task *task)
{
    task_queue_push(&pool->tasks, task);
}

struct task *thread_pool_collect(struct thread_pool *pool)
{
    uint64_t count;

    /*
     * First the eventfd, then the list: a task that is handed back in between makes the eventfd readable again, and
     * the loop comes back. The other way round, its wake-up would be swallowed and its client would wait forever.
     */
    while (read(pool->finished_fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
    pthread_mutex_lock(&pool->finished_lock);
    struct task *tasks = pool->first_finished;
    pool->first_finished = NULL;
    pool->last_finished = &pool->first_finished;
    pthread_mutex_unlock(&pool->finished_lock);
    return tasks;
}

void thread_pool_close(struct thread_pool *pool)
{
    task_queue_close(&pool->tasks);
}

/* Join first: only then is it certain that nobody holds a lock, waits on a condition, or writes the eventfd. */
void thread_pool_destroy(struct thread_pool *pool)
{
    task_queue_rest(&pool->tasks);
    for (int i = 0; i < pool->workers; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_mutex_destroy(&pool->finished_lock);
    task_queue_destroy(&pool->tasks);
    close(pool->finished_fd);
    free(pool->threads);
}
