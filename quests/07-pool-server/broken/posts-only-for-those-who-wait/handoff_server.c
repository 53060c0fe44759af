/* pool_server, with semaphores. The event loop is edge-triggered, and it reads from a client only while it holds
 * a free slot of the queue: with a full queue the requests stay in the kernel and their clients stand in line.
 */
#define _GNU_SOURCE
#include "task_queue.h"
#include "thread_pool.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TURNS = 32, INPUT = 2048, OUTPUT = 16384, GRACE_MS = 1000, RETRY_MS = 250 };

struct connection {
    int fd;
    uint64_t handle; /* table index, and above it the number of its birth */
    bool readable, writable; /* what the last edge said, until EAGAIN takes it back */
    bool end;                /* no more input is wanted */
    bool broken;             /* a line was too long */
    bool in_line;
    TAILQ_ENTRY(connection) neighbours; /* in the line */
    uint32_t oldest, newest; /* turns without an answer sent: oldest <= turn < newest */
    bool ready[TURNS];
    char reply[TURNS][REPLY_MAX];
    size_t in_len, out_len;
    char in[INPUT], out[OUTPUT];
};

static struct task_queue queue;
static struct thread_pool pool;
static int epoll_fd = -1, listen_fd = -1, stop_fd = -1, spare_fd = -1;
static struct connection **table;
static int table_size, connections;
static uint32_t births;
static TAILQ_HEAD(, connection) line = TAILQ_HEAD_INITIALIZER(line); /* who waits for a slot */
static long in_flight;                             /* tasks that have not come back */
static bool accept_later, stopping;
static long last_busy; /* ms; the grace of those who do not read begins here */
static volatile sig_atomic_t stop_asked;

static void on_sigterm(int signal_number)
{
    (void)signal_number;
    int saved = errno;
    stop_asked = 1;
    if (write(stop_fd, &(uint64_t){1}, 8) < 0)
        stop_asked = 1; /* full means that it was asked already */
    errno = saved;
}

