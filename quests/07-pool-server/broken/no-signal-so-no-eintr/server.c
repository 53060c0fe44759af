/* pool_server: the whole program in one file.
 *
 *   main thread   epoll (level-triggered): accept, read, push, collect, write
 *   workers       pop, count the characters, post
 *
 * The queue is a plain blocking one: when it is full, push() puts the main thread to sleep until a worker
 * takes a task. That is safe because a worker never waits for the main thread: `done` is an unbounded list,
 * and no more requests can be on it than the main thread has read.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST = 1024, CHUNK = 4096, MANY_REQUESTS = 256, MANY_BYTES = 65536, GRACE_MS = 1000 };

/* One request. It stands in its client's row from the moment it is read until its answer is copied out, and
 * meanwhile travels: queue -> worker -> done list -> main thread. */
struct request {
    struct request *next;  /* in the queue or on the done list */
    struct request *after; /* the same client's next request */
    struct client *client; /* main thread only */
    bool answered;         /* main thread only */
    char answer[48];
    size_t len;
    char text[];
};

/* Only the main thread ever looks into a client. */
struct client {
    struct client *prev, *next;
    int fd;         /* -1: gone; the struct stays until its last request is back */
    uint32_t wants; /* what epoll watches for */
    bool no_more;   /* end of stream, or a line too long: nothing more is read */
    struct request *first, *last;
    size_t waiting; /* requests in the row */
    size_t len;
    char line[LONGEST + 2]; /* the line that is being received, maybe with its \r */
    char *out;
    size_t out_len, out_size;
};

/* ---- what threads share ------------------------------------------------------------------------------- */

static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_has_task = PTHREAD_COND_INITIALIZER;
static pthread_cond_t queue_has_room = PTHREAD_COND_INITIALIZER;
static struct request *queue_head, *queue_tail;
static size_t queue_len, queue_capacity;
static bool queue_closed;

static pthread_mutex_t done_lock = PTHREAD_MUTEX_INITIALIZER;
static struct request *done_head, *done_tail;
static int done_fd; /* eventfd: the done list is not empty */

/* ---- main thread's own -------------------------------------------------------------------------------- */

static int epoll_fd, listen_fd, signal_fd;
static bool accept_paused; /* out of descriptors */
static bool stopping;      /* nothing more is read */
static struct client *clients;

static void fatal(const char *what)
{
    perror(what);
    exit(1);
}

static void *must(void *memory)
{
    if (memory == NULL)
        fatal("pool_server: malloc");
    return memory;
}

static void push(struct request *r)
{
    pthread_mutex_lock(&queue_lock);
    while (queue_len == queue_capacity)
        pthread_cond_wait(&queue_has_room, &queue_lock);
    r->next = NULL;
    if (queue_head == NULL)
        queue_head = r;
    else
        queue_tail->next = r;
    queue_tail = r;
    queue_len++;
    pthread_cond_signal(&queue_has_task);
    pthread_mutex_unlock(&queue_lock);
}

/* NULL: closed and empty. */
static struct request *pop(void)
{
    pthread_mutex_lock(&queue_lock);
    while (queue_head == NULL && !queue_closed)
        pthread_cond_wait(&queue_has_task, &queue_lock);
    struct request *r = queue_head;
    if (r != NULL) {
        queue_head = r->next;
        queue_len--;
        pthread_cond_signal(&queue_has_room);
    }
    pthread_mutex_unlock(&queue_lock);
    return r;
}

static void close_queue(void)
{
    pthread_mutex_lock(&queue_lock);
    queue_closed = true;
    pthread_cond_broadcast(&queue_has_task);
    pthread_mutex_unlock(&queue_lock);
}

static void post(struct request *r)
{
    pthread_mutex_lock(&done_lock);
    r->next = NULL;
    if (done_head == NULL)
        done_head = r;
    else
        done_tail->next = r;
    done_tail = r;
    pthread_mutex_unlock(&done_lock);
    const uint64_t one = 1;
    if (write(done_fd, &one, sizeof one) != (ssize_t)sizeof one)
        fatal("pool_server: eventfd"); /* cannot happen: the counter is far from its limit */
}

static void spin(long ms)
{
    struct timespec from, now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    do {
        for (volatile int i = 0; i < 100000; i++)
            ;
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    } while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

static void *worker(void *unused)
{
    (void)unused;
    struct request *r;
    while ((r = pop()) != NULL) {
        if (r->len == 0 || (r->len >= 3 && memcmp(r->text, "bad", 3) == 0)) {
            snprintf(r->answer, sizeof r->answer, "ERROR: invalid input\n");
        } else {
            if (r->len > 5 && r->len < 11 && memcmp(r->text, "spin ", 5) == 0) {
                char digits[8] = "";
                memcpy(digits, r->text + 5, r->len - 5);
                spin(strtol(digits, NULL, 10));
            }
            snprintf(r->answer, sizeof r->answer, "result: %zu\n", r->len);
        }
        post(r);
    }
    return NULL;
}

/* ---- clients ------------------------------------------------------------------------------------------ */

static void watch(struct client *c)
{
    bool room = c->waiting < MANY_REQUESTS && c->out_len < MANY_BYTES;
    uint32_t wants = (stopping || c->no_more || !room ? 0 : EPOLLIN) | (c->out_len > 0 ? EPOLLOUT : 0);
    if (c->fd < 0 || wants == c->wants)
        return;
    struct epoll_event e = {.events = wants, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, c->fd, &e) < 0)
        fatal("pool_server: epoll_ctl");
    c->wants = wants;
}

