/* pool_server, the main thread: all sockets, and nothing else.
 *
 * Requests stay in the kernel for as long as possible. The loop only looks at what has come (MSG_PEEK), and takes a
 * line off the socket when it is whole and there is room for one more job. So the kernel's buffer is this server's
 * input buffer, and what is kept here is at most the part of one line.
 *
 * Every descriptor is armed for one event (EPOLLONESHOT) and armed again when that has been dealt with; epoll is
 * level-triggered, so whatever was left is reported again. */
#define _GNU_SOURCE
#include "lanes.h"
#include "log.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum {
    OWED_MOST = 48,               /* a connection that is owed so many answers is not read */
    LINES_A_TURN = 16,            /* then it is somebody else's turn */
    GATHERED = 16,                /* answers in one writev */
    THROWN_AWAY_MOST = 4 << 20,   /* bytes behind a line that was too long; who sends more is cut off */
    FULL_HOUSE_MS = 500,          /* without descriptors: look again after so long */
    GRACE_MS = 800,               /* at the end, for clients that do not read */
    LAST_BYTES_MS = 10,           /* and how often to look whether they have */
};

static const uint32_t DISARMED = UINT32_MAX;

struct connection {
    int fd; /* -1: gone; the struct stays until its last job is back */
    uint32_t armed;
    struct connection *newer, *older;
    struct connection *behind; /* in the line of those whose requests found no room */
    bool in_line;
    bool no_more;  /* nothing more is read as a request */
    bool too_long; /* a line was, and what still comes is thrown away */
    bool said_all; /* after that: our side is shut */
    size_t thrown_away;
    struct job *oldest, **newest; /* requests whose answers are owed, in their order */
    int owed, in_lanes;
    size_t sent; /* bytes of the oldest one's answer */
    size_t have;
    char part[TEXT_MAX + 2]; /* of a line whose end has not come yet */
};

static int ep;
static volatile sig_atomic_t listener; /* the handler uses it */
static bool listener_armed, stopping;
static struct connection *everybody, *graveyard;
static struct connection *line_head, **line_end = &line_head;
static size_t in_lanes;
static unsigned long completed, errors;

/* SIGTERM shuts the door itself. The loop learns of it from epoll, because a listener that is shut reports EPOLLHUP.
 * That is a state and no event, so a signal that comes just before the wait is not lost. */
static void on_sigterm(int number)
{
    int saved = errno;
    (void)number;
    shutdown(listener, SHUT_RD);
    errno = saved;
}

static void hold_sigterm(int how)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    pthread_sigmask(how, &set, NULL);
}

static void *must(void *memory)
{
    if (memory == NULL) {
        tell("main: out of memory");
        abort();
    }
    return memory;
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool watch(int operation, int fd, uint32_t events, void *who)
{
    struct epoll_event e = {.events = events, .data.ptr = who};
    return epoll_ctl(ep, operation, fd, &e) == 0;
}

/* Even without EPOLLIN it has to be done after each event: only then is EPOLLHUP reported again. */
static void arm_listener(bool for_newcomers)
{
    if (!watch(EPOLL_CTL_MOD, listener, (for_newcomers ? EPOLLIN : 0) | EPOLLONESHOT, &listener_armed))
        abort();
    listener_armed = for_newcomers;
}

/* ---- connections ---- */

static void step_out_of_line(struct connection *c)
{
    struct connection **link = &line_head;
    if (!c->in_line)
        return;
    while (*link != c)
        link = &(*link)->behind;
    *link = c->behind;
    if (line_end == &c->behind)
        line_end = link;
    c->in_line = false;
}

static void line_up(struct connection *c)
{
    if (c->in_line)
        return;
    c->in_line = true;
    c->behind = NULL;
    *line_end = c;
    line_end = &c->behind;
}

static void bury_if_done(struct connection *c)
{
    if (c->fd < 0 && c->in_lanes == 0) {
        c->behind = graveyard;
        graveyard = c;
    }
}

static void forget_oldest(struct connection *c)
{
    struct job *job = c->oldest;
    if ((c->oldest = job->after) == NULL)
        c->newest = &c->oldest;
    c->owed--;
    if (job->answered)
        free(job);
}

static void hang_up(struct connection *c, const char *why)
{
    if (c->fd < 0)
        return;
    tell("main: client on %d: %s", c->fd, why);
    step_out_of_line(c);
    close(c->fd);
    c->fd = -1;
    *(c->newer != NULL ? &c->newer->older : &everybody) = c->older;
    if (c->older != NULL)
        c->older->newer = c->newer;
    while (c->oldest != NULL)
        forget_oldest(c);
    bury_if_done(c);
    if (!listener_armed && !stopping)
        arm_listener(true); /* there is a descriptor for a newcomer */
}

static void admit(int fd)
{
    struct connection *c = must(calloc(1, sizeof *c));
    c->fd = fd;
    c->newest = &c->oldest;
    c->armed = EPOLLIN;
    if (!watch(EPOLL_CTL_ADD, fd, EPOLLIN | EPOLLONESHOT, c)) {
        close(fd);
        free(c);
        return;
    }
    if ((c->older = everybody) != NULL)
        everybody->newer = c;
    everybody = c;
    tell("main: client on %d: welcome", fd);
}

static void accept_clients(void)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            admit(fd);
        } else if (errno == EAGAIN) {
            arm_listener(true);
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            tell("main: nobody can come in: %s", strerror(errno));
            arm_listener(false); /* with EPOLLIN it would be reported for ever */
            return;
        }
    }
}

