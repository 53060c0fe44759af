/* pool_server, the main thread: every socket, one clock, one eventfd for SIGTERM.
 *
 * All that has to do with time hangs on the clock, a timerfd that ticks once a second: clients that have been idle for
 * long, clients that do not end an over-long line, newcomers that found no descriptor, and client structs whose socket
 * is closed. So epoll_wait() itself never needs a timeout. */
#define _GNU_SOURCE
#include "pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    REHEARSAL_MS = 500,      /* of processor time */
    TICK_MS = 1000,
    IDLE_MS = 30000,
    LINGER_MS = 2000,        /* after an over-long line was answered */
    STOPPING_TICK_MS = 20,
    GRACE_MS = 900,          /* at the end, for clients that do not read */
};

struct client {
    struct session session; /* the first member: workers know only this, and free the whole by it */
    struct client *previous, *next;
    int fd;             /* -1: closed; the struct stays until the clock has ticked, and longer if tasks are under way */
    uint32_t watched;
    bool ended;         /* the client sends no more */
    bool refused;       /* a line was too long: what follows is read and dropped */
    bool said_all;      /* ... and our side is shut */
    int64_t expires;    /* when the clock closes it, if nothing is owed to it */
    size_t in_length, out_length;
    char in[2 * (TEXT_MAX + 2)];
    char out[PLACES * ANSWER_MAX];
};

static int epoll_fd, listener, clock_fd;
static struct client *clients, *closed;
static bool door_shut; /* no descriptor left for newcomers */
static bool stopping;
static int64_t grace_end;
static volatile sig_atomic_t stop_asked;
static int stop_fd;

static void on_stop(int number)
{
    const uint64_t one = 1;
    int saved = errno;

    (void)number;
    stop_asked = 1;
    if (write(stop_fd, &one, sizeof one) < 0)
        stop_asked = 1; /* full: it was rung before */
    errno = saved;
}

static void sure(bool fine, const char *what)
{
    if (fine)
        return;
    perror(what);
    exit(EXIT_FAILURE);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

static bool add(int fd, void *who)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = who};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

static void watch(int fd, uint32_t events, void *who)
{
    struct epoll_event event = {.events = events, .data.ptr = who};
    sure(epoll_ctl(epoll_fd, EPOLL_CTL_MOD, fd, &event) == 0, "pool_server: epoll_ctl");
}

static void set_clock(long ms)
{
    struct timespec period = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    struct itimerspec times = {.it_interval = period, .it_value = period};
    sure(timerfd_settime(clock_fd, 0, &times, NULL) == 0, "pool_server: timerfd_settime");
}

static void open_door(bool open)
{
    if (door_shut != open || stopping)
        return;
    watch(listener, open ? EPOLLIN : 0, &listener);
    door_shut = !open;
}

/* ---- a client's life ---- */

/* The struct is kept: an event of this turn may still point to it, and so may news. */
static void hang_up(struct client *client)
{
    if (client->fd < 0)
        return;
    close(client->fd);
    client->fd = -1;
    *(client->previous != NULL ? &client->previous->next : &clients) = client->next;
    if (client->next != NULL)
        client->next->previous = client->previous;
    client->next = closed;
    closed = client;
    open_door(true);
}

static void accept_clients(void)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            if (errno != EAGAIN)
                open_door(false); /* until somebody leaves, or the clock ticks */
            return;
        }
        struct client *client = malloc(sizeof *client);
        sure(client != NULL, "pool_server: malloc");
        memset(client, 0, sizeof *client);
        session_open(&client->session);
        client->fd = fd;
        client->expires = now_ms() + IDLE_MS;
        client->watched = EPOLLIN;
        client->next = clients;
        if (clients != NULL)
            clients->previous = client;
        clients = client;
        if (!add(fd, client))
            hang_up(client);
    }
}

static void let_go_of_the_closed(void)
{
    for (struct client *client; (client = closed) != NULL;) {
        closed = client->next;
        session_let_go(&client->session);
    }
}

/* ---- answers ---- */

