// pool_server on C11 threads. This file runs on the main thread: signals, sockets, epoll.
//
// A connection has one job in the pool at a time; what else its client sent ahead waits in its buffer or in the
// kernel. So answers cannot overtake one another, and a client that does not read stops only itself.
#define _GNU_SOURCE
#include "pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 512, GRACE_MS = 1000, RETRY_MS = 400, LISTENER = 100, CLIENTS = 1000 }; // keys below 100: eventfds of workers

typedef struct conn {
    struct conn *chain;      // in its bucket
    struct conn *waits_next; // in the row of those who wait for room in the queue
    uint64_t number; // CLIENTS plus its descriptor: no two open connections share one
    int fd;
    uint32_t interest;
    bool working; // its job is in the pool
    bool waits;
    bool may_read; // epoll says so
    bool last;     // nothing more is read: end of stream or over-long line
    char input[TEXT_MAX + 2];
    size_t input_size;
    char output[96];
    size_t output_size;
} conn;

static conn *buckets[BUCKETS];
static conn *row, **row_end = &row;
static int epfd, listener, open_connections, jobs_out, port, worker_count = 4;
static bool listening, stopping;
static volatile sig_atomic_t sigterm;

static void on_sigterm(int number)
{
    (void)number;
    sigterm = 1;
}

#define LOG(format, ...) printf("[main] %-24s " format "\n", __func__, __VA_ARGS__)

