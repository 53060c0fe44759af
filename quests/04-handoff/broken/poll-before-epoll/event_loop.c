/*
 * Four rules keep this loop right:
 *   1. Sockets never block. The only places to sleep are epoll_wait() and, when the queue is full, the submit.
 *   2. A finished task belongs to a connection object, never to a descriptor number: numbers are used again at once.
 *   3. A connection object lives until its last task is back, even if the client is long gone.
 *   4. What is watched is exactly what there is something to do for; otherwise epoll_wait() never sleeps.
 */
#define _GNU_SOURCE /* accept4 */
#include "event_loop.h"

#include "completions.h"
#include "connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    EVENTS_AT_ONCE = 64,    /* events taken from epoll in one turn */
    ACCEPT_RETRY_MS = 1000, /* out of descriptors: look again after this long */
    FAREWELL_MS = 500,      /* at shutdown: how long a client may take to read its last answers */
};

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* `who` comes back with each event of this descriptor, and says what it is: a connection, or one of the three below. */
static bool watch(struct event_loop *loop, int operation, int fd, uint32_t events, void *who)
{
    struct epoll_event event = {.events = events, .data.ptr = who};
    return epoll_ctl(loop->epoll, operation, fd, &event) == 0;
}

bool event_loop_open(struct event_loop *loop, int listener, int stop_fd, struct thread_pool *pool)
{
    *loop = (struct event_loop){.listener = listener, .stop_fd = stop_fd, .pool = pool};
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (loop->epoll < 0)
        return false;
    if (watch(loop, EPOLL_CTL_ADD, stop_fd, EPOLLIN, &loop->stop_fd)
        && watch(loop, EPOLL_CTL_ADD, completions_fd(), EPOLLIN, &loop->pool)
        && watch(loop, EPOLL_CTL_ADD, listener, EPOLLIN, &loop->listener))
        return true;
    int error = errno;
    close(loop->epoll);
    errno = error;
    return false;
}

/* ---- the listener ---- */

/*
 * Out of descriptors, the listener stays readable and accept() keeps failing: a loop that goes on watching it spins.
 * So it looks away until a connection is closed, or a second later, whichever is first.
 */
static void pause_accept(struct event_loop *loop, bool pause)
{
    if (!loop->draining && pause != loop->accept_paused
        && watch(loop, EPOLL_CTL_MOD, loop->listener, pause ? 0 : EPOLLIN, &loop->listener))
        loop->accept_paused = pause;
}

