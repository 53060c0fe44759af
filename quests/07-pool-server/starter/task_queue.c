/*
 * Step 1: the bounded queue. A mutex, two conditions, a ring. The header says what each function promises.
 *
 * The (void) lines only keep the compiler quiet about what is not used yet; they go as you fill the functions.
 */
#include "task_queue.h"

#include <stdlib.h>

bool task_queue_init(struct task_queue *queue, size_t capacity)
{
    /* Your work: the slots (calloc), the numbers, and pthread_..._init for the mutex and for both conditions. */
    (void)queue;
    (void)capacity;
    return true;
}

void task_queue_destroy(struct task_queue *queue)
{
    /* Your work: the same list as in init, upside down. */
    (void)queue;
}

void task_queue_push(struct task_queue *queue, struct task *task)
{
    /*
     * Your work: lock; wait while it is full; put the task behind the last one; wake one who waits for a task; unlock.
     * Two questions: why is the wait a `while` and not an `if`? What happens to the lock during the wait?
     */
    (void)queue;
    (void)task;
}

struct task *task_queue_pop(struct task_queue *queue)
{
    /*
     * Your work: the mirror image of push. What is different: it also stops waiting when the queue is closed, and even
     * then it first hands out what is left.
     */
    (void)queue;
    return NULL;
}

void task_queue_close(struct task_queue *queue)
{
    /* Your work: two lines, between lock and unlock. Who has to hear of it: one worker, or all of them? */
    (void)queue;
}
