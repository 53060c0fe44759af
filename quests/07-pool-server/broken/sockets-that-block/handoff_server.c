/*
 * The event loop: one thread, the main thread, which owns every socket.
 *
 *     client --line--> [event loop] --task--> task queue --> [worker] computes
 *     client <-answer- [event loop] <-eventfd + list of finished tasks-- [worker]
 *
 * All functions of this file run on the main thread, except on_stop_signal(), which interrupts it. So nothing here
 * needs a lock; what is shared with the workers lies behind thread_pool.h.
 *
 * Four rules keep it right:
 *   1. Sockets never block. The only places to sleep are epoll_wait() and, when the queue is full, the push.
 *   2. A finished task belongs to a connection object, never to a descriptor number: numbers are used again at once.
 *   3. A connection object lives until its last task is back, even if the client is long gone.
 *   4. A connection that owes too many answers is not read, so one client cannot fill the memory.
 */
#define _GNU_SOURCE /* accept4 */
#include "thread_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    LINE_LIMIT = 1024,      /* longest request, without its end of line */
    INPUT_SIZE = 2048,      /* most bytes read at once */
    OWED_LIMIT = 64,        /* a connection that owes this many answers is not read */
    EVENTS_AT_ONCE = 64,    /* events taken from epoll in one turn */
    ACCEPT_RETRY_MS = 1000, /* out of descriptors: look again after this long */
    FAREWELL_MS = 500,      /* at shutdown: how long a client may take to read its last answers */
};

struct connection {
    int fd;                           /* -1 once closed */
    uint32_t watched;                 /* the events epoll reports for it */
    struct connection *previous;      /* in the list of open connections */
    struct connection *next;          /* in the list of open, later in that of dead ones */
    struct task *oldest, **newest;    /* requests whose answers are owed, in the order of the requests */
    int owed;                         /* length of that list */
    size_t sent;                      /* bytes of the oldest answer that have been sent */
    int in_flight;                    /* tasks that the pool has */
    bool at_end;                      /* the client will send no more */
    bool refused;                     /* a line was too long: what follows is thrown away */
    bool said_goodbye;                /* after a refusal: our sending side is shut */
    size_t input_length;
    char input[INPUT_SIZE];           /* what was read and is not yet a whole line */
};

struct server {
    int listener; /* -1 once closed */
    int epoll;
    struct thread_pool pool;
    struct connection *open;
    struct connection *dead; /* freed at the end of the turn: an event of this turn may still point to them */
    int in_flight;           /* tasks that the pool has, of all connections */
    bool accept_paused;      /* out of descriptors */
    bool draining;           /* SIGTERM came: finish, answer, leave */
    long farewell_end;       /* 0 until the last task is back */
    unsigned long completed, errors;
};

/* The only thing a signal handler may safely do here: set a flag, and write an eventfd so that epoll_wait() returns. */
static volatile sig_atomic_t stop_requested;
static int stop_fd = -1;

static void on_stop_signal(int signal_number)
{
    const uint64_t one = 1;
    int saved = errno;

    (void)signal_number;
    stop_requested = 1;
    if (write(stop_fd, &one, sizeof one) < 0) {
        /* the counter can only be full, and then the loop is awake anyway */
    }
    errno = saved;
}

static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool watch(struct server *server, int operation, int fd, uint32_t events, void *who)
{
    struct epoll_event event = {.events = events, .data.ptr = who};
    return epoll_ctl(server->epoll, operation, fd, &event) == 0;
}

/* ---- the listener ---- */

/*
 * Out of descriptors, the listener stays readable and accept() keeps failing: a loop that goes on watching it spins.
 * So it looks away until a connection is closed, or a second later, whichever is first.
 */
static void pause_accept(struct server *server, bool pause)
{
    if (server->listener >= 0 && pause != server->accept_paused
        && watch(server, EPOLL_CTL_MOD, server->listener, pause ? 0 : EPOLLIN, &server->listener))
        server->accept_paused = pause;
}