/* ---- answers ---- */

static void answer_now(struct job *job, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    job->answer_length = (size_t)vsnprintf(job->answer, ANSWER_MAX, format, rest);
    va_end(rest);
    job->answered = true;
}

static bool has_unsent(const struct connection *c)
{
    return c->oldest != NULL && c->oldest->answered;
}

/* Sends whatever answers are next in turn and go into the socket. False: the client is gone. */
static bool send_answers(struct connection *c)
{
    while (has_unsent(c)) {
        struct iovec batch[GATHERED];
        int n = 0;
        for (struct job *job = c->oldest; job != NULL && job->answered && n < GATHERED; job = job->after)
            batch[n++] = (struct iovec){job->answer, job->answer_length};
        batch[0].iov_base = (char *)batch[0].iov_base + c->sent;
        batch[0].iov_len -= c->sent;
        ssize_t written = writev(c->fd, batch, n); /* SIGPIPE is ignored */
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return errno == EAGAIN;
        tell("main: client on %d: %zd bytes of %d answers", c->fd, written, n);
        c->sent += (size_t)written;
        while (has_unsent(c) && c->sent >= c->oldest->answer_length) {
            c->sent -= c->oldest->answer_length;
            forget_oldest(c);
        }
    }
    return true;
}

/* ---- requests ---- */

static struct job *add_job(struct connection *c)
{
    struct job *job = must(calloc(1, sizeof *job));
    job->from = c;
    *c->newest = job;
    c->newest = &job->after;
    c->owed++;
    return job;
}

static void refuse(struct connection *c)
{
    answer_now(add_job(c), "ERROR: line too long\n");
    c->too_long = c->no_more = true;
    c->have = 0;
}

/* The line in c->part is whole and off the socket. */
static void begin_job(struct connection *c, size_t length)
{
    struct job *job = add_job(c);
    c->have = 0;
    if (length == 5 && memcmp(c->part, "STATS", 5) == 0) {
        struct occupancy now = lanes_occupancy();
        answer_now(job, "STATS queue_depth=%zu active_workers=%zu completed=%lu errors=%lu\n", now.waiting, now.at_work,
                   completed, errors);
        return;
    }
    job->length = length;
    memcpy(job->text, c->part, length);
    c->in_lanes++;
    in_lanes++;
    lanes_put(job);
}

enum next { ANOTHER_LINE, WAIT_FOR_MORE, WAIT_FOR_ROOM, BROKEN };

