/* pool_server: the event loop.
 *
 * A client has two descriptors for one socket: the accepted one is read from, a dup() of it is written to. The
 * first is watched by the epoll instance `crowd`, the second, while something is unsent, by `top`. `crowd` itself
 * is watched by `top`, and as long as the queue is full it is not: then nobody is read from, with one epoll_ctl.
 */
#define _GNU_SOURCE
#include "handoff.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 1024, MANY = 16, GRACE_MS = 1000, RETRY_MS = 300 };

struct client {
    struct client *prev, *next;
    struct client *stuck_next;
    int in, out;         /* the same number when there was no descriptor to spare; -1: closed */
    bool in_on, out_on;  /* in watched for input, out watched at all */
    bool ended, broken, stuck;
    int row;             /* in the registry */
    int pending;         /* tasks in the queue or with a worker */
    unsigned taken, said; /* requests read, requests answered */
    struct task *ready;  /* finished tasks by number; the first may have to wait for an earlier one */
    size_t in_len, out_len;
    char in_text[4096], out_text[8192];
};

static int top, crowd, listener, stop_pipe[2], reserve;
static struct client *clients, *stuck;
static int pending;
static bool accept_paused, stopping;
static long last_work;

static void on_sigterm(int number)
{
    int before = errno;
    ssize_t n = write(stop_pipe[1], &number, 1);
    (void)n;
    errno = before;
}