static void add_connection(struct server *server, int fd)
{
    struct connection *connection = malloc(sizeof *connection);
    const int on = 1;

    if (connection == NULL || !watch(server, EPOLL_CTL_ADD, fd, EPOLLIN, connection)) {
        free(connection);
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* answers are small and go out one by one */
    *connection = (struct connection){.fd = fd, .watched = EPOLLIN, .next = server->open};
    connection->newest = &connection->oldest;
    if (server->open != NULL)
        server->open->previous = connection;
    server->open = connection;
}

static void accept_clients(struct server *server)
{
    for (;;) {
        int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0)
            add_connection(server, fd);
        else if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        else if (errno != EINTR && errno != ECONNABORTED) {
            pause_accept(server, true);
            return;
        }
    }
}

/* ---- the life of a connection ---- */

static void forget_oldest(struct connection *connection)
{
    struct task *task = connection->oldest;

    connection->oldest = task->next_of_owner;
    if (connection->oldest == NULL)
        connection->newest = &connection->oldest;
    connection->owed--;
    if (task->answered) /* otherwise the pool has it: it is freed when it comes back */
        free(task);
}

static void bury_if_done(struct server *server, struct connection *connection)
{
    if (connection->fd < 0 && connection->in_flight == 0) {
        connection->next = server->dead;
        server->dead = connection;
    }
}

static void close_connection(struct server *server, struct connection *connection)
{
    close(connection->fd); /* epoll forgets it too */
    connection->fd = -1;
    if (connection->previous != NULL)
        connection->previous->next = connection->next;
    else
        server->open = connection->next;
    if (connection->next != NULL)
        connection->next->previous = connection->previous;
    while (connection->oldest != NULL)
        forget_oldest(connection);
    bury_if_done(server, connection);
    pause_accept(server, false);
}

/*
 * Called whenever something about a connection has changed: is it finished, and if not, what is to be watched?
 * A connection with nothing to read or write is watched for nothing; epoll still reports when it breaks.
 */
static void settle(struct server *server, struct connection *connection)
{
    uint32_t events = 0;

    if (connection->fd < 0)
        return;
    if (connection->owed == 0 && (connection->at_end || server->draining)) {
        close_connection(server, connection);
        return;
    }
    if (connection->owed == 0 && connection->refused && !connection->said_goodbye) {
        /* To close now, with unread input, would send a reset, and that may overtake the error message. */
        shutdown(connection->fd, SHUT_WR);
        connection->said_goodbye = true;
    }
    if (!connection->at_end && !server->draining && (connection->refused || connection->owed < OWED_LIMIT))
        events |= EPOLLIN;
    if (connection->oldest != NULL && connection->oldest->answered)
        events |= EPOLLOUT; /* the socket took no more */
    if (events == connection->watched)
        return;
    connection->watched = events;
    if (!watch(server, EPOLL_CTL_MOD, connection->fd, events, connection))
        close_connection(server, connection);
}

/* ---- out: answers to a client ---- */

/* Sends what can be sent. An answer that is ready waits here until all earlier ones of its connection are out. */
static void send_answers(struct server *server, struct connection *connection)
{
    while (connection->fd >= 0 && connection->oldest != NULL && connection->oldest->answered) {
        struct task *task = connection->oldest;
        /* To a client that left: an error, not a SIGPIPE that ends us all. Nobody is waited for at the end. */
        int flags = MSG_NOSIGNAL | (stop_requested ? MSG_DONTWAIT : 0);
        ssize_t count = send(connection->fd, task->answer + connection->sent, task->answer_length - connection->sent,
                             flags);
        if (count >= 0) {
            connection->sent += (size_t)count;
            if (connection->sent == task->answer_length) {
                connection->sent = 0;
                forget_oldest(connection);
            }
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            return; /* settle() asks for EPOLLOUT */
        } else if (errno != EINTR) {
            close_connection(server, connection);
        }
    }
}

static void collect_finished(struct server *server)
{
    struct task *next;

    for (struct task *task = thread_pool_collect(&server->pool); task != NULL; task = next) {
        struct connection *connection = task->owner;
        next = task->next_finished;
        server->in_flight--;
        connection->in_flight--;
        if (task->failed)
            server->errors++;
        else
            server->completed++;
        if (connection->fd < 0) { /* the client has left, and whoever has its number now must not get this */
            free(task);
            bury_if_done(server, connection);
            continue;
        }
        task->answered = true;
        send_answers(server, connection);
        settle(server, connection);
    }
}

/* ---- in: requests from a client ---- */