/* Looks at the next line, and takes it if it is whole and there is room. */
static enum next next_line(struct connection *c)
{
    char *const begin = c->part + c->have;
    ssize_t seen = recv(c->fd, begin, sizeof c->part - c->have, MSG_PEEK);
    if (seen < 0)
        return errno == EAGAIN || errno == EINTR ? WAIT_FOR_MORE : BROKEN;
    if (seen == 0) {
        c->no_more = true; /* and a part without its end is no request */
        return WAIT_FOR_MORE;
    }
    char *newline = memchr(begin, '\n', (size_t)seen);
    size_t whole = c->have + (newline != NULL ? (size_t)(newline - begin) : (size_t)seen);
    size_t length = whole > 0 && c->part[whole - 1] == '\r' ? whole - 1 : whole; /* its \n may be on the way */
    if (length > TEXT_MAX) {
        refuse(c);
        return WAIT_FOR_MORE;
    }
    if (newline != NULL && !lanes_room())
        return WAIT_FOR_ROOM;
    ssize_t wanted = newline != NULL ? newline + 1 - begin : seen;
    if (recv(c->fd, begin, (size_t)wanted, 0) != wanted) /* now in earnest, and not a byte more */
        return BROKEN;
    tell("main: client on %d: %zd bytes, %s", c->fd, wanted, newline != NULL ? "a line" : "not yet a line");
    c->have += (size_t)wanted;
    if (newline != NULL)
        begin_job(c, length);
    return newline != NULL ? ANOTHER_LINE : WAIT_FOR_MORE;
}

/* False: the client is gone. */
static bool read_requests(struct connection *c)
{
    enum next next = ANOTHER_LINE;
    for (int i = 0; i < LINES_A_TURN && next == ANOTHER_LINE && !c->no_more && c->owed < OWED_MOST; i++)
        next = next_line(c);
    if (next == WAIT_FOR_ROOM)
        line_up(c);
    return next != BROKEN;
}

/* After a line that was too long the rest is read, so that the close is no reset, which might overtake the answer.
 * False: the client is gone. */
