/* pool_server: everything in batches. Each round of the event loop has fixed stages:
 *
 *   1 sleep    epoll_pwait2, up to 128 events; they are only noted down
 *   2 stop     if SIGTERM is among them
 *   3 tray     all finished cells, if the bell rang
 *   4 read     clients with input, as long as there are free cells
 *   5 accept   up to 64 newcomers
 *   6 send     one sendmsg per client with something to say
 *   7 tidy     hang up, forget
 */
#define _GNU_SOURCE
#include "pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { PLACES = 64, EVENTS = 128, NEWCOMERS = 64, LONGEST = 1024 };

struct connection {
    struct connection *newer, *older; /* everyone */
    struct connection *eager_next;    /* has input for which there was no free cell yet */
    bool eager;
    int fd;                           /* -1: hung up, forgotten once no cell is out */
    int cells_out;
    uint32_t watched;
    bool input, error;                /* what epoll said this round */
    bool ended, broken;
    unsigned head, tail;              /* places in use: head <= p < tail */
    struct iovec answer[PLACES];      /* iov_base NULL: not known yet */
    size_t head_sent;                 /* bytes of the first answer */
    size_t in_len;
    char in[2048];
};

static int ep, door, quit_fd;
static struct connection *newest;
static struct connection *eager, **eager_last = &eager;
static struct cell *free_cells;
static size_t cells_out;
static bool door_shut, stopping, again;
static int64_t grace_from;

static void check(bool fine, const char *what)
{
    if (!fine) {
        perror(what);
        exit(EXIT_FAILURE);
    }
}

static int64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void watch(int operation, int fd, uint32_t events, void *what)
{
    struct epoll_event e = {.events = events, .data.ptr = what};
    check(epoll_ctl(ep, operation, fd, &e) == 0, "pool_server: epoll_ctl");
}

static unsigned places_used(const struct connection *c)
{
    return c->tail - c->head;
}

static bool has_line(const struct connection *c)
{
    return !c->broken && memchr(c->in, '\n', c->in_len) != NULL;
}

static void become_eager(struct connection *c)
{
    if (c->eager)
        return;
    c->eager = true;
    c->eager_next = NULL;
    *eager_last = c;
    eager_last = &c->eager_next;
}

static struct iovec constant(const char *text)
{
    return (struct iovec){strdup(text), strlen(text)};
}

/* Cuts one line into one cell. False: no whole line, no cell or no place. */
static bool cut(struct connection *c)
{
    if (c->broken || places_used(c) == PLACES || c->in_len == 0)
        return false;
    char *newline = memchr(c->in, '\n', c->in_len);
    size_t end = newline != NULL ? (size_t)(newline - c->in) : c->in_len;
    size_t length = end > 0 && c->in[end - 1] == '\r' ? end - 1 : end;
    if (length > LONGEST) {
        c->answer[c->tail++ % PLACES] = constant("ERROR: line too long\n");
        c->broken = true;
        return false;
    }
    if (newline == NULL || free_cells == NULL)
        return false;
    struct cell *cell = free_cells;
    free_cells = cell->next;
    cell->who = c;
    cell->place = c->tail % PLACES;
    cell->text_len = length;
    memcpy(cell->text, c->in, length);
    c->answer[c->tail++ % PLACES].iov_base = NULL;
    c->cells_out++;
    cells_out++;
    pool_submit(cell);
    c->in_len -= end + 1;
    memmove(c->in, newline + 1, c->in_len);
    return true;
}

/* Stage 4. False: it still has something, but there is no cell. */
static bool read_client(struct connection *c)
{
    for (;;) {
        while (cut(c))
            ;
        if (c->fd < 0 || c->error || c->broken || places_used(c) == PLACES)
            return true;
        if (free_cells == NULL)
            return !has_line(c) && !(c->input && !c->ended && !stopping);
        if (!c->input || c->ended || stopping)
            return true;
        c->input = false;
        ssize_t n = recv(c->fd, c->in + c->in_len, sizeof c->in - c->in_len, MSG_DONTWAIT);
        if (n > 0)
            c->in_len += (size_t)n;
        else if (n == 0)
            c->ended = true;
        else
            c->error |= errno != EAGAIN && errno != EINTR;
    }
}

static void read_stage(void)
{
    while (eager != NULL) {
        struct connection *c = eager;
        if (!read_client(c))
            return; /* it stays the first */
        if ((eager = c->eager_next) == NULL)
            eager_last = &eager;
        c->eager = false;
    }
}