static struct task *add_task(struct connection *connection, const char *text, size_t length)
{
    struct task *task = malloc(sizeof *task + length);

    if (task == NULL)
        return NULL;
    *task = (struct task){.length = length, .owner = connection};
    memcpy(task->text, text, length);
    *connection->newest = task;
    connection->newest = &task->next_of_owner;
    connection->owed++;
    return task;
}

static bool is_stats(const struct task *task)
{
    return task->length == strlen("STATS") && memcmp(task->text, "STATS", task->length) == 0;
}

static void answer_stats(struct server *server, struct task *task)
{
    int waiting = (int)task_queue_length(&server->pool.tasks);
    int active = server->in_flight - waiting; /* what has left the queue and is not back is in a worker's hands */

    if (active > server->pool.workers)
        active = server->pool.workers; /* some of it was handed back, but has not been collected */
    task_answer(task, "STATS queue_depth=%d active_workers=%d completed=%lu errors=%lu", waiting, active,
                server->completed, server->errors);
    task->answered = true;
}

/* Cuts whole lines out of the input. Every line that was read becomes a task now; only a part of a line stays. */
static void cut_lines(struct server *server, struct connection *connection)
{
    size_t start = 0;

    for (;;) {
        const char *line = connection->input + start;
        const char *newline = memchr(line, '\n', connection->input_length - start);
        size_t whole = newline != NULL ? (size_t)(newline - line) : connection->input_length - start;
        size_t length = whole > 0 && line[whole - 1] == '\r' ? whole - 1 : whole;

        if (newline == NULL && length <= LINE_LIMIT)
            break;
        struct task *task = add_task(connection, line, length <= LINE_LIMIT ? length : 0);
        if (task == NULL) {
            close_connection(server, connection);
            return;
        }
        if (length > LINE_LIMIT) {
            task_answer(task, "ERROR: line too long");
            task->answered = true;
            connection->refused = true;
            connection->input_length = 0;
            return;
        }
        if (is_stats(task)) {
            answer_stats(server, task);
        } else { /* good or bad is for the worker to say */
            connection->in_flight++;
            server->in_flight++;
            thread_pool_submit(&server->pool, task);
        }
        start += whole + 1;
    }
    connection->input_length -= start;
    memmove(connection->input, connection->input + start, connection->input_length);
}

static void read_client(struct server *server, struct connection *connection)
{
    /* After cut_lines() at most LINE_LIMIT + 1 bytes are left, so there is always room. */
    ssize_t count = recv(connection->fd, connection->input + connection->input_length,
                         INPUT_SIZE - connection->input_length, 0);
    if (count > 0 && !connection->refused) {
        connection->input_length += (size_t)count;
        cut_lines(server, connection);
    } else if (count > 0) {
        return; /* the rest of a line that was too long: read, so that the client may finish sending, and dropped */
    } else if (count == 0) {
        connection->at_end = true; /* it may have shut only its sending side, and still wait for answers */
    } else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        close_connection(server, connection);
    }
}

static void serve_client(struct server *server, struct connection *connection, uint32_t events)
{
    if (connection->fd < 0)
        return; /* closed earlier in this turn */
    if (events & connection->watched & EPOLLIN)
        read_client(server, connection);
    else if (events & (EPOLLERR | EPOLLHUP))
        close_connection(server, connection); /* gone, and there is nothing left that we wanted to read */
    send_answers(server, connection);
    settle(server, connection);
}

/* ---- shutdown ---- */

/* No new clients, no new requests; what was taken will be answered. Then settle() closes one connection after another. */
static void start_draining(struct server *server)
{
    struct connection *next;

    server->draining = true;
    close(server->listener);
    server->listener = -1;
    thread_pool_close(&server->pool);
    for (struct connection *connection = server->open; connection != NULL; connection = next) {
        next = connection->next;
        settle(server, connection);
    }
}

/* Every task is back; clients that have not read their answers by now get a moment, but they cannot hold us. */
static bool may_leave(struct server *server)
{
    if (!server->draining || server->in_flight > 0)
        return false;
    if (server->farewell_end == 0)
        server->farewell_end = now_ms() + FAREWELL_MS;
    return server->open == NULL || now_ms() >= server->farewell_end;
}

