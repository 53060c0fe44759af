/*
 * Lesson 03: the end of the pool, in two steps. thread_pool.h says what each function promises.
 *
 * As it stands, the server serves, and at SIGTERM it just leaves: its workers are still there when main returns, and
 * nothing of what they use was given back.
 *
 * This is what main.c does when SIGTERM has come; the four steps are all on the main thread, in this order:
 *
 *     close(listener)            nobody new
 *     thread_pool_close()        yours: no new task
 *     event_loop_drain()         collects what the workers still finish, and sends it, until nothing is owed any more
 *     thread_pool_join()         yours: wait for the workers, then take down what they used
 *
 * The (void) lines only keep the compiler quiet about what is not used yet; they go as you fill the functions.
 */
#include "thread_pool.h"

#include <stdlib.h>

/*
 * What:   tells the queue that no more tasks will come, so that every worker goes home as soon as it finds the queue
 *         empty. All of them have to hear it, also those that sleep at this moment.
 * Who:    the main thread, when SIGTERM has come; also thread_pool_start() when it could not start all workers. Perhaps
 *         twice.
 * Never:  waits for a worker: the main thread has answers to send. Takes a task out of the queue: it was accepted, and
 *         somebody waits for it. Touches a field of the queue without the queue's lock.
 */
void thread_pool_close(struct thread_pool *pool)
{
    (void)pool;
}

/*
 * What:   waits until each of the pool->workers threads has ended; then gives back all that thread_pool_start() made.
 *         Which of the two has to come first, and what could happen otherwise?
 * Who:    the main thread, after thread_pool_close(), once. It is the last one who uses the pool.
 * Never:  destroys a lock that somebody may still hold or want. Leaves a worker behind: the process would end in the
 *         middle of what it does.
 */
void thread_pool_join(struct thread_pool *pool)
{
    (void)pool;
}