static void tray_stage(void)
{
    for (struct cell *cell = pool_tray(), *next; cell != NULL; cell = next) {
        next = cell->next;
        struct connection *c = cell->who;
        c->cells_out--;
        cells_out--;
        if (c->fd < 0) { /* has hung up: nobody wants this answer */
            free(cell->answer);
            continue;
        }
        c->answer[cell->place] = (struct iovec){cell->answer, cell->answer_len};
        cell->next = free_cells;
        free_cells = cell;
    }
}

static void accept_stage(void)
{
    for (int i = 0; i < NEWCOMERS; i++) {
        int fd = accept4(door, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && errno != EAGAIN) {
            watch(EPOLL_CTL_MOD, door, 0, &door); /* out of descriptors; opened again from time to time */
            door_shut = true;
        }
        if (fd < 0)
            return;
        struct connection *c = calloc(1, sizeof *c);
        check(c != NULL, "pool_server: calloc");
        c->fd = fd;
        c->watched = EPOLLIN;
        watch(EPOLL_CTL_ADD, fd, EPOLLIN, c);
        if (newest != NULL)
            newest->newer = c;
        c->older = newest;
        newest = c;
    }
}

static void open_door(void)
{
    if (door_shut && !stopping)
        watch(EPOLL_CTL_MOD, door, EPOLLIN, &door);
    door_shut = false;
}

static void send_answers(struct connection *c)
{
    struct iovec batch[PLACES];
    struct msghdr message = {.msg_iov = batch};
    for (unsigned p = c->head; p != c->tail && c->answer[p % PLACES].iov_base != NULL; p++)
        batch[message.msg_iovlen++] = c->answer[p % PLACES];
    if (message.msg_iovlen == 0)
        return;
    batch[0].iov_base = (char *)batch[0].iov_base + c->head_sent;
    batch[0].iov_len -= c->head_sent;
    ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) {
        c->error |= errno != EAGAIN && errno != EINTR;
        return;
    }
    c->head_sent += (size_t)n;
    bool was_full = places_used(c) == PLACES;
    while (c->head != c->tail && c->answer[c->head % PLACES].iov_base != NULL &&
           c->head_sent >= c->answer[c->head % PLACES].iov_len) {
        c->head_sent -= c->answer[c->head % PLACES].iov_len;
        free(c->answer[c->head++ % PLACES].iov_base);
    }
    if (was_full && places_used(c) < PLACES && has_line(c)) {
        become_eager(c);
        again = true; /* the read stage of this round is over: have another one at once */
    }
}

/* True: the first answer in turn is known, but the socket did not take it yet. */
static bool has_unsent(const struct connection *c)
{
    return c->head != c->tail && c->answer[c->head % PLACES].iov_base != NULL;
}

static void forget(struct connection *c)
{
    *(c->newer != NULL ? &c->newer->older : &newest) = c->older;
    if (c->older != NULL)
        c->older->newer = c->newer;
    for (; c->head != c->tail; c->head++)
        free(c->answer[c->head % PLACES].iov_base);
    free(c);
}

static void tidy(struct connection *c)
{
    bool all_said = c->head == c->tail && !has_line(c);
    int unsent = 0; /* in the kernel: lost if the close becomes a reset */
    if (all_said && stopping && ioctl(c->fd, SIOCOUTQNSD, &unsent) < 0)
        unsent = 0;
    if (c->error || (all_said && unsent == 0 && (c->ended || c->broken || stopping))) {
        close(c->fd);
        c->fd = -1;
        c->in_len = 0;
        open_door();
        return;
    }
    bool wants_input = !c->ended && !c->broken && !stopping && !c->eager && !has_line(c) && places_used(c) < PLACES;
    uint32_t wanted = (wants_input ? EPOLLIN : 0) | (has_unsent(c) ? EPOLLOUT : 0);
    if (wanted != c->watched)
        watch(EPOLL_CTL_MOD, c->fd, wanted, c);
    c->watched = wanted;
}

static void send_and_tidy_stages(void)
{
    for (struct connection *c = newest; c != NULL; c = c->older)
        if (c->fd >= 0 && !c->error)
            send_answers(c);
    for (struct connection *c = newest, *older; c != NULL; c = older) {
        older = c->older;
        if (c->fd >= 0)
            tidy(c);
        if (c->fd < 0 && c->cells_out == 0 && !c->eager)
            forget(c);
    }
}