static bool throw_away(struct connection *c)
{
    char rest[8192];
    ssize_t n = recv(c->fd, rest, sizeof rest, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    c->thrown_away += (size_t)n;
    return n > 0 && c->thrown_away <= THROWN_AWAY_MOST;
}

/* Something about c has changed: send, part, or arm it for what it waits for now. */
static void settle(struct connection *c)
{
    uint32_t events = 0;

    if (c->fd < 0)
        return;
    if (!send_answers(c)) {
        hang_up(c, "left before its answers");
        return;
    }
    bool all_said = c->owed == 0 && (c->no_more || stopping);
    if (all_said && c->too_long && !stopping) {
        if (!c->said_all)
            shutdown(c->fd, SHUT_WR);
        c->said_all = true;
    } else if (all_said) {
        int unsent = 0; /* a close with unread input is a reset, and would throw this away */
        if (!stopping || ioctl(c->fd, SIOCOUTQNSD, &unsent) < 0 || unsent == 0) {
            hang_up(c, "has everything");
            return;
        }
    }
    if (c->too_long || (!c->no_more && !c->in_line && !stopping && c->owed < OWED_MOST))
        events |= EPOLLIN;
    if (has_unsent(c))
        events |= EPOLLOUT;
    if (c->armed == events)
        return;
    c->armed = events;
    if (!watch(EPOLL_CTL_MOD, c->fd, events | EPOLLONESHOT, c)) /* even for nothing: a reset is always reported */
        hang_up(c, "epoll does not want it any more");
}

static void handle_client(struct connection *c, uint32_t events)
{
    if (c->fd < 0)
        return; /* hung up in this turn */
    c->armed = DISARMED;
    if (events & (EPOLLERR | EPOLLHUP)) {
        hang_up(c, "is gone");
        return;
    }
    if (events & EPOLLIN && !(c->too_long ? throw_away(c) : read_requests(c))) {
        hang_up(c, "broke off");
        return;
    }
    settle(c);
}

/* Those in line come first, each with one turn, as long as there is room. */
static void serve_the_line(void)
{
    while (line_head != NULL && !stopping && lanes_room()) {
        struct connection *c = line_head;
        step_out_of_line(c);
        if (read_requests(c))
            settle(c);
        else
            hang_up(c, "broke off");
    }
}

static void collect(void)
{
    for (struct job *job = lanes_results(), *next; job != NULL; job = next) {
        struct connection *c = job->from;
        next = job->below;
        job->answered = true;
        in_lanes--;
        c->in_lanes--;
        completed += !job->rejected;
        errors += job->rejected;
        if (c->fd >= 0) {
            settle(c); /* frees the job when it is its turn */
        } else {
            free(job);
            bury_if_done(c);
        }
    }
    serve_the_line();
}

/* ---- start, run, stop ---- */

static void settle_everybody(void)
{
    for (struct connection *c = everybody, *older; c != NULL; c = older) {
        older = c->older;
        settle(c);
    }
}

static void begin_to_stop(void)
{
    tell("main: stops, with %zu jobs under way", in_lanes);
    stopping = true;
    hold_sigterm(SIG_BLOCK); /* from here on the number may be somebody else's */
    close(listener);
    while (line_head != NULL)
        step_out_of_line(line_head);
    settle_everybody();
}

static void empty_graveyard(void)
{
    for (struct connection *c; (c = graveyard) != NULL; free(c))
        graveyard = c->behind;
}

static void run(void)
{
    long last_work = 0;
    while (!stopping || in_lanes > 0 || (everybody != NULL && now_ms() - last_work < GRACE_MS)) {
        struct epoll_event events[32];
        bool goodbye = stopping && in_lanes == 0;
        int n = epoll_wait(ep, events, 32, goodbye ? LAST_BYTES_MS : listener_armed || stopping ? -1 : FULL_HOUSE_MS);
        if (n < 0 && errno != EINTR)
            abort();
        for (int i = 0; i < n; i++) {
            void *who = events[i].data.ptr;
            if (who == &in_lanes) { /* stands for the bell */
                collect();
            } else if (who != &listener_armed) {
                handle_client(who, events[i].events);
            } else if (events[i].events & EPOLLHUP) {
                begin_to_stop();
            } else {
                accept_clients();
            }
        }
        if (n == 0 && !stopping)
            arm_listener(true);
        if (goodbye)
            settle_everybody();
        if (in_lanes > 0 || !stopping)
            last_work = now_ms();
        empty_graveyard();
    }
    while (everybody != NULL)
        hang_up(everybody, "does not read, and has had its time");
    empty_graveyard();
}

static int open_listener(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) < 0 ||
        bind(fd, (struct sockaddr *)&here, sizeof here) < 0 || listen(fd, SOMAXCONN) < 0) {
        tell("pool_server: cannot listen on port %d: %s", port, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* The argument at `at`, or `preset` without it. */
static long argument(int argc, char **argv, int at, const char *name, long least, long most, long preset)
{
    char *end;
    if (at >= argc)
        return preset;
    errno = 0;
    long value = strtol(argv[at], &end, 10);
    if (argv[at][0] < '0' || argv[at][0] > '9' || *end != '\0' || errno != 0 || value < least || value > most) {
        tell("pool_server: %s is '%s', but must be from %ld to %ld", name, argv[at], least, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        tell("pool_server: %s", argc < 2 ? "PORT is missing" : "there is one argument too many behind TASK_TIMEOUT_MS");
        return 2;
    }
    int port = (int)argument(argc, argv, 1, "PORT", 1, 65535, 0);
    int workers = (int)argument(argc, argv, 2, "WORKERS", 1, LANES_MAX, 4);
    size_t capacity = (size_t)argument(argc, argv, 3, "CAPACITY", 1, 65536, 64);
    argument(argc, argv, 4, "TASK_TIMEOUT_MS", 0, 0, 0);

    signal(SIGPIPE, SIG_IGN);
    hold_sigterm(SIG_BLOCK); /* the workers inherit that, so the handler runs on this thread only */
    listener = open_listener(port);
    if (listener < 0)
        return 1;
    ep = epoll_create1(EPOLL_CLOEXEC);
    lanes_open(workers, capacity);
    listener_armed = true;
    if (ep < 0 || !watch(EPOLL_CTL_ADD, listener, EPOLLIN | EPOLLONESHOT, &listener_armed) ||
        !watch(EPOLL_CTL_ADD, lanes_bell(), EPOLLIN, &in_lanes)) {
        tell("pool_server: epoll: %s", strerror(errno));
        return 1;
    }
    struct sigaction action = {.sa_handler = on_sigterm, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    hold_sigterm(SIG_UNBLOCK);

    run();

    lanes_close();
    close(ep);
    tell("main: %lu results, %lu errors; goodbye", completed, errors);
    end_of_log();
    return 0;
}