/* ---- the loop ---- */

static int longest_sleep(const struct server *server)
{
    if (server->farewell_end != 0) {
        long left = server->farewell_end - now_ms();
        return left > 0 ? (int)left : 0;
    }
    return server->accept_paused ? ACCEPT_RETRY_MS : -1;
}

static void free_dead(struct server *server)
{
    while (server->dead != NULL) {
        struct connection *connection = server->dead;
        server->dead = connection->next;
        free(connection);
    }
}

static bool run(struct server *server)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t ignored;

    while (!may_leave(server)) {
        int count = epoll_wait(server->epoll, events, EVENTS_AT_ONCE, longest_sleep(server));
        if (count < 0 && errno != EINTR)
            return false;
        if (count == 0)
            pause_accept(server, false);
        for (int i = 0; i < count; i++) {
            void *who = events[i].data.ptr;
            if (who == &stop_fd) {
                while (read(stop_fd, &ignored, sizeof ignored) < 0 && errno == EINTR)
                    continue;
            } else if (who == &server->pool) {
                collect_finished(server);
            } else if (who == &server->listener) {
                accept_clients(server);
            } else {
                serve_client(server, who, events[i].events);
            }
        }
        if (stop_requested && !server->draining)
            start_draining(server);
        free_dead(server);
    }
    while (server->open != NULL)
        close_connection(server, server->open);
    free_dead(server);
    return true;
}

/* ---- start ---- */

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* Without SO_REUSEADDR the port stays taken for a minute after a server that had clients has ended. */
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0
        || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/*
 * The workers inherit the signal mask, so the signals are blocked while they are started: afterwards only the main
 * thread can be interrupted, and the flag is never touched by two threads.
 */
static bool start_workers(struct server *server, int workers, size_t capacity)
{
    struct sigaction action = {.sa_handler = on_stop_signal};
    sigset_t stop_signals;

    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    action.sa_mask = stop_signals;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL);
    bool started = thread_pool_start(&server->pool, workers, capacity);
    int error = errno;
    pthread_sigmask(SIG_UNBLOCK, &stop_signals, NULL);
    errno = error;
    return started;
}

static int serve(int port, int workers, size_t capacity)
{
    struct server server = {.listener = listen_on(port), .epoll = -1};
    bool finished = false;

    if (server.listener >= 0 && (stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0
        && (server.epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0 && start_workers(&server, workers, capacity)) {
        finished = watch(&server, EPOLL_CTL_ADD, stop_fd, EPOLLIN, &stop_fd)
                   && watch(&server, EPOLL_CTL_ADD, server.pool.finished_fd, EPOLLIN, &server.pool)
                   && watch(&server, EPOLL_CTL_ADD, server.listener, EPOLLIN, &server.listener) && run(&server);
        if (!finished)
            perror("pool_server: epoll");
        thread_pool_close(&server.pool);
        thread_pool_destroy(&server.pool); /* joins the workers */
    } else {
        fprintf(stderr, "pool_server: cannot start on PORT %d: %s\n", port, strerror(errno));
    }
    if (server.listener >= 0)
        close(server.listener);
    if (server.epoll >= 0)
        close(server.epoll);
    if (stop_fd >= 0)
        close(stop_fd);
    return finished ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* A whole number between two limits; anything else ends the program with a message that names the argument. */
static int number(const char *name, const char *text, int least, int most)
{
    char *end;

    errno = 0;
    long value = strtol(text, &end, 10);
    if (text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && value >= least && value <= most)
        return (int)value;
    fprintf(stderr, "pool_server: %s must be a number from %d to %d, not '%s'\n", name, least, most, text);
    exit(2);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s%s\nusage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]\n",
                argc < 2 ? "PORT is missing" : "surplus argument ", argc < 2 ? "" : argv[5]);
        return 2;
    }
    int port = number("PORT", argv[1], 1, 65535);
    int workers = argc > 2 ? number("WORKERS", argv[2], 1, 64) : 4;
    int capacity = argc > 3 ? number("CAPACITY", argv[3], 1, 65536) : 64;
    if (argc > 4)
        number("TASK_TIMEOUT_MS", argv[4], 0, 0); /* tasks have no time limit here, and 0 says so */
    return serve(port, workers, (size_t)capacity);
}