static void must(int result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "pool_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void control(int epoll, int operation, int fd, uint32_t events, void *what)
{
    must(epoll_ctl(epoll, operation, fd, &(struct epoll_event){.events = events, .data.ptr = what}), "epoll_ctl");
}

static long clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* As long as a dup is open, closing a descriptor neither ends the connection nor leaves epoll: say it to epoll. */
static void close_in(struct client *c)
{
    if (c->in < 0)
        return;
    control(crowd, EPOLL_CTL_DEL, c->in, 0, NULL);
    if (c->in != c->out)
        close(c->in);
    c->in = -1;
}

static void watch_out(struct client *c, bool on)
{
    if (c->out_on != on)
        control(top, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, c->out, EPOLLOUT, c);
    c->out_on = on;
}

static void hang_up(struct client *c)
{
    if (c->out < 0)
        return;
    close_in(c);
    watch_out(c, false);
    close(c->out);
    c->out = -1;
    for (struct client **link = &stuck; *link != NULL; link = &(*link)->stuck_next)
        if (*link == c) {
            *link = c->stuck_next;
            break;
        }
    c->stuck = false;
    for (struct task *t; (t = c->ready) != NULL; free(t))
        c->ready = t->next;
    if (accept_paused && !stopping) {
        control(top, EPOLL_CTL_MOD, listener, EPOLLIN, &listener);
        accept_paused = false;
    }
}

/* At the end of a round only: events of this round may still point to them. */
static void forget_the_gone(void)
{
    for (struct client *c = clients, *next; c != NULL; c = next) {
        next = c->next;
        if (c->out >= 0 || c->pending > 0)
            continue;
        *(c->prev != NULL ? &c->prev->next : &clients) = next;
        if (next != NULL)
            next->prev = c->prev;
        registry_remove(c->row);
        free(c);
    }
}

static struct task *new_task(struct client *c)
{
    struct task *t = malloc(sizeof *t);
    if (t == NULL)
        abort();
    t->client = c;
    t->client_row = c->row;
    t->number = c->taken;
    return t;
}

static void add_ready(struct client *c, struct task *t)
{
    struct task **link = &c->ready;
    while (*link != NULL && (int)((*link)->number - t->number) < 0)
        link = &(*link)->next;
    t->next = *link;
    *link = t;
}

/* False: the client is gone. */
static bool deliver(struct client *c)
{
    for (;;) {
        struct task *t;
        while ((t = c->ready) != NULL && t->number == c->said && c->out_len + strlen(t->answer) <= sizeof c->out_text) {
            memcpy(c->out_text + c->out_len, t->answer, strlen(t->answer));
            c->out_len += strlen(t->answer);
            c->ready = t->next;
            c->said++;
            free(t);
        }
        if (c->out_len == 0)
            return true;
        ssize_t n = send(c->out, c->out_text, c->out_len, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR)
            return errno == EAGAIN;
        if (n > 0) {
            c->out_len -= (size_t)n;
            memmove(c->out_text, c->out_text + n, c->out_len);
        }
    }
}

static void make_tasks(struct client *c)
{
    while (!c->broken && !c->stuck && c->taken - c->said < MANY) {
        char *newline = memchr(c->in_text, '\n', c->in_len);
        size_t whole = newline != NULL ? (size_t)(newline - c->in_text) : c->in_len;
        size_t length = whole > 0 && c->in_text[whole - 1] == '\r' ? whole - 1 : whole;
        if (length <= LONGEST && newline == NULL)
            return;
        struct task *t = new_task(c);
        if (length > LONGEST) {
            strcpy(t->answer, "ERROR: line too long\n");
            add_ready(c, t);
            c->taken++;
            c->broken = true;
            return;
        }
        t->length = length;
        memcpy(t->text, c->in_text, length);
        if (!queue_offer(t)) {
            free(t);
            c->stuck = true;
            c->stuck_next = NULL;
            struct client **link = &stuck;
            while (*link != NULL)
                link = &(*link)->stuck_next;
            *link = c;
            return;
        }
        c->taken++;
        c->pending++;
        pending++;
        c->in_len -= whole + 1;
        memmove(c->in_text, newline + 1, c->in_len);
    }
}

/* Whatever can be done for c now is done. */
static void settle(struct client *c)
{
    if (c->out < 0)
        return;
    do {
        if (!deliver(c)) {
            hang_up(c);
            return;
        }
        make_tasks(c);
    } while (c->ready != NULL && c->ready->number == c->said && c->out_len == 0);
    if (c->taken == c->said && c->out_len == 0 && !c->stuck && (c->ended || c->broken || stopping)) {
        int unsent = 0; /* with unread input, close() would throw it away */
        if (!stopping || ioctl(c->out, SIOCOUTQNSD, &unsent) < 0 || unsent == 0) {
            hang_up(c);
            return;
        }
    }
    watch_out(c, c->out_len > 0);
    bool on = !c->ended && !c->broken && !stopping && c->taken - c->said < MANY && c->in_len < sizeof c->in_text;
    if (c->in >= 0 && on != c->in_on)
        control(crowd, EPOLL_CTL_MOD, c->in, on ? EPOLLIN : 0, c);
    c->in_on = on;
}

static void read_from(struct client *c)
{
    ssize_t n = recv(c->in, c->in_text + c->in_len, sizeof c->in_text - c->in_len, 0);
    if (n > 0) {
        c->in_len += (size_t)n;
    } else if (n == 0) {
        c->ended = true;
        close_in(c); /* the answers go out through the other one */
    } else if (errno != EAGAIN && errno != EINTR) {
        hang_up(c);
    }
    settle(c);
}

/* One round of those who have sent something. Ends early when the queue is full: epoll will name the rest again. */
static void hear_the_crowd(void)
{
    struct epoll_event events[40];
    int n = epoll_wait(crowd, events, 40, 0);
    for (int i = 0; i < n && stuck == NULL; i++) {
        struct client *c = events[i].data.ptr;
        if (c->in >= 0 && (events[i].events & (EPOLLERR | EPOLLHUP)))
            hang_up(c);
        else if (c->in >= 0 && c->in_on)
            read_from(c);
    }
}

static void take_results(void)
{
    for (struct task *t = results_get(), *next; t != NULL; t = next) {
        next = t->next;
        struct client *c = t->client;
        pending--;
        c->pending--;
        if (c->out < 0) {
            free(t);
            continue;
        }
        add_ready(c, t);
        settle(c);
    }
    for (struct client *c; (c = stuck) != NULL;) {
        stuck = c->stuck_next;
        c->stuck = false;
        settle(c);
        if (c->stuck)
            return;
    }
}

/* A descriptor for a newcomer: that of a dup which is not in use. */
static bool give_back_a_dup(void)
{
    for (struct client *c = clients; c != NULL; c = c->next)
        if (c->in >= 0 && c->out >= 0 && c->in != c->out && !c->out_on) {
            close(c->out);
            c->out = c->in;
            return true;
        }
    return false;
}

/* False: nobody else is at the door. */
static bool let_one_in(void)
{
    struct sockaddr_in from;
    socklen_t size = sizeof from;
    int fd;
    while ((fd = accept4(listener, (struct sockaddr *)&from, &size, SOCK_NONBLOCK | SOCK_CLOEXEC)) < 0 &&
           (errno == EMFILE || errno == ENFILE) && give_back_a_dup())
        size = sizeof from;
    if (fd < 0 && errno == EMFILE && reserve >= 0) {
        close(reserve); /* none left: the newcomer is turned away, but politely */
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        bool turned_away = fd >= 0;
        if (turned_away)
            close(fd);
        reserve = open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (turned_away)
            return true;
        errno = EMFILE;
    }
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            control(top, EPOLL_CTL_MOD, listener, 0, &listener);
            accept_paused = true;
        }
        return errno == EINTR || errno == ECONNABORTED;
    }
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL)
        abort();
    c->in = fd;
    c->out = dup(fd);
    if (c->out < 0)
        c->out = c->in;
    c->in_on = true;
    char name[32], address[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &from.sin_addr, address, sizeof address);
    snprintf(name, sizeof name, "%s:%d", address, ntohs(from.sin_port));
    c->row = registry_add(name);
    if ((c->next = clients) != NULL)
        clients->prev = c;
    clients = c;
    control(crowd, EPOLL_CTL_ADD, c->in, EPOLLIN, c);
    return true;
}