static void quit(const char *what)
{
    fprintf(stderr, "pool_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void listen_again(void)
{
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = LISTENER};
    if (!listening && !stopping && epoll_ctl(epfd, EPOLL_CTL_ADD, listener, &e) == 0)
        listening = true;
}

static conn *find(uint64_t number)
{
    conn *c = buckets[number % BUCKETS];
    while (c != NULL && c->number != number)
        c = c->chain;
    return c;
}

static void leave_row(conn *c)
{
    if (!c->waits)
        return;
    conn **link = &row;
    while (*link != c)
        link = &(*link)->waits_next;
    *link = c->waits_next;
    if (row_end == &c->waits_next)
        row_end = link;
    c->waits = false;
}

static void join_row(conn *c)
{
    if (c->waits)
        return;
    c->waits = true;
    c->waits_next = NULL;
    *row_end = c;
    row_end = &c->waits_next;
}

static void drop(conn *c, const char *why)
{
    LOG("connection %" PRIu64 " on descriptor %d: %s", c->number, c->fd, why);
    leave_row(c);
    conn **link = &buckets[c->number % BUCKETS];
    while (*link != c)
        link = &(*link)->chain;
    *link = c->chain;
    close(c->fd);
    free(c);
    open_connections--;
    listen_again();
}

static void care_for(conn *c, uint32_t interest)
{
    struct epoll_event e = {.events = interest, .data.u64 = c->number};
    if (interest != c->interest && epoll_ctl(epfd, EPOLL_CTL_MOD, c->fd, &e) < 0)
        quit("epoll_ctl");
    c->interest = interest;
}

// Cuts the first line off the input. NULL: there is none, or it is too long, and then *too_long.
static job *cut_line(conn *c, bool *too_long)
{
    char *newline = memchr(c->input, '\n', c->input_size);
    size_t size = newline ? (size_t)(newline - c->input) : c->input_size;
    size_t whole = size + 1;
    if (size > 0 && c->input[size - 1] == '\r')
        size--; // not counted, even if its newline is not here yet
    *too_long = size > TEXT_MAX;
    if (*too_long || newline == NULL)
        return NULL;
    job *j = malloc(sizeof *j);
    if (j == NULL)
        quit("malloc");
    j->client_fd = c->fd;
    j->size = size;
    memcpy(j->text, c->input, size);
    if (!pool_try_push(j)) {
        free(j);
        return NULL; // the line stays in the input
    }
    LOG("connection %" PRIu64 ": a line of %zu bytes is now job %p", c->number, size, (void *)j);
    c->input_size -= whole;
    memmove(c->input, newline + 1, c->input_size);
    return j;
}

// Takes c as far as it goes. Afterwards c may be gone.
static void go_on(conn *c, bool its_turn)
{
    for (;;) {
        if (c->output_size > 0) {
            ssize_t n = send(c->fd, c->output, c->output_size, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN)
                return care_for(c, EPOLLOUT);
            if (n < 0 && errno != EINTR)
                return drop(c, "does not want its answer");
            if (n > 0) {
                c->output_size -= (size_t)n;
                memmove(c->output, c->output + n, c->output_size);
            }
            continue;
        }
        if (c->working)
            return care_for(c, 0);
        bool too_long = false;
        if (!c->last && cut_line(c, &too_long) != NULL) {
            c->working = true;
            jobs_out++;
            continue;
        }
        if (too_long) {
            c->last = true;
            c->output_size = (size_t)snprintf(c->output, sizeof c->output, "ERROR: line too long\n");
            continue;
        }
        bool has_line = !c->last && memchr(c->input, '\n', c->input_size) != NULL;
        if (has_line || (c->may_read && row != NULL && !its_turn && !c->last && !stopping)) {
            join_row(c); // the queue is full, or others have waited for longer
            return care_for(c, 0);
        }
        if (c->last)
            return drop(c, "that was all");
        if (stopping) {
            int unsent = 0; // would be lost if there is unread input, too
            if (ioctl(c->fd, SIOCOUTQNSD, &unsent) < 0 || unsent == 0)
                drop(c, "we are closing");
            else
                care_for(c, 0);
            return;
        }
        if (!c->may_read)
            return care_for(c, EPOLLIN);
        c->may_read = false;
        ssize_t n = recv(c->fd, c->input + c->input_size, sizeof c->input - c->input_size, 0);
        LOG("connection %" PRIu64 ": recv returned %zd, %zu bytes were there before", c->number, n, c->input_size);
        if (n > 0)
            c->input_size += (size_t)n;
        else if (n == 0)
            c->last = true;
        else if (errno != EAGAIN && errno != EINTR)
            return drop(c, "is broken");
    }
}

static void finished(int worker)
{
    for (job *j = pool_finished(worker), *next; j != NULL; j = next) {
        next = j->next;
        jobs_out--;
        conn *c = find(CLIENTS + (uint64_t)j->client_fd);
        LOG("job %p for descriptor %d%s", (void *)j, j->client_fd, c ? " is done" : ": nobody waits for it any more");
        if (c != NULL) {
            c->working = false;
            c->output_size = strlen(j->answer);
            memcpy(c->output, j->answer, c->output_size);
            go_on(c, false);
        }
        free(j);
    }
    // There may be room in the queue. Everyone in the row gets one turn, but nobody overtakes.
    conn *head;
    while ((head = row) != NULL) {
        uint64_t number = head->number;
        leave_row(head);
        head->may_read = true;
        go_on(head, true);
        if ((head = find(number)) != NULL && head->waits) {
            leave_row(head); // still no room: back to the front
            head->waits = true;
            if ((head->waits_next = row) == NULL)
                row_end = &head->waits_next;
            row = head;
            return;
        }
    }
}

static void newcomer(void)
{
    int fd = accept(listener, NULL, NULL);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            LOG("no descriptor for a newcomer: %s", strerror(errno));
            epoll_ctl(epfd, EPOLL_CTL_DEL, listener, NULL);
            listening = false;
        }
        return;
    }
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    conn *c = calloc(1, sizeof *c);
    if (c == NULL)
        quit("calloc");
    c->fd = fd;
    c->number = CLIENTS + (uint64_t)fd;
    c->interest = EPOLLIN;
    c->chain = buckets[c->number % BUCKETS];
    buckets[c->number % BUCKETS] = c;
    open_connections++;
    struct epoll_event e = {.events = EPOLLIN, .data.u64 = c->number};
    LOG("connection %" PRIu64 " on descriptor %d, %d are open", c->number, fd, open_connections);
    if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &e) < 0)
        drop(c, "epoll has no room");
}

static void everyone_goes_on(void)
{
    for (int i = 0; i < BUCKETS; i++)
        for (conn *c = buckets[i], *next; c != NULL; c = next) {
            next = c->chain;
            leave_row(c);
            go_on(c, false);
        }
}