static void die(const char *what)
{
    fprintf(stderr, "pool_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

enum { LISTENER, BELL, STOP }; /* what epoll says instead of a handle */

static void leave_line(struct connection *c)
{
    if (c->in_line)
        TAILQ_REMOVE(&line, c, neighbours);
    c->in_line = false;
}

static void join_line(struct connection *c)
{
    if (!c->in_line)
        TAILQ_INSERT_TAIL(&line, c, neighbours);
    c->in_line = true;
}

static void drop(struct connection *c)
{
    leave_line(c);
    table[(uint32_t)c->handle] = NULL;
    connections--;
    close(c->fd);
    free(c);
}

/* NULL once that connection is gone, even if another one sits in its place by now. */
static struct connection *find(uint64_t handle)
{
    struct connection *c = table[(uint32_t)handle];
    return c != NULL && c->handle == handle ? c : NULL;
}

/* Needs a reserved slot. False: there is no whole line yet. */
static bool take_line(struct connection *c, bool *used_slot)
{
    char *newline = memchr(c->in, '\n', c->in_len);
    size_t length = newline != NULL ? (size_t)(newline - c->in) : c->in_len;
    /* A \r at the end may belong to the newline, whether that is here already or not. */
    size_t counted = length > 0 && c->in[length - 1] == '\r' ? length - 1 : length;
    if (counted > LINE_MAX_BYTES || length > LINE_MAX_BYTES + 1) {
        strcpy(c->reply[c->newest % TURNS], "ERROR: line too long\n");
        c->ready[c->newest++ % TURNS] = true;
        c->end = c->broken = true;
        c->in_len = 0;
        return false;
    }
    if (newline == NULL)
        return false;
    struct task *t = malloc(sizeof *t);
    if (t == NULL)
        die("malloc");
    t->owner = c->handle;
    t->turn = c->newest++;
    t->length = counted;
    memcpy(t->text, c->in, counted);
    queue_put(&queue, t);
    in_flight++;
    *used_slot = true;
    c->in_len -= length + 1;
    memmove(c->in, newline + 1, c->in_len);
    return true;
}

/* False: the client is gone. */
static bool receive(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->in_len, INPUT - c->in_len, 0);
    if (n > 0) {
        c->in_len += (size_t)n;
    } else if (n == 0) {
        c->end = true;
        c->in_len = 0; /* a last line without newline */
    } else if (errno == EAGAIN) {
        c->readable = false;
    } else if (errno != EINTR) {
        return false;
    }
    return true;
}

/* False: the client is gone. */
static bool send_answers(struct connection *c)
{
    for (;;) {
        while (c->oldest != c->newest && c->ready[c->oldest % TURNS]) {
            size_t n = strlen(c->reply[c->oldest % TURNS]);
            if (c->out_len + n > OUTPUT)
                break;
            memcpy(c->out + c->out_len, c->reply[c->oldest % TURNS], n);
            c->out_len += n;
            c->ready[c->oldest++ % TURNS] = false;
        }
        if (c->out_len == 0 || !c->writable)
            return true;
        ssize_t n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
        if (n >= 0) {
            c->out_len -= (size_t)n;
            memmove(c->out, c->out + n, c->out_len);
        } else if (errno == EAGAIN) {
            c->writable = false;
        } else if (errno != EINTR) {
            return false;
        }
    }
}

static bool wants_slot(const struct connection *c)
{
    bool may_read = c->readable && !c->end && !stopping;
    return c->newest - c->oldest < TURNS && (may_read || memchr(c->in, '\n', c->in_len) != NULL);
}

/* Takes c as far as it goes. Afterwards c may be freed. */
static void advance(struct connection *c, bool first_in_line)
{
    if (!send_answers(c)) {
        drop(c);
        return;
    }
    while (wants_slot(c)) {
        if ((!first_in_line && !TAILQ_EMPTY(&line)) || !queue_reserve(&queue)) {
            join_line(c);
            return;
        }
        bool used_slot = false, alive = true;
        if (!take_line(c, &used_slot) && !c->broken && !stopping)
            alive = receive(c) && (take_line(c, &used_slot) || true);
        if (!used_slot)
            queue_unreserve(&queue);
        if (!alive || !send_answers(c)) {
            drop(c);
            return;
        }
    }
    if (c->oldest != c->newest || c->out_len > 0 || !(c->end || stopping))
        return;
    int unsent = 0; /* a close with unread input would throw it away */
    if (stopping && ioctl(c->fd, SIOCOUTQNSD, &unsent) == 0 && unsent > 0)
        return;
    for (int i = 0; c->broken && i < 256 && recv(c->fd, c->in, INPUT, 0) > 0; i++)
        ; /* reads the rest of an over-long line, as far as it is here, so that the answer is not lost in a reset */
    drop(c);
}

static void serve_line(void)
{
    while (!TAILQ_EMPTY(&line) && queue_reserve(&queue)) {
        queue_unreserve(&queue);
        struct connection *c = TAILQ_FIRST(&line);
        leave_line(c);
        advance(c, true);
    }
}

static void collect(void)
{
    struct task *t;
    while (pool_collect(&pool, &t)) {
        if (t == NULL)
            continue;
        in_flight--;
        struct connection *c = find(t->owner);
        if (c != NULL) {
            memcpy(c->reply[t->turn % TURNS], t->reply, REPLY_MAX);
            c->ready[t->turn % TURNS] = true;
            advance(c, false);
        }
        free(t);
    }
    serve_line();
}

static void welcome(int fd)
{
    int at = 0;
    while (at < table_size && table[at] != NULL)
        at++;
    if (at == table_size) {
        table = realloc(table, (size_t)(table_size = 2 * table_size + 16) * sizeof *table);
        if (table == NULL)
            die("malloc");
        memset(table + at, 0, (size_t)(table_size - at) * sizeof *table);
    }
    struct connection *c = calloc(1, sizeof *c);
    if (c == NULL)
        die("malloc");
    c->fd = fd;
    c->handle = (uint64_t)++births << 32 | (uint32_t)at;
    c->writable = true;
    table[at] = c;
    connections++;
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u64 = c->handle};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
        drop(c);
}

