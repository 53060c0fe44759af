/*
 * Lesson 01: the bounded queue. A mutex, two conditions, a ring. The header says what each function promises; here
 * stands who calls it, and what it must never do. The program around it is given (driver/driver.c).
 *
 * The (void) lines only keep the compiler quiet about what is not used yet; they go as you fill the functions.
 */
#include "task_queue.h"

#include <stdlib.h>

bool task_queue_init(struct task_queue *queue, size_t capacity)
{
    /*
     * Who: the main thread, once, before there are other threads. So it needs no lock; it makes one.
     * Your work: the slots (calloc), the numbers, the flag, and pthread_..._init for the mutex and for both conditions.
     * Never: trust that the struct is zero. Never come back with true if calloc gave nothing.
     */
    (void)queue;
    (void)capacity;
    return true;
}

void task_queue_destroy(struct task_queue *queue)
{
    /*
     * Who: the main thread, once, after it has joined all others.
     * Your work: the same list as in init, upside down.
     * Never: forget one. There are four things.
     */
    (void)queue;
}

bool task_queue_push(struct task_queue *queue, void *task)
{
    /*
     * Who: many threads at the same time.
     * Your work: lock; wait while it is full; closed? then nothing happens to the queue; otherwise put the task behind
     * the last one, count it and wake one who waits for a task; unlock, on every way out.
     * Never: let more than `capacity` tasks in, overwrite one, ask again and again instead of sleeping, or sleep on
     * when the queue has been closed.
     * Two questions: why is the wait a `while` and not an `if`? Who has the lock during the wait?
     */
    (void)queue;
    (void)task;
    return false;
}

bool task_queue_try_push(struct task_queue *queue, void *task)
{
    /*
     * Who: a thread that must not sleep, because others wait for it: an event loop, say.
     * Your work: as push; only that full is an answer here, and not a reason to wait. (Waiting for the lock is allowed:
     * nobody keeps it for longer than a few lines.)
     * Never: pthread_cond_wait. Never ask with the lock, let go of it, and then act on what was true before.
     */
    (void)queue;
    (void)task;
    return false;
}

void *task_queue_pop(struct task_queue *queue)
{
    /*
     * Who: many threads at the same time.
     * Your work: the mirror image of push. What is different: a closed queue is no reason to leave while a task is
     * left.
     * Never: give one task to two threads, return NULL while the queue is open, or NULL while a task is inside.
     */
    (void)queue;
    return NULL;
}

void task_queue_close(struct task_queue *queue)
{
    /*
     * Who: any thread, perhaps two of them, perhaps twice.
     * Your work: three lines, between lock and unlock. Who has to hear of it: one who waits, or all of them? Where do
     * they wait?
     * Never: throw away what is inside, or wait until somebody has taken it.
     */
    (void)queue;
}

size_t task_queue_length(struct task_queue *queue)
{
    /*
     * Who: anybody who is curious.
     * Your work: lock, copy the number, unlock, return the copy.
     * Never: "it is only a number, I need no lock to read it".
     */
    (void)queue;
    return 0;
}
