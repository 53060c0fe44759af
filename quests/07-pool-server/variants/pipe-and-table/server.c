/* pool_server, the main thread: every socket.
 *
 * A client is known by its id: its descriptor, and above it a number that counts all clients. Epoll events carry the
 * id, tickets carry the id, and the table knows whose it is. So an event or a result for a client that has left finds
 * nobody, and clients can be freed at once.
 *
 * It reads and writes in small pieces on purpose, so that no line ever comes or goes whole. */
#define _GNU_SOURCE
#include "crew.h"
#include "list.h"
#include "table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    IN_PIECE = 7,  /* bytes in one recv */
    OUT_PIECE = 9, /* bytes in one send */
    OWED_MOST = 24,
};

static const int64_t MS = 1000000, NEVER = INT64_MAX;
#define LEAVE_LOOK (10 * MS)    /* how often to look whether a client has acknowledged everything */
#define LEAVE_TIME (1500 * MS)  /* and how long */
#define FULL_HOUSE (700 * MS)   /* without descriptors: look for newcomers again */
#define GRACE (900 * MS)        /* at the end, for clients that do not read */

/* What an event is about: one of these, or a client's id, which is larger. */
enum { LISTENER, BELL, STOP_PIPE };

struct answer {
    bool there;
    size_t length;
    char text[ANSWER_MAX];
};

struct client {
    uint64_t id;
    int fd;
    uint32_t watched;
    struct link in_line; /* in `line`, while it waits for a free task */
    struct link leaving; /* in `leaving`, when all is said */
    int64_t leave_by;
    bool ended;              /* the client sends no more */
    bool refused;            /* a line was too long: nothing more is read */
    unsigned asked, answered; /* requests, and answers that have been sent whole */
    struct answer answers[OWED_MOST]; /* of the requests from `answered` to `asked`, in turn */
    size_t sent;             /* of the first of them */
    size_t have;
    char in[TEXT_MAX + 2 + IN_PIECE];
};

static int epoll_fd, listener, stop_pipe[2];
static struct table clients;
static struct link line, leaving;
static uint32_t born;
static size_t in_crew; /* tasks pushed and not come back */
static int64_t look_for_newcomers = INT64_MAX, grace_end = INT64_MAX, next_overdue = INT64_MAX;
static bool stopping;

static void on_stop(int number)
{
    int saved = errno;
    ssize_t written = write(stop_pipe[1], "", 1);

    (void)number;
    (void)written; /* if the pipe is full, it has been written before */
    errno = saved;
}

static void die(const char *what)
{
    perror(what);
    exit(EXIT_FAILURE);
}

static bool watch(int operation, int fd, uint32_t events, uint64_t what)
{
    struct epoll_event event = {.events = events, .data.u64 = what};
    return epoll_ctl(epoll_fd, operation, fd, &event) == 0;
}

static void open_door(void)
{
    if (look_for_newcomers != NEVER && !stopping && watch(EPOLL_CTL_MOD, listener, EPOLLIN, LISTENER))
        look_for_newcomers = NEVER;
}

/* One at a time: if there are more, epoll says so again. */
static void accept_one(void)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            watch(EPOLL_CTL_MOD, listener, 0, LISTENER);
            look_for_newcomers = now_ns() + FULL_HOUSE;
        }
        return;
    }
    struct client *c = calloc(1, sizeof *c);
    if (c == NULL)
        die("pool_server: calloc");
    c->fd = fd;
    c->id = (uint64_t)++born << 32 | (uint32_t)fd;
    c->watched = EPOLLIN;
    list_open(&c->in_line);
    list_open(&c->leaving);
    /* The pieces shall go out as they are, and not wait for each other's acknowledgement. */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
    if (!watch(EPOLL_CTL_ADD, fd, EPOLLIN, c->id)) {
        close(fd);
        free(c);
        return;
    }
    table_add(&clients, c->id, c);
}

static void hang_up(struct client *c)
{
    table_remove(&clients, c->id);
    list_remove(&c->in_line);
    list_remove(&c->leaving);
    close(c->fd);
    free(c);
    open_door();
}

/* ---- answers ---- */

/* NULL: it has an answer already, or its client is gone. */
static struct answer *find_answer(struct ticket ticket, struct client **client)
{
    struct client *c = *client = table_find(&clients, ticket.client);
    if (c == NULL || ticket.turn - c->answered >= c->asked - c->answered)
        return NULL;
    struct answer *answer = &c->answers[ticket.turn % OWED_MOST];
    return answer->there ? NULL : answer;
}

static void fill(struct answer *answer, const char *text, size_t length)
{
    memcpy(answer->text, text, length);
    answer->length = length;
    answer->there = true;
}

static bool has_unsent(const struct client *c)
{
    return c->answered != c->asked && c->answers[c->answered % OWED_MOST].there;
}

