/*
 * Lesson 04, second part: the event loop. event_loop.h says what the four functions promise; connection.h has what you
 * need for a single client: it reads, cuts lines, keeps answers in order and sends, and it never waits. Your part is to
 * know *when* each of these is to be done, for all clients at once.
 *
 * Four rules:
 *   1. Sockets never block. The only places to sleep are epoll_wait() and, when the queue is full,
 *      thread_pool_submit().
 *   2. A finished task belongs to task->owner, an object, and never to a descriptor number.
 *   3. A connection object lives until its last task is back (in_flight), even if the client is long gone.
 *   4. What is watched is exactly what there is something to do for. Otherwise epoll_wait() never sleeps.
 *
 * A way through it, one step after the other; after each step, build and try:
 *
 *   a. event_loop_open(): epoll_create1(), and three descriptors into the set, all for EPOLLIN: the listener, stop_fd
 *      and completions_fd(). Give each event a pointer (event.data.ptr) by which you know it again: the address of
 *      loop->listener, say, and for a client the address of its connection. A small function watch() that does one
 *      epoll_ctl() saves a lot of typing.
 *   b. A turn of the loop: epoll_wait(), then for each event: who is it? For the listener: accept4() with SOCK_NONBLOCK
 *      until EAGAIN, connection_open(), into the list loop->open, watch it. For a client that can be read:
 *      connection_read(), and then every connection_next_task() goes to thread_pool_submit(); count loop->in_flight.
 *   c. The bell: for each task of completions_collect(): count down, connection_take_back(), and if the client is still
 *      there (fd is not -1), connection_send(). Note that next_finished is gone as soon as the task is.
 *   d. A function that is called whenever something about a client may have changed, after each of the above. It sends
 *      what is ready; closes the client if connection_is_done(); otherwise watches EPOLLIN if it wants_input, EPOLLOUT
 *      if it wants_output, and nothing else (EPOLL_CTL_MOD, only if that is a change). A client that wants neither is
 *      still reported when it breaks: EPOLLERR or EPOLLHUP.
 *   e. To close a client: connection_close(), out of the list, and free() it when in_flight is 0; otherwise when its
 *      last task is back. An event of the same turn may still point to it: so free at the end of the turn (loop->dead).
 *   f. event_loop_drain() and event_loop_close(). Draining, EPOLLIN is not watched, and who is owed nothing is closed.
 *   g. When everything else works: accept4() fails because there are no descriptors left (EMFILE). The listener stays
 *      readable: what does your loop do now? (Stop watching it until a client has left, or for a second.)
 */
#define _GNU_SOURCE /* accept4 */
#include "event_loop.h"

#include "completions.h"
#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * What:   fills all of *loop, makes the epoll set and puts the three descriptors into it.
 * Who:    the main thread, before the workers are started: do not use *pool here, only keep the pointer.
 * Never:  leaves the epoll set open when it returns false.
 */
bool event_loop_open(struct event_loop *loop, int listener, int stop_fd, struct thread_pool *pool)
{
    (void)loop;
    (void)listener;
    (void)stop_fd;
    (void)pool;
    errno = ENOSYS; /* Function not implemented */
    return false;
}

/*
 * What:   turn after turn, until stop_fd was readable (read its 8 bytes, or it stays so).
 * Who:    the main thread.
 * Never:  accepts anybody after it has seen that. Computes an answer. Uses poll(), select() or a nap, or a timeout of
 *         0.
 */
bool event_loop_run(struct event_loop *loop)
{
    (void)loop;
    return false;
}

/*
 * What:   the same turns without reading, until loop->in_flight is 0 and every client has got what it is owed. A client
 *         that does not read cannot hold us: half a second after the last task came back it is over.
 * Who:    the main thread, after thread_pool_close().
 * Never:  leaves while a task is out: its client waits for it.
 */
bool event_loop_drain(struct event_loop *loop)
{
    (void)loop;
    return false;
}

/* What: closes every client and the epoll set. Who: main, after the join. Never: closes the listener or stop_fd. */
void event_loop_close(struct event_loop *loop)
{
    (void)loop;
}