static void watch_listener(bool on)
{
    struct epoll_event e = {.events = on ? EPOLLIN : 0, .data.ptr = &listen_fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, listen_fd, &e) < 0)
        fatal("pool_server: epoll_ctl");
    accept_paused = !on;
}

static void hang_up(struct client *c)
{
    if (c->fd < 0)
        return;
    close(c->fd);
    c->fd = -1;
    if (accept_paused && listen_fd >= 0)
        watch_listener(true);
}

static void say(struct client *c, const char *text)
{
    size_t n = strlen(text);
    if (c->out_len + n > c->out_size) {
        c->out_size = 2 * (c->out_len + n);
        c->out = must(realloc(c->out, c->out_size));
    }
    memcpy(c->out + c->out_len, text, n);
    c->out_len += n;
}

/* Copies out the answers that are next in turn, writes what the socket takes, hangs up when all is said. */
static void flush(struct client *c)
{
    while (c->first != NULL && c->first->answered) {
        struct request *r = c->first;
        c->first = r->after;
        c->waiting--;
        if (c->fd >= 0)
            say(c, r->answer);
        free(r);
    }
    size_t sent = 0;
    while (c->fd >= 0 && sent < c->out_len) {
        ssize_t n = write(c->fd, c->out + sent, c->out_len - sent);
        if (n > 0)
            sent += (size_t)n;
        else if (errno == EAGAIN)
            break;
        else if (errno != EINTR)
            hang_up(c);
    }
    c->out_len -= sent;
    if (sent > 0)
        memmove(c->out, c->out + sent, c->out_len);
    if (c->no_more && c->first == NULL && c->out_len == 0)
        hang_up(c);
    watch(c);
}

static struct request *new_request(struct client *c, size_t len)
{
    struct request *r = must(calloc(1, sizeof *r + len));
    r->client = c;
    r->len = len;
    memcpy(r->text, c->line, len);
    if (c->first == NULL)
        c->first = r;
    else
        c->last->after = r;
    c->last = r;
    c->waiting++;
    return r;
}

static void receive_byte(struct client *c, char byte)
{
    if (byte == '\n') {
        size_t len = c->len > 0 && c->line[c->len - 1] == '\r' ? c->len - 1 : c->len;
        c->len = 0;
        push(new_request(c, len)); /* may sleep */
        return;
    }
    c->line[c->len++] = byte;
    /* A \r in place 1025 may still turn out to be the first half of \r\n. */
    if (c->len > LONGEST + 1 || (c->len == LONGEST + 1 && byte != '\r')) {
        struct request *r = new_request(c, 0);
        strcpy(r->answer, "ERROR: line too long\n");
        r->answered = true; /* never sees the queue, but keeps its place in the row */
        c->no_more = true;
    }
}

static void receive(struct client *c)
{
    char chunk[CHUNK];
    ssize_t n = read(c->fd, chunk, sizeof chunk);
    if (n > 0) {
        for (ssize_t i = 0; i < n && !c->no_more; i++)
            receive_byte(c, chunk[i]);
    } else if (n == 0) {
        c->no_more = true; /* the answers still go out */
    } else if (errno != EAGAIN && errno != EINTR) {
        hang_up(c);
    }
    flush(c);
}

static void accept_one(void)
{
    int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            watch_listener(false); /* until somebody hangs up, or half a second has passed */
        return;
    }
    struct client *c = must(calloc(1, sizeof *c));
    c->fd = fd;
    c->wants = EPOLLIN;
    struct epoll_event e = {.events = c->wants, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) < 0) {
        close(fd);
        free(c);
        return;
    }
    c->next = clients;
    if (clients != NULL)
        clients->prev = c;
    clients = c;
}

/* Frees whoever is gone and has nothing under way. Never in the middle of a batch of events. */
static void bury(void)
{
    for (struct client *c = clients, *next; c != NULL; c = next) {
        next = c->next;
        if (c->fd >= 0 || c->first != NULL)
            continue;
        if (c->prev != NULL)
            c->prev->next = next;
        else
            clients = next;
        if (next != NULL)
            next->prev = c->prev;
        free(c->out);
        free(c);
    }
}