static void settle_all(void)
{
    for (struct client *c = clients; c != NULL; c = c->next)
        settle(c);
}

static void begin_to_stop(void)
{
    stopping = true;
    last_work = clock_ms();
    close(listener);
    control(top, EPOLL_CTL_DEL, stop_pipe[0], 0, NULL);
    settle_all();
}

static void run(void)
{
    bool hearing = true;
    while (!stopping || pending > 0 || (clients != NULL && clock_ms() - last_work < GRACE_MS)) {
        bool hear = stuck == NULL && !stopping;
        if (hear != hearing)
            control(top, EPOLL_CTL_MOD, crowd, hear ? EPOLLIN : 0, &crowd);
        hearing = hear;
        struct epoll_event events[16];
        int n = epoll_wait(top, events, 16, accept_paused ? RETRY_MS : stopping && pending == 0 ? 10 : -1);
        if (n < 0 && errno != EINTR)
            must(n, "epoll_wait");
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            if (what == &listener && !stopping)
                while (let_one_in()) /* the backlog is short: be quick */
                    ;
            else if (what == &crowd && !stopping)
                hear_the_crowd();
            else if (what == &pending) /* stands for the results */
                take_results();
            else if (what == stop_pipe)
                begin_to_stop();
            else if (what != &listener && what != &crowd)
                settle(what);
        }
        if (n == 0 && accept_paused) {
            control(top, EPOLL_CTL_MOD, listener, EPOLLIN, &listener);
            accept_paused = false;
        }
        if (n == 0 && stopping)
            settle_all();
        if (pending > 0)
            last_work = clock_ms();
        forget_the_gone();
    }
}

static long argument(const char *name, const char *text, long preset, long most)
{
    long value = 0;
    if (text == NULL)
        return preset;
    for (const char *p = text; *p >= '0' && *p <= '9' && value <= most; p++)
        value = 10 * value + *p - '0';
    if (text[0] == '\0' || text[strspn(text, "0123456789")] != '\0' || value > most || (value < 1 && most > 0)) {
        fprintf(stderr, "pool_server: '%s' is no %s; the most is %ld\n", text, name, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s%s\n", argc < 2 ? "PORT is required" : "superfluous: ", argc < 2 ? "" : argv[5]);
        return 2;
    }
    long port = argument("PORT", argv[1], 0, 65535);
    long workers = argument("WORKERS", argc > 2 ? argv[2] : NULL, 4, 64);
    long capacity = argument("CAPACITY", argc > 3 ? argv[3] : NULL, 64, 65536);
    argument("TASK_TIMEOUT_MS", argc > 4 ? argv[4] : NULL, 0, 0);

    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max; /* two descriptors per client */
        setrlimit(RLIMIT_NOFILE, &files);
    }
    must(listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
    must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)), "SO_REUSEADDR");
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr = {INADDR_ANY}, .sin_port = htons((uint16_t)port)};
    if (bind(listener, (struct sockaddr *)&any, sizeof any) < 0 || listen(listener, 1) < 0) {
        fprintf(stderr, "pool_server: PORT %ld: %s\n", port, strerror(errno));
        close(listener);
        return 1;
    }
    must(pipe2(stop_pipe, O_NONBLOCK | O_CLOEXEC), "pipe2");
    must(reserve = open("/dev/null", O_RDONLY | O_CLOEXEC), "/dev/null");
    must(top = epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
    must(crowd = epoll_create1(EPOLL_CLOEXEC), "epoll_create1");

    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, NULL);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_sigterm, .sa_flags = SA_RESTART}, NULL);
    handoff_init((size_t)capacity);
    workers_start(workers);
    sigprocmask(SIG_UNBLOCK, &term, NULL); /* so that it comes to this thread */

    control(top, EPOLL_CTL_ADD, listener, EPOLLIN, &listener);
    control(top, EPOLL_CTL_ADD, crowd, EPOLLIN, &crowd);
    control(top, EPOLL_CTL_ADD, stop_pipe[0], EPOLLIN, stop_pipe);
    control(top, EPOLL_CTL_ADD, results_fd(), EPOLLIN, &pending);
    run();

    queue_close();
    workers_join();
    for (struct client *c = clients; c != NULL; c = c->next)
        hang_up(c);
    forget_the_gone();
    journal_totals();
    sigprocmask(SIG_BLOCK, &term, NULL); /* the pipe is about to go */
    close(stop_pipe[0]);
    close(stop_pipe[1]);
    close(reserve);
    close(crowd);
    close(top);
    handoff_destroy();
    return 0;
}