/* Sends what is there and goes into the socket. False: the client is gone. */
static bool send_answers(struct client *client)
{
    for (;;) {
        client->out_length += session_answers(&client->session, client->out + client->out_length,
                                              sizeof client->out - client->out_length);
        if (client->out_length == 0)
            return true;
        ssize_t count = send(client->fd, client->out, client->out_length, MSG_NOSIGNAL);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return errno == EAGAIN;
        client->out_length -= (size_t)count;
        memmove(client->out, client->out + count, client->out_length);
        if (!client->said_all)
            client->expires = now_ms() + IDLE_MS;
    }
}

/* ---- requests ---- */

/* Takes one line out of the input; it may sleep until the queue has room. False: there is no whole line, or too many
 * answers are owed. */
static bool take_line(struct client *client)
{
    const char *newline = memchr(client->in, '\n', client->in_length);
    size_t whole = newline != NULL ? (size_t)(newline - client->in) : client->in_length;
    /* A \r at the end is not counted; its \n may just not have come yet. */
    size_t length = whole > 0 && client->in[whole - 1] == '\r' ? whole - 1 : whole;

    if (client->refused || session_owes(&client->session) == PLACES)
        return false;
    if (length > TEXT_MAX) {
        session_answer_at_once(&client->session, "ERROR: line too long\n");
        client->refused = true;
        client->in_length = 0;
        return true;
    }
    if (newline == NULL)
        return false;
    pool_push(&client->session, client->in, length);
    client->in_length -= whole + 1;
    memmove(client->in, newline + 1, client->in_length);
    return true;
}

/* Does for the client whatever can be done now, and watches for what cannot. */
static void settle(struct client *client)
{
    if (client->fd < 0)
        return;
    do {
        if (!send_answers(client)) {
            hang_up(client);
            return;
        }
    } while (take_line(client));

    size_t owes = session_owes(&client->session);
    bool all_said = owes == 0 && client->out_length == 0;
    if (all_said && (client->ended || stopping)) {
        int unsent = 0; /* which is lost if there is unread input, because then the close is a reset */
        if (!stopping || ioctl(client->fd, SIOCOUTQNSD, &unsent) < 0 || unsent == 0) {
            hang_up(client);
            return;
        }
    } else if (all_said && client->refused && !client->said_all) {
        shutdown(client->fd, SHUT_WR); /* no close yet: the reset might overtake the answer */
        client->said_all = true;
        client->expires = now_ms() + LINGER_MS;
    }
    bool hears = !client->ended && !stopping && (client->refused || owes < PLACES);
    uint32_t events = (hears ? EPOLLIN : 0) | (client->out_length > 0 ? EPOLLOUT : 0);
    if (events != client->watched)
        watch(client->fd, events, client);
    client->watched = events;
}

static void read_from(struct client *client)
{
    /* What is left after settle() is less than a line, so there is room. */
    ssize_t count = recv(client->fd, client->in + client->in_length, sizeof client->in - client->in_length, 0);

    if (count == 0) {
        client->ended = true;
    } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
        hang_up(client);
    } else if (count > 0 && !client->refused) {
        client->in_length += (size_t)count;
        client->expires = now_ms() + IDLE_MS;
    }
}

static void handle(struct client *client, uint32_t events)
{
    if (client->fd < 0)
        return;
    if (events & (EPOLLERR | EPOLLHUP))
        hang_up(client);
    else if (events & EPOLLIN)
        read_from(client);
    settle(client);
}

static void hear_news(void)
{
    uint64_t rings;
    struct session *session;

    while (read(pool_bell(), &rings, sizeof rings) < 0 && errno == EINTR)
        continue;
    while ((session = pool_news()) != NULL) {
        settle((struct client *)session);
        session_let_go(session);
    }
}

/* ---- time ---- */

static void tick(void)
{
    uint64_t ticks;
    int64_t now = now_ms();

    if (read(clock_fd, &ticks, sizeof ticks) < 0)
        return; /* it was set anew just now */
    for (struct client *client = clients, *next; client != NULL; client = next) {
        next = client->next;
        if (stopping)
            settle(client);
        else if (now >= client->expires && client->out_length == 0 && session_owes(&client->session) == 0)
            hang_up(client);
    }
    open_door(true);
    let_go_of_the_closed();
}

