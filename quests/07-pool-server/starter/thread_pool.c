/* Step 2: the workers. Do step 1 first: they sleep in task_queue_pop(). */
#include "thread_pool.h"

#include <stdarg.h>
#include <stdio.h>

/* Given. */
void task_answer(struct task *task, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(task->answer, ANSWER_SIZE - 1, format, arguments); /* one byte is kept for the newline */
    va_end(arguments);
    task->answer_length = length < ANSWER_SIZE - 2 ? (size_t)length : ANSWER_SIZE - 2;
    task->answer[task->answer_length++] = '\n';
}

/*
 * Your work, three static functions, to be written here in this order:
 *
 *     void compute(struct task *task)
 *         `ERROR: invalid input` for an empty text and for one that starts with `bad`, `result: VALUE` for any other.
 *         It looks at nothing but the task's text: no static variable, no global one. Then it needs no lock.
 *
 *     void hand_back(struct thread_pool *pool, struct task *task)
 *         Hangs the task into the list of finished ones, with the lock, and writes the 8-byte number 1 to finished_fd.
 *         Which of the two comes first, and why?
 *
 *     void *worker(void *argument)
 *         What a worker does all its life: pop, compute, hand back; return NULL when there is no task any more.
 *         Does it hold a lock while it computes?
 */

bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity)
{
    /*
     * Your work: the queue, the empty list and its lock, the eventfd (EFD_NONBLOCK), then exactly `workers` threads.
     * As soon as they are there, `quest check --only R2` passes.
     */
    (void)workers;
    (void)capacity;
    pool->finished_fd = -1;
    return true;
}

void thread_pool_submit(struct thread_pool *pool, struct task *task)
{
    /* Your work: one line. */
    (void)pool;
    (void)task;
}

struct task *thread_pool_collect(struct thread_pool *pool)
{
    /*
     * Your work: read the eventfd, take the whole list. A worker may hand something back between the two:
     * in which order is that harmless?
     */
    (void)pool;
    return NULL;
}

void thread_pool_close(struct thread_pool *pool)
{
    /* Your work: one line. */
    (void)pool;
}

void thread_pool_destroy(struct thread_pool *pool)
{
    /* Your work: join every worker first. What could go wrong if you destroyed the lock first? */
    (void)pool;
}
