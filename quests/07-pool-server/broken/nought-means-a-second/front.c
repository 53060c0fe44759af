/*
 * The front: the main thread with every socket, the signalfd and one timerfd for all deadlines.
 *
 * A connection is known by a number that is never used again, and answers are known by that number and the place of the
 * request in its connection. So a result that comes late, for a request that was given up or a client that has left,
 * finds nobody and is dropped.
 */
#define _GNU_SOURCE
#include "crew.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
    PENDING = 16,        /* answers that one connection may be owed */
    INPUT = 4096,        /* bytes read ahead */
    BUCKETS = 1024,
    LOOK_AGAIN_MS = 500, /* out of descriptors */
    LINGER_MS = 1000,    /* after a line that was too long */
    GRACE_MS = 600,      /* for the last answers */
};

/* What an epoll event is about: one of these, or the number of a connection. */
enum { LISTENER, BELL, SIGNALS, CLOCK, FIRST_CONNECTION };

struct answer {
    bool there;
    size_t length;
    char text[ANSWER_LIMIT + 1];
};

struct client {
    uint64_t number;
    struct client *next; /* in its bucket */
    int fd;
    uint32_t interest;
    bool in_line, said_all, too_long, hung_up;
    int64_t linger_end;
    uint64_t asked, answered;       /* requests so far; how many of them have been answered */
    struct answer answers[PENDING]; /* of the requests from `answered` to `asked` */
    size_t sent;                    /* of the first of them */
    size_t have;
    char input[INPUT];
};

static struct {
    int listener, epoll, signals, clock;
    struct crew crew;
    struct client *clients[BUCKETS];
    uint64_t next_number;
    uint64_t *line; /* connections with input that found no room, oldest first */
    size_t line_length, line_room;
    int open;
    size_t unfinished; /* jobs given and not back */
    size_t room;       /* in the tray, at least */
    int64_t limit;     /* of a job; 0: none */
    int64_t next_overdue, next_linger, look_again, leave_at, alarm; /* -1: never */
    bool stopping;
    unsigned long completed, errors;
} front = {.listener = -1, .epoll = -1, .signals = -1, .clock = -1, .next_number = FIRST_CONNECTION,
           .next_overdue = -1, .next_linger = -1, .look_again = -1, .leave_at = -1, .alarm = -1};

static bool watch(int operation, int fd, uint32_t events, uint64_t what)
{
    struct epoll_event event = {.events = events, .data.u64 = what};
    return epoll_ctl(front.epoll, operation, fd, &event) == 0;
}

static void sooner(int64_t *first, int64_t time)
{
    if (time >= 0 && (*first < 0 || time < *first))
        *first = time;
}

static struct client *find(uint64_t number)
{
    struct client *client = front.clients[number % BUCKETS];
    while (client != NULL && client->number != number)
        client = client->next;
    return client;
}

/* ---- newcomers ---- */

static void open_door(void)
{
    if (front.look_again >= 0 && !front.stopping && watch(EPOLL_CTL_MOD, front.listener, EPOLLIN, LISTENER))
        front.look_again = -1;
}

