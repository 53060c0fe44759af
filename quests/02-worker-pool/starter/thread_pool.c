/*
 * Lesson 02: the workers. thread_pool.h says what each function promises; this file is where you keep it.
 *
 * As it stands, the program builds, starts, says that it cannot start its workers, and ends with exit status 1.
 *
 * The (void) lines only keep the compiler quiet about what is not used yet; they go as you fill the functions.
 */
#include "thread_pool.h"

#include <errno.h>
#include <stdlib.h>

/*
 * Your work, to be written here first:
 *
 *     static void *worker(void *argument)
 *
 * What:   all that a worker does in its life. Take a task out of the queue, do pool->work(task), take the next one.
 *         Return NULL when task_queue_pop() says that there will be no more.
 * Who:    every worker runs this function, all of them at the same time. `argument` is what you gave to
 *         pthread_create(): which one pointer does a worker need?
 * Never:  return for another reason: a worker that is gone is missing for the rest of the program's life.
 *         Hold a lock while it works: then the others wait until it is done.
 *         Look at the task after pool->work(): by then it belongs to somebody else, who may have freed it.
 */

/*
 * What:   fills all fields of *pool, makes the queue, then starts exactly `workers` threads, numbers 0 to workers - 1
 *         of pool->threads. Everything that a worker looks at has to be there before the first pthread_create(). When
 *         something fails: sends home and joins what runs already (which two functions of thread_pool.h do that? they
 *         look at pool->workers), sets errno, returns false. Note that pthread_create() returns its error.
 * Who:    the main thread, once, before the first client. SIGTERM is blocked meanwhile, so that no worker gets it.
 * Never:  starts a thread that is not one of the workers. Leaves something behind when it returns false.
 */
bool thread_pool_start(struct thread_pool *pool, int workers, size_t capacity, void (*work)(void *task))
{
    (void)pool;
    (void)workers;
    (void)capacity;
    (void)work;
    errno = ENOSYS; /* Function not implemented */
    return false;
}

/*
 * What:   hands a task to the workers, and waits as long as the queue is full. False: the pool is closed, and the task
 *         was not taken.
 * Who:    the event loop, on the main thread, for each line that it has read.
 * Never:  starts a thread. Works on the task itself. Throws a task away because there is no room for it.
 */
bool thread_pool_submit(struct thread_pool *pool, void *task)
{
    (void)pool;
    (void)task;
    return false;
}