static void collect(void)
{
    uint64_t count;
    if (read(done_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        fatal("pool_server: eventfd");
    pthread_mutex_lock(&done_lock);
    struct request *r = done_head;
    done_head = NULL;
    pthread_mutex_unlock(&done_lock);
    for (struct request *next; r != NULL; r = next) {
        next = r->next;
        struct client *c = r->client;
        r->answered = true;
        flush(c); /* frees r when its turn has come */
    }
}

/* ---- start, run, stop --------------------------------------------------------------------------------- */

static void add(int *fd)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, *fd, &e) < 0)
        fatal("pool_server: epoll_ctl");
}

static void run(void)
{
    for (;;) {
        struct epoll_event events[64];
        int n = epoll_wait(epoll_fd, events, 64, accept_paused ? 500 : -1);
        if (n < 0)
            fatal("pool_server: epoll_wait");
        if (n == 0 && accept_paused)
            watch_listener(true);
        for (int i = 0; i < n; i++) {
            void *who = events[i].data.ptr;
            if (who == &signal_fd) {
                return;
            } else if (who == &listen_fd) {
                accept_one();
            } else if (who == &done_fd) {
                collect();
            } else {
                struct client *c = who;
                if (c->fd >= 0 && (events[i].events & (EPOLLERR | EPOLLHUP)))
                    hang_up(c);
                else if (c->fd >= 0 && (events[i].events & EPOLLIN))
                    receive(c);
                else if (c->fd >= 0)
                    flush(c);
            }
        }
        bury();
    }
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Sends the last answers. Whoever does not read them within GRACE_MS has had his chance. */
static void say_goodbye(void)
{
    long until = now_ms() + GRACE_MS;
    stopping = true;
    do {
        for (struct client *c = clients; c != NULL; c = c->next) {
            int unsent = 0;
            flush(c);
            /* Closing a socket with unread input throws away what the kernel has not sent yet. */
            if (c->fd >= 0 && c->out_len == 0 && (ioctl(c->fd, SIOCOUTQNSD, &unsent) < 0 || unsent == 0))
                hang_up(c);
        }
        bury();
        struct epoll_event events[64];
        if (clients != NULL)
            epoll_wait(epoll_fd, events, 64, 10);
    } while (clients != NULL && now_ms() < until);
    for (struct client *c = clients; c != NULL; c = c->next)
        hang_up(c);
    bury();
}

static long argument(char **argv, int argc, int at, const char *name, long least, long most, long preset)
{
    if (at >= argc)
        return preset;
    char *end;
    errno = 0;
    long value = strtol(argv[at], &end, 10);
    if (argv[at][0] < '0' || argv[at][0] > '9' || *end != '\0' || errno != 0 || value < least || value > most) {
        fprintf(stderr, "pool_server: %s must be a number from %ld to %ld, not '%s'\n", name, least, most, argv[at]);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s%s\nusage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]\n",
                argc < 2 ? "PORT is missing" : "surplus argument: ", argc < 2 ? "" : argv[5]);
        return 2;
    }
    long port = argument(argv, argc, 1, "PORT", 1, 65535, 0);
    long workers = argument(argv, argc, 2, "WORKERS", 1, 64, 4);
    queue_capacity = (size_t)argument(argv, argc, 3, "CAPACITY", 1, 65536, 64);
    argument(argv, argc, 4, "TASK_TIMEOUT_MS (no time limits here)", 0, 0, 0);

    signal(SIGPIPE, SIG_IGN);
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);

    listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (listen_fd < 0)
        fatal("pool_server: socket");
    setsockopt(listen_fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listen_fd, (struct sockaddr *)&here, sizeof here) < 0 || listen(listen_fd, SOMAXCONN) < 0) {
        fprintf(stderr, "pool_server: PORT %ld: %s\n", port, strerror(errno));
        close(listen_fd);
        return 1;
    }
    signal_fd = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC);
    done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (signal_fd < 0 || done_fd < 0 || epoll_fd < 0)
        fatal("pool_server: descriptors");
    add(&listen_fd);
    add(&signal_fd);
    add(&done_fd);

    pthread_t threads[64];
    for (long i = 0; i < workers; i++)
        if ((errno = pthread_create(&threads[i], NULL, worker, NULL)) != 0)
            fatal("pool_server: pthread_create");

    run();

    /* Every request that was read is in the queue by now, or further: the workers finish them all first. */
    close(listen_fd);
    listen_fd = -1;
    close(signal_fd);
    close_queue();
    for (long i = 0; i < workers; i++)
        pthread_join(threads[i], NULL);
    collect();
    say_goodbye();

    close(done_fd);
    close(epoll_fd);
    pthread_cond_destroy(&queue_has_task);
    pthread_cond_destroy(&queue_has_room);
    pthread_mutex_destroy(&queue_lock);
    pthread_mutex_destroy(&done_lock);
    return 0;
}