static void event_loop(const sigset_t *open_to_sigterm)
{
    int64_t last_job = 0;
    while (!stopping || jobs_out > 0 || (open_connections > 0 && milliseconds() - last_job < GRACE_MS)) {
        struct epoll_event events[48];
        int timeout = stopping ? (jobs_out > 0 ? -1 : 10) : (listening ? -1 : RETRY_MS);
        int n = epoll_pwait(epfd, events, 48, timeout, open_to_sigterm);
        if (n < 0 && errno != EINTR)
            quit("epoll_pwait");
        for (int i = 0; i < n; i++) {
            uint64_t key = events[i].data.u64;
            conn *c;
            if (key < LISTENER) {
                finished((int)key);
            } else if (key == LISTENER) {
                newcomer();
            } else if ((c = find(key)) != NULL) {
                if (events[i].events & (EPOLLHUP | EPOLLERR)) {
                    drop(c, "has vanished");
                    continue;
                }
                c->may_read |= (events[i].events & EPOLLIN) != 0;
                go_on(c, false);
            }
        }
        // While events keep coming, epoll_pwait may never get to deliver the signal.
        sigset_t pending;
        if (!stopping && (sigterm || (sigpending(&pending) == 0 && sigismember(&pending, SIGTERM)))) {
            LOG("SIGTERM, %d jobs are under way, %d connections are open", jobs_out, open_connections);
            stopping = true;
            close(listener);
            last_job = milliseconds();
            everyone_goes_on();
        } else if (stopping && n == 0) {
            everyone_goes_on();
        } else if (n == 0) {
            listen_again();
        }
        if (jobs_out > 0)
            last_job = milliseconds();
    }
}

static bool number(const char *text, long least, long most, long *value)
{
    char *end;
    errno = 0;
    *value = strtol(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && *value >= least && *value <= most;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; long least, most; } known[] = {
        {"PORT", 1, 65535}, {"WORKERS", 1, 64}, {"CAPACITY", 1, 65536}, {"TASK_TIMEOUT_MS", 0, 0}};
    long given[4] = {0, 4, 64, 0};
    for (int i = 0; i < 4 && i + 1 < argc; i++)
        if (!number(argv[i + 1], known[i].least, known[i].most, &given[i])) {
            fprintf(stderr, "pool_server: %s is \"%s\", not a number from %ld to %ld\n", known[i].name, argv[i + 1],
                    known[i].least, known[i].most);
            return 2;
        }
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s \"%s\"\n", argc < 2 ? "no PORT, I am" : "surplus argument", argv[argc < 2 ? 0 : 5]);
        return 2;
    }
    port = (int)given[0];
    worker_count = (int)given[1];
    setvbuf(stdout, NULL, _IOLBF, 4096);

    signal(SIGPIPE, SIG_IGN);
    sigset_t mask, open_to_sigterm;
    sigemptyset(&mask);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, &open_to_sigterm); // the workers inherit this; only epoll_pwait lets it in
    sigdelset(&open_to_sigterm, SIGTERM);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_sigterm}, NULL);

    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(0x7F000001)}};
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int yes = 1;
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) < 0 ||
        bind(listener, (struct sockaddr *)&at, sizeof at) < 0 || listen(listener, 1024) < 0) {
        fprintf(stderr, "pool_server: port %d: %s\n", port, strerror(errno));
        close(listener);
        return 1;
    }
    if ((epfd = epoll_create1(EPOLL_CLOEXEC)) < 0 || !pool_open(worker_count, (size_t)given[2]))
        quit("start");
    listen_again();
    for (int i = 0; i < worker_count; i++) {
        struct epoll_event e = {.events = EPOLLIN, .data.u64 = (uint64_t)i};
        if (epoll_ctl(epfd, EPOLL_CTL_ADD, pool_eventfd(i), &e) < 0)
            quit("epoll_ctl");
    }
    LOG("ready on port %d with %d workers and room for %ld jobs", port, worker_count, given[2]);

    event_loop(&open_to_sigterm);

    pool_close();
    for (int i = 0; i < BUCKETS; i++)
        while (buckets[i] != NULL)
            drop(buckets[i], "has not read its answer");
    close(epfd);
    LOG("exit, port %d is free", port);
    return 0;
}