/* False: the client is gone. */
static bool send_pieces(struct client *c)
{
    while (has_unsent(c)) {
        struct answer *answer = &c->answers[c->answered % OWED_MOST];
        size_t left = answer->length - c->sent;
        ssize_t n = send(c->fd, answer->text + c->sent, left < OUT_PIECE ? left : OUT_PIECE, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        c->sent += (size_t)n;
        if (c->sent == answer->length) {
            answer->there = false;
            c->answered++;
            c->sent = 0;
        }
    }
    return true;
}

/* ---- requests ---- */

static bool has_line(const struct client *c)
{
    return memchr(c->in, '\n', c->have) != NULL;
}

/* Deals with one line of the input. False: there is none, or it has to wait. */
static bool take_line(struct client *c)
{
    const char *newline = memchr(c->in, '\n', c->have);
    size_t whole = newline != NULL ? (size_t)(newline - c->in) : c->have;
    size_t length = whole > 0 && c->in[whole - 1] == '\r' ? whole - 1 : whole; /* its \n may come yet */

    if (c->refused || c->asked - c->answered == OWED_MOST || (newline == NULL && length <= TEXT_MAX))
        return false;
    if (length > TEXT_MAX) {
        static const char refusal[] = "ERROR: line too long\n";
        fill(&c->answers[c->asked++ % OWED_MOST], refusal, sizeof refusal - 1);
        c->refused = true;
        c->have = 0;
        return true;
    }
    if (!crew_room()) {
        list_append(&line, &c->in_line);
        return false;
    }
    crew_push((struct ticket){c->id, c->asked++}, c->in, length);
    in_crew++;
    c->have -= whole + 1;
    memmove(c->in, newline + 1, c->have);
    return true;
}

/* Does what can be done for the client, and watches for what it waits for. It may be gone afterwards. */
static void settle(struct client *c)
{
    uint32_t events = 0;
    do {
        if (!send_pieces(c)) {
            hang_up(c);
            return;
        }
    } while (take_line(c));

    bool all_said = c->answered == c->asked && list_empty(&c->in_line);
    if (all_said && (c->ended || c->refused || stopping) && list_empty(&c->leaving)) {
        c->leave_by = now_ns() + LEAVE_TIME;
        list_append(&leaving, &c->leaving);
    }
    if (!c->ended && !c->refused && !stopping && list_empty(&c->in_line) && c->asked - c->answered < OWED_MOST)
        events |= EPOLLIN;
    if (has_unsent(c))
        events |= EPOLLOUT;
    if (events != c->watched && !watch(EPOLL_CTL_MOD, c->fd, events, c->id))
        die("pool_server: epoll_ctl");
    c->watched = events;
}

/* Reads up to the end of a line. Only if there is a free task for it: otherwise it stays in the kernel. */
static void hear(struct client *c)
{
    bool reads = !c->ended && !stopping;
    if (reads && !has_line(c) && !crew_room()) {
        list_append(&line, &c->in_line);
        reads = false;
    }
    while (reads && !has_line(c) && c->have < TEXT_MAX + 2) {
        ssize_t n = recv(c->fd, c->in + c->have, IN_PIECE, 0);
        if (n > 0) {
            c->have += (size_t)n;
        } else if (n == 0) {
            c->ended = true;
            reads = false;
        } else if (errno == EAGAIN) {
            reads = false;
        } else if (errno != EINTR) {
            hang_up(c);
            return;
        }
    }
    settle(c);
}

/* Those who stand in line, the first one first, as long as there are free tasks. */
static void serve_line(void)
{
    while (!list_empty(&line) && crew_room())
        hear(OWNER(list_take(&line), struct client, in_line));
}

/* To close a socket with unread input means to reset it, and that destroys what the other side has not got yet. So a
 * client is closed when its kernel has acknowledged everything. */
static void see_off(void)
{
    for (struct link *link = leaving.next, *next; link != &leaving; link = next) {
        struct client *c = OWNER(link, struct client, leaving);
        int unacknowledged = 0;
        next = link->next;
        if (ioctl(c->fd, SIOCOUTQ, &unacknowledged) < 0 || unacknowledged == 0 || now_ns() >= c->leave_by)
            hang_up(c);
    }
}

/* ---- what the crew says ---- */

static void collect(void)
{
    struct result found[CREW_MAX];
    int count = crew_results(found);

    in_crew -= (size_t)count;
    for (int i = 0; i < count; i++) {
        struct client *c;
        struct answer *answer = find_answer(found[i].ticket, &c);
        if (answer == NULL)
            continue; /* too late */
        fill(answer, found[i].text, found[i].length);
        settle(c);
    }
}

/* After collect(): what is done in time may not be given up. */
static void give_up_the_overdue(void)
{
    static const char timeout[] = "ERROR: timeout\n";
    struct ticket found[CREW_MAX];
    int count = crew_overdue(found, &next_overdue);

    for (int i = 0; i < count; i++) {
        struct client *c;
        struct answer *answer = find_answer(found[i], &c);
        if (answer == NULL)
            continue;
        fill(answer, timeout, sizeof timeout - 1);
        settle(c);
    }
}

/* ---- start, run, stop ---- */

static void settle_one(void *client)
{
    settle(client);
}

static void hang_up_one(void *client)
{
    hang_up(client);
}

static void begin_to_stop(void)
{
    stopping = true;
    look_for_newcomers = NEVER;
    close(listener);
    watch(EPOLL_CTL_MOD, stop_pipe[0], 0, STOP_PIPE); /* not read: once is enough */
    table_visit(&clients, settle_one);
}

/* For epoll_wait: until the first of all deadlines, rounded up. */
static int sleep_ms(void)
{
    int64_t first = next_overdue, now = now_ns();
    if (look_for_newcomers < first)
        first = look_for_newcomers;
    if (grace_end < first)
        first = grace_end;
    if (!list_empty(&leaving) && now + LEAVE_LOOK < first)
        first = now + LEAVE_LOOK;
    if (first == NEVER)
        return -1;
    return first <= now ? 0 : (int)((first - now + MS - 1) / MS);
}

static void run(void)
{
    while (!stopping || in_crew > 0 || (table_used(&clients) > 0 && now_ns() < grace_end)) {
        struct epoll_event events[24];
        bool knocked = false;
        int count = epoll_wait(epoll_fd, events, 24, sleep_ms());
        if (count < 0 && errno != EINTR)
            die("pool_server: epoll_wait");
        for (int i = 0; i < count; i++) {
            uint64_t what = events[i].data.u64;
            struct client *c = table_find(&clients, what);
            if (what == LISTENER)
                knocked = true;
            else if (what == BELL)
                crew_silence();
            else if (what == STOP_PIPE)
                begin_to_stop();
            else if (c != NULL && events[i].events & (EPOLLERR | EPOLLHUP))
                hang_up(c);
            else if (c != NULL && events[i].events & EPOLLIN && list_empty(&c->in_line))
                hear(c);
            else if (c != NULL)
                settle(c);
        }
        collect(); /* behind crew_silence(): what came in between rings again */
        give_up_the_overdue();
        serve_line();
        if (knocked && !stopping)
            accept_one();
        if (now_ns() >= look_for_newcomers)
            open_door();
        see_off();
        if (stopping && (in_crew > 0 || grace_end == NEVER))
            grace_end = now_ns() + GRACE;
    }
    table_visit(&clients, hang_up_one);
}

static bool open_listener(int port)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;

    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0
        && bind(listener, (struct sockaddr *)&here, sizeof here) == 0 && listen(listener, 256) == 0)
        return true;
    fprintf(stderr, "pool_server: port %d: %s\n", port, strerror(errno));
    if (listener >= 0)
        close(listener);
    return false;
}