static void accept_all(void)
{
    accept_later = false;
    if (spare_fd < 0)
        spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    for (;;) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(fd);
        } else if (errno == EMFILE && spare_fd >= 0) {
            close(spare_fd); /* out of descriptors: turn the newcomer away with the one kept for this */
            fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
            accept_later = fd < 0 && errno != EAGAIN;
            if (fd >= 0)
                close(fd);
            spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
            if (fd < 0) /* EMFILE comes even when nobody is waiting: only this attempt tells */
                return;
        } else if (errno == EAGAIN) {
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            accept_later = true; /* no edge will come for those who wait already */
            return;
        }
    }
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void begin_to_stop(void)
{
    stopping = true;
    last_busy = now_ms();
    close(listen_fd);
    accept_later = false;
    for (int i = 0; i < table_size; i++)
        if (table[i] != NULL) {
            leave_line(table[i]);
            advance(table[i], false);
        }
}

static void run(void)
{
    while (!stopping || in_flight > 0 || (connections > 0 && now_ms() - last_busy < GRACE_MS)) {
        struct epoll_event events[32];
        int timeout = stopping && in_flight == 0 ? 10 : accept_later ? RETRY_MS : -1;
        int n = epoll_wait(epoll_fd, events, 32, timeout);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            uint64_t who = events[i].data.u64, count;
            if (who == LISTENER && !stopping) {
                accept_all();
            } else if (who == BELL) {
                collect();
            } else if (who == STOP && read(stop_fd, &count, sizeof count) > 0 && stop_asked && !stopping) {
                begin_to_stop();
            } else if (who > STOP && find(who) != NULL) {
                struct connection *c = find(who);
                if (events[i].events & (EPOLLERR | EPOLLHUP)) {
                    drop(c);
                    continue;
                }
                c->readable |= (events[i].events & (EPOLLIN | EPOLLRDHUP)) != 0;
                c->writable |= (events[i].events & EPOLLOUT) != 0;
                advance(c, false);
            }
        }
        if (n == 0 && accept_later)
            accept_all();
        if (n == 0 && stopping)
            for (int i = 0; i < table_size; i++)
                if (table[i] != NULL)
                    advance(table[i], false);
        if (in_flight > 0)
            last_busy = now_ms();
    }
}

static void add(int fd, uint64_t who)
{
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.u64 = who};
    if (fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0)
        die("epoll");
}

static unsigned long number(const char *name, const char *text, unsigned long least, unsigned long most)
{
    unsigned long value = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits > 0 && digits < 10 && text[digits] == '\0')
        value = strtoul(text, NULL, 10);
    else
        most = 0;
    if (value < least || value > most || most == 0) {
        fprintf(stderr, "pool_server: bad %s: '%s'\n", name, text);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "usage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]\n%s%s\n",
                argc < 2 ? "PORT is missing" : "one argument too many: ", argc < 2 ? "" : argv[5]);
        return 2;
    }
    unsigned long port = number("PORT", argv[1], 1, 65535);
    unsigned long workers = argc > 2 ? number("WORKERS", argv[2], 1, 64) : 4;
    unsigned long capacity = argc > 3 ? number("CAPACITY", argv[3], 1, 65536) : 64;
    if (argc > 4 && strcmp(argv[4], "0") != 0) {
        fprintf(stderr, "pool_server: bad TASK_TIMEOUT_MS: '%s': only 0, no limit, is possible here\n", argv[4]);
        return 2;
    }

    sigset_t term;
    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL); /* the workers inherit this */

    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (listen_fd < 0 || setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        bind(listen_fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(listen_fd, 511) < 0) {
        fprintf(stderr, "pool_server: cannot listen on port %lu: %s\n", port, strerror(errno));
        if (listen_fd >= 0)
            close(listen_fd);
        return 1;
    }
    if (!queue_init(&queue, capacity) || !pool_start(&pool, &queue, (int)workers))
        die("start");
    stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    add(listen_fd, LISTENER);
    add(pool.bell, BELL);
    add(stop_fd, STOP);
    struct sigaction action = {.sa_handler = on_sigterm};
    sigaction(SIGTERM, &action, NULL);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);

    run();

    queue_close(&queue);
    pool_join(&pool);
    for (int i = 0; i < table_size; i++)
        if (table[i] != NULL)
            drop(table[i]);
    free(table);
    queue_destroy(&queue);
    pthread_sigmask(SIG_BLOCK, &term, NULL); /* stop_fd is about to go */
    close(stop_fd);
    close(spare_fd);
    close(epoll_fd);
    return 0;
}