static void add_client(struct event_loop *loop, int fd)
{
    struct connection *connection = connection_open(fd);
    const int on = 1;

    if (connection == NULL || !watch(loop, EPOLL_CTL_ADD, fd, EPOLLIN, connection)) {
        free(connection);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* answers are small and go out one by one */
    connection->watched = EPOLLIN;
    connection->next = loop->open;
    if (loop->open != NULL)
        loop->open->previous = connection;
    loop->open = connection;
}

static void accept_clients(struct event_loop *loop)
{
    for (;;) {
        int fd = accept4(loop->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            add_client(loop, fd);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno != EINTR && errno != ECONNABORTED) {
            pause_accept(loop, true);
            return;
        }
    }
}

/* ---- the clients ---- */

static void bury_if_done(struct event_loop *loop, struct connection *connection)
{
    if (connection->fd < 0 && connection->in_flight == 0) {
        connection->next = loop->dead;
        loop->dead = connection;
    }
}

static void drop_client(struct event_loop *loop, struct connection *connection)
{
    connection_close(connection);
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        loop->open = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    bury_if_done(loop, connection);
    pause_accept(loop, false);
}

/*
 * Called whenever something about a client may have changed: send what is ready, and then, is it finished, and if not,
 * what is to be watched? A client with nothing to read or write is watched for nothing; epoll still reports when it
 * breaks.
 */
static void settle(struct event_loop *loop, struct connection *connection)
{
    uint32_t events = 0;

    connection_send(connection);
    if (connection_is_done(connection) || (loop->draining && connection->owed == 0)) {
        drop_client(loop, connection);
        return;
    }
    if (connection_wants_input(connection) && !loop->draining)
        events |= EPOLLIN;
    if (connection_wants_output(connection))
        events |= EPOLLOUT; /* the socket took no more */
    if (events == connection->watched)
        return;
    connection->watched = events;
    if (!watch(loop, EPOLL_CTL_MOD, connection->fd, events, connection))
        drop_client(loop, connection);
}

/* Every line that was read becomes a task now: then SIGTERM finds no request that is neither here nor there. */
static void submit_requests(struct event_loop *loop, struct connection *connection)
{
    struct task *task;

    while ((task = connection_next_task(connection)) != NULL) {
        if (thread_pool_submit(loop->pool, task)) {
            loop->in_flight++;
        } else { /* the pool is closed, and the task is still ours */
            connection_take_back(task);
            connection->broken = true;
            return;
        }
    }
}

static void serve_client(struct event_loop *loop, struct connection *connection, uint32_t events)
{
    if (connection->fd < 0)
        return; /* closed earlier in this turn */
    if (events & connection->watched & EPOLLIN) {
        connection_read(connection);
        submit_requests(loop, connection);
    } else if (events & (EPOLLERR | EPOLLHUP)) {
        connection->broken = true; /* gone, and there is nothing left that we wanted to read */
    }
    settle(loop, connection);
}

static void collect_finished(struct event_loop *loop)
{
    struct task *next;

    for (struct task *task = completions_collect(); task != NULL; task = next) {
        struct connection *connection = task->owner;
        next = task->next_finished;
        loop->in_flight--;
        connection_take_back(task);
        if (connection->fd < 0)
            bury_if_done(loop, connection);
        else
            settle(loop, connection);
    }
}

/* ---- the loop ---- */

static void free_dead(struct event_loop *loop)
{
    while (loop->dead != NULL) {
        struct connection *connection = loop->dead;
        loop->dead = connection->next;
        free(connection);
    }
}

/* Sleeps until something happens, deals with all of it, returns. `stopped` is set when it was SIGTERM. */
static bool turn(struct event_loop *loop, int longest_sleep, bool *stopped)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t signals;
    struct pollfd anything = {.fd = loop->epoll, .events = POLLIN};
    int count = poll(&anything, 1, longest_sleep);

    if (count > 0)
        count = epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, 0);
    if (count < 0 && errno != EINTR)
        return false;
    if (count == 0)
        pause_accept(loop, false);
    for (int i = 0; i < count && !*stopped; i++) { /* after SIGTERM nobody is accepted: the rest is for drain */
        void *who = events[i].data.ptr;
        if (who == &loop->stop_fd)
            *stopped = read(loop->stop_fd, &signals, sizeof signals) == sizeof signals;
        else if (who == &loop->pool)
            collect_finished(loop);
        else if (who == &loop->listener)
            accept_clients(loop);
        else
            serve_client(loop, who, events[i].events);
    }
    free_dead(loop);
    return true;
}

bool event_loop_run(struct event_loop *loop)
{
    bool stopped = false;

    while (!stopped)
        if (!turn(loop, loop->accept_paused ? ACCEPT_RETRY_MS : -1, &stopped))
            return false;
    return true;
}

/* Every task has to come back. Clients that have not read their answers by then get a moment, but cannot hold us. */
bool event_loop_drain(struct event_loop *loop)
{
    struct connection *next;
    long farewell_end = 0;

    loop->draining = true;
    for (struct connection *connection = loop->open; connection != NULL; connection = next) {
        next = connection->next;
        settle(loop, connection);
    }
    for (;;) {
        bool again = false; /* a second SIGTERM changes nothing */
        long left = -1;
        if (loop->in_flight == 0) {
            if (farewell_end == 0)
                farewell_end = now_ms() + FAREWELL_MS;
            left = farewell_end - now_ms();
            if (loop->open == NULL || left <= 0)
                return true;
        }
        if (!turn(loop, (int)left, &again))
            return false;
    }
}

void event_loop_close(struct event_loop *loop)
{
    while (loop->open != NULL)
        drop_client(loop, loop->open);
    collect_finished(loop); /* only where run failed is there anything left */
    free_dead(loop);
    close(loop->epoll);
}