static int sleep_for_events(struct epoll_event *events)
{
    static bool no_pwait2;
    int64_t ns = again ? 0 : stopping && cells_out == 0 ? 5000000 : door_shut ? 400000000 : -1;
    struct timespec t = {.tv_nsec = ns};
    again = false;
    int n = -1;
    if (!no_pwait2)
        n = epoll_pwait2(ep, events, EVENTS, ns < 0 ? NULL : &t, NULL);
    if (n < 0 && errno == ENOSYS)
        no_pwait2 = true; /* a kernel before 5.11 */
    if (no_pwait2)
        n = epoll_pwait(ep, events, EVENTS, ns < 0 ? -1 : (int)(ns / 1000000), NULL);
    check(n >= 0 || errno == EINTR, "pool_server: epoll_pwait2");
    return n;
}

static bool done(void)
{
    return stopping && cells_out == 0 && (newest == NULL || now_ns() - grace_from > 1000000000);
}

static void event_loop(void)
{
    while (!done()) {
        struct epoll_event events[EVENTS];
        bool knock = false, bell = false, stop = false;
        int n = sleep_for_events(events);
        for (int i = 0; i < n; i++) {
            void *what = events[i].data.ptr;
            struct connection *c = what;
            if (what == &door) {
                knock = true;
            } else if (what == &quit_fd) {
                stop = true;
            } else if (what == &free_cells) {
                bell = true; /* there will be free cells */
            } else {
                c->error |= (events[i].events & (EPOLLERR | EPOLLHUP)) != 0;
                c->input |= (events[i].events & EPOLLIN) != 0;
                if (c->input)
                    become_eager(c);
            }
        }
        if (stop && !stopping) {
            stopping = true;
            grace_from = now_ns();
            close(door);
            watch(EPOLL_CTL_DEL, quit_fd, 0, NULL);
        }
        if (bell)
            tray_stage();
        read_stage();
        if (knock && !stopping)
            accept_stage();
        send_and_tidy_stages();
        if (n == 0)
            open_door();
        if (cells_out > 0)
            grace_from = now_ns();
    }
}

static int number(char **argv, int at, const char *name, int least, int most, int otherwise)
{
    char rest;
    int value;
    if (argv[at] == NULL)
        return otherwise;
    if (strspn(argv[at], "0123456789") != strlen(argv[at]) || strlen(argv[at]) > 9 ||
        sscanf(argv[at], "%d%c", &value, &rest) != 1 || value < least || value > most) {
        fprintf(stderr, "pool_server: argument %d, %s, is '%s': want %d to %d\n", at, name, argv[at], least, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc == 1 || argc > 5) {
        fprintf(stderr, "pool_server: %s %s\n", argc == 1 ? "argument 1, PORT," : argv[5],
                argc == 1 ? "is missing" : "is one argument too many");
        return 2;
    }
    char *list[5] = {0};
    for (int i = 0; i < argc; i++)
        list[i] = argv[i];
    int port = number(list, 1, "PORT", 1, 65535, 0);
    int workers = number(list, 2, "WORKERS", 1, 64, 4);
    int capacity = number(list, 3, "CAPACITY", 1, 65536, 64);
    number(list, 4, "TASK_TIMEOUT_MS", 0, 0, 0);

    sigset_t quit;
    sigemptyset(&quit);
    sigaddset(&quit, SIGTERM);
    check(sigprocmask(SIG_BLOCK, &quit, NULL) == 0, "pool_server: sigprocmask");
    door = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    check(door >= 0 && setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int)) == 0, "pool_server: socket");
    struct sockaddr_in address = {AF_INET, htons((uint16_t)port), {htonl(INADDR_LOOPBACK)}, {0}};
    if (bind(door, (void *)&address, sizeof address) != 0 || listen(door, 128) != 0) {
        fprintf(stderr, "pool_server: cannot serve port %d: %s\n", port, strerror(errno));
        close(door);
        return EXIT_FAILURE;
    }
    ep = epoll_create1(EPOLL_CLOEXEC);
    quit_fd = signalfd(-1, &quit, SFD_NONBLOCK | SFD_CLOEXEC);
    check(ep >= 0 && quit_fd >= 0, "pool_server: descriptors");
    free_cells = pool_open(workers, (size_t)capacity);
    watch(EPOLL_CTL_ADD, door, EPOLLIN, &door);
    watch(EPOLL_CTL_ADD, quit_fd, EPOLLIN, &quit_fd);
    watch(EPOLL_CTL_ADD, pool_bell(), EPOLLIN, &free_cells);

    event_loop();

    while (newest != NULL) {
        if (newest->fd >= 0)
            close(newest->fd);
        forget(newest);
    }
    pool_close();
    close(quit_fd);
    close(ep);
    return EXIT_SUCCESS;
}