static long argument(const char *text, const char *name, long least, long most)
{
    size_t digits = strspn(text, "0123456789");
    bool number = digits > 0 && digits < 9 && text[digits] == '\0';

    if (number && atol(text) >= least && atol(text) <= most)
        return atol(text);
    fprintf(stderr, "pool_server: %s must be a number from %ld to %ld: '%s'\n", name, least, most, text);
    exit(2);
}

int main(int argc, char **argv)
{
    sigset_t stop_signals;
    const struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};

    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s\nusage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]\n",
                argc < 2 ? "PORT is missing" : "one argument too many");
        return 2;
    }
    int port = (int)argument(argv[1], "PORT", 1, 65535);
    int workers = argc > 2 ? (int)argument(argv[2], "WORKERS", 1, CREW_MAX) : 4;
    size_t capacity = argc > 3 ? (size_t)argument(argv[3], "CAPACITY", 1, 65536) : 64;
    long limit_ms = argc > 4 ? argument(argv[4], "TASK_TIMEOUT_MS", 0, 3600000) : 0;

    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL); /* the workers inherit that */
    crew_open(workers, capacity, limit_ms); /* the door opens when everybody is here */
    if (!open_listener(port)) {
        crew_close();
        return EXIT_FAILURE;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0 || pipe2(stop_pipe, O_NONBLOCK | O_CLOEXEC) < 0)
        die("pool_server: descriptors");
    table_open(&clients);
    list_open(&line);
    list_open(&leaving);
    if (!watch(EPOLL_CTL_ADD, listener, EPOLLIN, LISTENER) || !watch(EPOLL_CTL_ADD, crew_bell(), EPOLLIN, BELL)
        || !watch(EPOLL_CTL_ADD, stop_pipe[0], EPOLLIN, STOP_PIPE))
        die("pool_server: epoll_ctl");
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &stop_signals, NULL);

    run();

    crew_close();
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL); /* the handler's pipe is about to go */
    close(stop_pipe[0]);
    close(stop_pipe[1]);
    close(epoll_fd);
    table_close(&clients);
    return EXIT_SUCCESS;
}