static void welcome(void)
{
    const int on = 1;

    for (;;) {
        int fd = accept4(front.listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0) {
            /* Without descriptors the listener would be reported for ever: look away for a while. */
            if (errno != EAGAIN && watch(EPOLL_CTL_MOD, front.listener, 0, LISTENER))
                front.look_again = now_ms() + LOOK_AGAIN_MS;
            return;
        }
        struct client *client = calloc(1, sizeof *client);
        if (client == NULL || !watch(EPOLL_CTL_ADD, fd, EPOLLIN, front.next_number)) {
            free(client);
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        client->number = front.next_number++;
        client->fd = fd;
        client->interest = EPOLLIN;
        client->next = front.clients[client->number % BUCKETS];
        front.clients[client->number % BUCKETS] = client;
        front.open++;
    }
}

static void part(struct client *client)
{
    struct client **link = &front.clients[client->number % BUCKETS];
    char rest[INPUT];

    /* Unread input would turn the close into a reset, and that may overtake the last answer. */
    if (shutdown(client->fd, SHUT_WR) == 0)
        for (int i = 0; i < 16 && recv(client->fd, rest, sizeof rest, 0) > 0; i++)
            continue;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    close(client->fd);
    free(client);
    front.open--;
    open_door();
}

/* ---- answers ---- */

/* The only place where a request gets its answer, and it gets one. */
static void answer(struct client *client, uint64_t sequence, const char *text)
{
    struct answer *answer = &client->answers[sequence % PENDING];

    if (sequence < client->answered || answer->there)
        return; /* given up long ago */
    answer->length = (size_t)snprintf(answer->text, sizeof answer->text, "%s\n", text);
    answer->there = true;
}

static void count(bool rejected)
{
    if (rejected)
        front.errors++;
    else
        front.completed++;
}

/* Whether this request still waits for its answer. */
static bool is_owed(const struct client *client, uint64_t sequence)
{
    return client != NULL && sequence >= client->answered && !client->answers[sequence % PENDING].there;
}

/* False: the client is gone. */
static bool send_answers(struct client *client)
{
    while (client->answered < client->asked && client->answers[client->answered % PENDING].there) {
        struct answer *first = &client->answers[client->answered % PENDING];
        ssize_t n = send(client->fd, first->text + client->sent, first->length - client->sent, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        client->sent += (size_t)n;
        if (client->sent == first->length) {
            client->sent = 0;
            first->there = false;
            client->answered++;
        }
    }
    return true;
}

/* ---- requests ---- */

static void answer_stats(struct client *client, uint64_t sequence)
{
    struct occupancy now = crew_occupancy(&front.crew);
    char text[ANSWER_LIMIT];

    snprintf(text, sizeof text, "STATS queue_depth=%zu active_workers=%d completed=%lu errors=%lu", now.waiting,
             now.at_work, front.completed, front.errors);
    answer(client, sequence, text);
}

/* Makes a request of the first line of the input. False: there is none, or it cannot be made now. */
static bool next_request(struct client *client, bool *no_room)
{
    char *newline = memchr(client->input, '\n', client->have);
    size_t whole = newline != NULL ? (size_t)(newline - client->input) : client->have;
    size_t length = whole > 0 && client->input[whole - 1] == '\r' ? whole - 1 : whole;

    if (client->too_long || client->asked - client->answered == PENDING)
        return false;
    if (length > TEXT_LIMIT) {
        client->too_long = true;
        client->have = 0;
        answer(client, client->asked++, "ERROR: line too long");
        return false;
    }
    if (newline == NULL)
        return false;
    if (length == 5 && memcmp(client->input, "STATS", 5) == 0) {
        answer_stats(client, client->asked++);
    } else {
        if (front.room == 0)
            front.room = crew_room(&front.crew);
        struct job *job = front.room > 0 ? malloc(sizeof *job) : NULL;
        if (job == NULL) {
            *no_room = true;
            return false;
        }
        job->ticket = (struct ticket){client->number, client->asked++};
        job->length = length;
        memcpy(job->text, client->input, length);
        front.room--;
        front.unfinished++;
        if (front.limit > 0 && front.next_overdue < 0)
            front.next_overdue = now_ms() + front.limit;
        crew_give(&front.crew, job);
    }
    client->have -= whole + 1;
    memmove(client->input, newline + 1, client->have);
    return true;
}

static void stand_in_line(struct client *client)
{
    if (client->in_line)
        return;
    if (front.line_length == front.line_room) {
        size_t room = front.line_room == 0 ? 64 : 2 * front.line_room;
        uint64_t *longer = realloc(front.line, room * sizeof *longer);
        if (longer == NULL)
            return; /* it will be heard again when something else happens to it */
        front.line = longer;
        front.line_room = room;
    }
    front.line[front.line_length++] = client->number;
    client->in_line = true;
}

/* Reads what fits. False: the client is gone. */
static bool listen_to(struct client *client)
{
    ssize_t n = recv(client->fd, client->input + client->have, INPUT - client->have, 0);

    if (n > 0 && !client->too_long)
        client->have += (size_t)n;
    else if (n == 0)
        client->said_all = true;
    return n >= 0 || errno == EAGAIN || errno == EINTR;
}

/* Everything that can be done for a client now; afterwards it may be gone. `its_turn`: it heads the line. */
static void serve(struct client *client, bool readable, bool its_turn)
{
    bool no_room = false, alive = true;

    if (readable && !client->too_long && (front.line_length == 0 || its_turn)) {
        if (front.room == 0)
            front.room = crew_room(&front.crew);
        no_room = front.room == 0; /* then it stays in the kernel */
        if (!no_room && client->have < INPUT && !front.stopping)
            alive = listen_to(client);
    } else if (readable && client->too_long) {
        alive = listen_to(client);
    } else if (readable) {
        no_room = true; /* others have waited for longer */
    }
    do {
        while (alive && !no_room && next_request(client, &no_room))
            continue;
        uint64_t before = client->answered;
        alive = alive && send_answers(client);
        if (client->answered == before)
            break;
    } while (alive && !no_room);
    if (no_room)
        stand_in_line(client);

    bool owes_nothing = client->answered == client->asked;
    bool line_left = !client->too_long && memchr(client->input, '\n', client->have) != NULL;
    if (!alive || (owes_nothing && !line_left && (client->said_all || front.stopping)))
        return part(client);
    if (owes_nothing && client->too_long && !client->hung_up) {
        shutdown(client->fd, SHUT_WR);
        client->hung_up = true;
        client->linger_end = now_ms() + LINGER_MS;
        sooner(&front.next_linger, client->linger_end);
    }
    uint32_t interest = 0;
    bool wants_more = !client->in_line && !line_left && client->asked - client->answered < PENDING;
    if (!client->said_all && !front.stopping && (client->too_long || wants_more))
        interest |= EPOLLIN;
    if (!owes_nothing && client->answers[client->answered % PENDING].there)
        interest |= EPOLLOUT;
    if (interest != client->interest && !watch(EPOLL_CTL_MOD, client->fd, interest, client->number))
        return part(client);
    client->interest = interest;
}

/* There may be room: those who wait for it get it in their order, until somebody finds none. */
static void serve_line(void)
{
    size_t served = 0, length = front.line_length;

    while (served < length && (front.room > 0 || (front.room = crew_room(&front.crew)) > 0)) {
        struct client *client = find(front.line[served++]);
        if (client == NULL)
            continue;
        client->in_line = false;
        serve(client, !client->said_all, true);
    }
    front.line_length -= served;
    memmove(front.line, front.line + served, front.line_length * sizeof *front.line);
}

/* ---- what comes back ---- */

static void collect(void)
{
    for (struct job *job = crew_results(&front.crew), *next; job != NULL; job = next) {
        struct client *client = find(job->ticket.connection);
        next = job->next;
        front.unfinished--;
        if (is_owed(client, job->ticket.sequence)) {
            count(job->rejected);
            answer(client, job->ticket.sequence, job->answer);
            serve(client, false, false);
        }
        free(job);
    }
    serve_line();
    if (front.stopping)
        front.leave_at = now_ms() + GRACE_MS;
}

static void give_up_overdue(void)
{
    struct ticket tickets[SEATS];
    int found = crew_overdue(&front.crew, front.limit, tickets, &front.next_overdue);

    for (int i = 0; i < found; i++) {
        struct client *client = find(tickets[i].connection);
        if (is_owed(client, tickets[i].sequence)) {
            count(true);
            answer(client, tickets[i].sequence, "ERROR: timeout");
            serve(client, false, false);
        }
    }
}

/* ---- time ---- */

static void end_lingering(int64_t now)
{
    front.next_linger = -1;
    for (int i = 0; i < BUCKETS; i++)
        for (struct client *client = front.clients[i], *after; client != NULL; client = after) {
            after = client->next;
            if (client->hung_up && client->linger_end <= now)
                part(client);
            else if (client->hung_up)
                sooner(&front.next_linger, client->linger_end);
        }
}

static void set_clock(void)
{
    int64_t now = now_ms(), first = -1;

    if (front.next_linger >= 0 && front.next_linger <= now)
        end_lingering(now);
    if (front.look_again >= 0 && front.look_again <= now)
        open_door();
    if (front.next_overdue >= 0 && front.next_overdue <= now)
        give_up_overdue();
    sooner(&first, front.next_linger);
    sooner(&first, front.look_again);
    sooner(&first, front.next_overdue);
    if (front.unfinished == 0)
        sooner(&first, front.leave_at);
    if (first == front.alarm)
        return;
    struct itimerspec at = {0};
    if (first >= 0) {
        at.it_value.tv_sec = first / 1000;
        at.it_value.tv_nsec = first % 1000 * 1000000 + 1;
    }
    timerfd_settime(front.clock, TFD_TIMER_ABSTIME, &at, NULL);
    front.alarm = first;
}

/* ---- start, loop, stop ---- */

static void begin_stopping(void)
{
    struct signalfd_siginfo ignored;

    while (read(front.signals, &ignored, sizeof ignored) > 0)
        continue;
    if (front.stopping)
        return;
    front.stopping = true;
    front.look_again = -1;
    close(front.listener);
    front.listener = -1;
    front.leave_at = now_ms() + GRACE_MS;
    for (int i = 0; i < BUCKETS; i++)
        for (struct client *client = front.clients[i], *next; client != NULL; client = next) {
            next = client->next;
            serve(client, false, false);
        }
}

static bool has_left(void)
{
    return front.stopping && front.unfinished == 0
           && (front.open == 0 || (front.line_length == 0 && now_ms() >= front.leave_at));
}

static bool run(void)
{
    struct epoll_event events[64];
    uint64_t expired;

    while (!has_left()) {
        int count = epoll_wait(front.epoll, events, 64, -1);
        if (count < 0 && errno != EINTR)
            return false;
        for (int i = 0; i < count; i++) {
            uint64_t what = events[i].data.u64;
            struct client *client;
            if (what == LISTENER && !front.stopping)
                welcome();
            else if (what == BELL)
                collect();
            else if (what == SIGNALS)
                begin_stopping();
            else if (what == CLOCK && read(front.clock, &expired, sizeof expired) > 0)
                front.alarm = -1;
            else if (what >= FIRST_CONNECTION && (client = find(what)) != NULL) {
                if (events[i].events & (EPOLLERR | EPOLLHUP))
                    part(client);
                else
                    serve(client, (events[i].events & client->interest & EPOLLIN) != 0, false);
            }
        }
        set_clock();
    }
    return true;
}

static bool open_listener(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    front.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return front.listener >= 0 && setsockopt(front.listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0
           && bind(front.listener, (struct sockaddr *)&address, sizeof address) == 0
           && listen(front.listener, SOMAXCONN) == 0;
}

static void close_all(void)
{
    int descriptors[] = {front.listener, front.epoll, front.signals, front.clock};

    for (int i = 0; i < BUCKETS; i++)
        while (front.clients[i] != NULL)
            part(front.clients[i]);
    for (size_t i = 0; i < sizeof descriptors / sizeof *descriptors; i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
    free(front.line);
}

static int serve_port(int port, int least, int most, size_t capacity)
{
    sigset_t stop;
    bool well = false;

    /* Blocked in every thread: the signals wait in the kernel until the signalfd is read. */
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop, NULL);
    if (open_listener(port) && (front.epoll = epoll_create1(EPOLL_CLOEXEC)) >= 0
        && (front.signals = signalfd(-1, &stop, SFD_NONBLOCK | SFD_CLOEXEC)) >= 0
        && (front.clock = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC)) >= 0
        && crew_start(&front.crew, least, most, capacity)) {
        front.room = capacity;
        well = watch(EPOLL_CTL_ADD, front.listener, EPOLLIN, LISTENER)
               && watch(EPOLL_CTL_ADD, front.crew.bell, EPOLLIN, BELL)
               && watch(EPOLL_CTL_ADD, front.signals, EPOLLIN, SIGNALS)
               && watch(EPOLL_CTL_ADD, front.clock, EPOLLIN, CLOCK) && run();
        crew_dismiss(&front.crew);
    }
    if (!well)
        fprintf(stderr, "pool_server: PORT %d: %s\n", port, strerror(errno));
    close_all();
    return well ? 0 : 1;
}

static bool read_number(const char **text, long least, long most, long *value)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *value = strtol(*text, &end, 10);
    *text = end;
    return errno == 0 && *value >= least && *value <= most;
}

static bool read_argument(const char *text, long least, long most, long *value)
{
    return read_number(&text, least, most, value) && *text == '\0';
}

static bool read_workers(const char *text, long *least, long *most)
{
    if (!read_number(&text, 1, SEATS, least))
        return false;
    *most = *least;
    if (*text == '-') {
        text++;
        if (!read_number(&text, *least, SEATS, most))
            return false;
    }
    return *text == '\0';
}

int main(int argc, char **argv)
{
    long port = 0, least = 4, most = 4, capacity = 64, limit = 0;
    const char *wrong = NULL;

    if (argc < 2 || argc > 5)
        wrong = argc < 2 ? "PORT is missing" : "there is an argument behind TASK_TIMEOUT_MS";
    else if (!read_argument(argv[1], 1, 65535, &port))
        wrong = "PORT must be 1 to 65535";
    else if (argc > 2 && !read_workers(argv[2], &least, &most))
        wrong = "WORKERS must be N or MIN-MAX, 1 to 64";
    else if (argc > 3 && !read_argument(argv[3], 1, 65536, &capacity))
        wrong = "CAPACITY must be 1 to 65536";
    else if (argc > 4 && !read_argument(argv[4], 0, 3600000, &limit))
        wrong = "TASK_TIMEOUT_MS must be 0 to 3600000";
    if (wrong != NULL) {
        fprintf(stderr, "pool_server: %s\n", wrong);
        return 2;
    }
    if (argc > 4 && limit == 0)
        limit = 1000;
    front.limit = limit;
    return serve_port((int)port, (int)least, (int)most, (size_t)capacity);
}