static void begin_to_stop(void)
{
    stopping = true;
    grace_end = now_ms() + GRACE_MS;
    watch(stop_fd, 0, &stop_fd); /* it has done its work, and is not read: it stays rung */
    close(listener);
    set_clock(STOPPING_TICK_MS);
}

static bool may_leave(void)
{
    if (!stopping)
        return false;
    if (!pool_is_quiet()) {
        grace_end = now_ms() + GRACE_MS;
        return false;
    }
    return clients == NULL || now_ms() >= grace_end;
}

static void run(void)
{
    while (!may_leave()) {
        struct epoll_event events[48];
        bool ticked = false;
        int count = epoll_wait(epoll_fd, events, 48, -1);
        sure(count >= 0 || errno == EINTR, "pool_server: epoll_wait");
        for (int i = 0; i < count; i++) {
            void *who = events[i].data.ptr;
            if (who == &clock_fd)
                ticked = true;
            else if (who == &listener)
                accept_clients();
            else if (who == &clients) /* stands for the bell */
                hear_news();
            else if (who != &stop_fd)
                handle(who, events[i].events);
        }
        if (stop_asked && !stopping)
            begin_to_stop();
        if (ticked)
            tick(); /* the last thing of a turn: no event points to the closed any more */
    }
    while (clients != NULL)
        hang_up(clients);
    let_go_of_the_closed();
}

/* ---- start ---- */

static long argument(const char *text, const char *name, long least, long most)
{
    char *end;
    errno = 0;
    long value = strtol(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 && value >= least && value <= most)
        return value;
    fprintf(stderr, "pool_server: %s: '%s' is not a number from %ld to %ld\n", name, text, least, most);
    exit(2);
}

static void bind_port(long port)
{
    const int on = 1;
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};

    any.sin_addr.s_addr = htonl(INADDR_ANY);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sure(listener >= 0, "pool_server: socket");
    sure(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0, "pool_server: SO_REUSEADDR");
    if (bind(listener, (struct sockaddr *)&any, sizeof any) == 0)
        return;
    fprintf(stderr, "pool_server: port %ld: %s\n", port, strerror(errno));
    exit(EXIT_FAILURE);
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"", "PORT", "WORKERS", "CAPACITY", "TASK_TIMEOUT_MS"};
    static const long least[] = {0, 1, 1, 1, 0}, most[] = {0, 65535, 64, 65536, 0};
    long values[] = {0, 0, 4, 64, 0};
    sigset_t stop_signals;

    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s\n", argc < 2 ? "PORT is missing" : "no argument goes behind TASK_TIMEOUT_MS");
        return 2;
    }
    for (int i = 1; i < argc; i++)
        values[i] = argument(argv[i], names[i], least[i], most[i]);

    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    sigprocmask(SIG_BLOCK, &stop_signals, NULL);
    bind_port(values[1]); /* known at once whether it is free, although nobody is heard before listen() */
    pool_rehearse(REHEARSAL_MS);
    if (listen(listener, SOMAXCONN) < 0) { /* somebody else was quicker */
        fprintf(stderr, "pool_server: port %ld: %s\n", values[1], strerror(errno));
        return EXIT_FAILURE;
    }

    pool_open((int)values[2], (size_t)values[3]); /* the workers inherit the blocked signals */
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    clock_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    sure(epoll_fd >= 0 && clock_fd >= 0 && stop_fd >= 0, "pool_server: descriptors");
    sure(add(listener, &listener) && add(clock_fd, &clock_fd) && add(stop_fd, &stop_fd) && add(pool_bell(), &clients),
         "pool_server: epoll_ctl");
    set_clock(TICK_MS);
    struct sigaction action = {.sa_handler = on_stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &stop_signals, NULL);

    run();

    pool_close();
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL); /* the handler's eventfd is about to go */
    close(stop_fd);
    close(clock_fd);
    close(epoll_fd);
    return EXIT_SUCCESS;
}
