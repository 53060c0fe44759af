/*
 * Given in lesson 01: a program around your task_queue.c, so that the queue can be tried and checked. Every connection
 * gets a thread of its own; each line that comes in is one call of your queue, made by that thread, and the answer goes
 * out when the call has returned:
 *
 *     push N       true or false          N is a number from 1 to 1000000000
 *     try_push N   true or false
 *     pop          N or NULL
 *     close        closed
 *     length       a number
 *     other        result: no operation
 *
 * So a push that waits is a client without an answer, and the other clients go on. (This is a way to try a queue, and
 * not how a server is built: the later lessons do without a thread for each client.)
 *
 * There is not one lock in this file, on purpose. The threads share the queue and nothing else, so whatever Helgrind
 * finds is about task_queue.c.
 */
#define _GNU_SOURCE /* accept4 */
#include "task_queue.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    LINE_LIMIT = 1024,   /* longest line, without its end */
    ANSWER_SIZE = 32,
    LARGEST_TASK = 1000000000,
    SEND_PATIENCE_S = 2, /* who does not read for so long is dropped: nobody can hold up the exit */
};

/* One connection. Written by main before its thread starts, then by nobody; `thread` and `next` are main's alone. */
struct client {
    int fd;
    struct task_queue *queue;
    pthread_t thread;
    struct client *next;
};

/* ---- a client's thread ---- */

/* The task of a line such as `push 12`; NULL if the line is not this command with a number. */
static void *task_of(const char *line, const char *command)
{
    size_t length = strlen(command);
    char *end;

    if (strncmp(line, command, length) != 0 || line[length] < '0' || line[length] > '9')
        return NULL;
    unsigned long long number = strtoull(line + length, &end, 10);
    return *end == '\0' && number <= LARGEST_TASK ? (void *)(uintptr_t)number : NULL;
}

/* Does what a line says, and writes the answer. That takes as long as the queue lets it wait. */
static void operate(struct task_queue *queue, const char *line, char answer[ANSWER_SIZE])
{
    void *task;

    if ((task = task_of(line, "push ")) != NULL) {
        strcpy(answer, task_queue_push(queue, task) ? "true\n" : "false\n");
    } else if ((task = task_of(line, "try_push ")) != NULL) {
        strcpy(answer, task_queue_try_push(queue, task) ? "true\n" : "false\n");
    } else if (strcmp(line, "pop") == 0) {
        task = task_queue_pop(queue);
        if (task == NULL)
            strcpy(answer, "NULL\n");
        else
            snprintf(answer, ANSWER_SIZE, "%" PRIuPTR "\n", (uintptr_t)task);
    } else if (strcmp(line, "close") == 0) {
        task_queue_close(queue);
        strcpy(answer, "closed\n");
    } else if (strcmp(line, "length") == 0) {
        snprintf(answer, ANSWER_SIZE, "%zu\n", task_queue_length(queue));
    } else {
        strcpy(answer, "result: no operation\n");
    }
}

/* To a client that has left: an error, not a SIGPIPE that ends us all. */
static bool send_line(int fd, const char *line)
{
    return send(fd, line, strlen(line), MSG_NOSIGNAL) == (ssize_t)strlen(line);
}

/* Runs the whole lines of the input in their order, and moves the rest to the front. False: the client has left. */
static bool run_lines(const struct client *client, char *input, size_t *length)
{
    char answer[ANSWER_SIZE], *newline, *line = input;

    while ((newline = memchr(line, '\n', (size_t)(input + *length - line))) != NULL) {
        char *end = newline > line && newline[-1] == '\r' ? newline - 1 : newline;
        *end = '\0';
        operate(client->queue, line + strlen(line) == end ? line : "", answer); /* with a zero in it: no command */
        if (!send_line(client->fd, answer))
            return false;
        line = newline + 1;
    }
    *length -= (size_t)(line - input);
    memmove(input, line, *length);
    return true;
}

static void *serve(void *argument)
{
    const struct client *client = argument;
    char input[LINE_LIMIT + 2]; /* and \r\n */
    size_t length = 0;
    ssize_t count;

    while ((count = recv(client->fd, input + length, sizeof input - length, 0)) > 0) {
        length += (size_t)count;
        if (!run_lines(client, input, &length))
            break;
        if (length == sizeof input) {
            send_line(client->fd, "ERROR: line too long\n");
            break;
        }
    }
    /* The client sees the end now. To close is for main: it may still shut this descriptor down, and a number that
     * was given back could be somebody else's by then. */
    shutdown(client->fd, SHUT_RDWR);
    return NULL;
}

/* ---- main: accept until SIGTERM comes, then send everybody home ---- */

/* A thread for the one who has come; `*last` is where the next one is hooked in. False: no more can be accepted. */
static bool accept_client(int listener, struct task_queue *queue, struct client ***last)
{
    const struct timeval patience = {.tv_sec = SEND_PATIENCE_S};
    const int on = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    if (fd < 0)
        return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* answers are small and go out one by one */
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    struct client *client = malloc(sizeof *client);
    if (client != NULL) {
        *client = (struct client){.fd = fd, .queue = queue};
        if (pthread_create(&client->thread, NULL, serve, client) == 0) {
            **last = client;
            *last = &client->next;
            return true;
        }
    }
    free(client);
    close(fd);
    return true;
}

static bool watch(int epoll, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Main sleeps here until somebody connects or a signal comes. True: the signal. */
static bool accept_until_signal(int epoll, int listener, int signals, struct task_queue *queue, struct client **clients)
{
    struct client **last = clients;
    struct epoll_event event;

    if (!watch(epoll, signals) || !watch(epoll, listener))
        return false;
    for (;;) {
        int count = epoll_wait(epoll, &event, 1, -1);
        if (count > 0 && event.data.fd == signals)
            return true;
        if (count > 0 ? !accept_client(listener, queue, &last) : errno != EINTR)
            return false;
    }
}

/*
 * First the queue, so that whoever waits in it comes out; then the reading sides, so that each thread finds the end of
 * its input once its last answer is sent; then join. Only after that it is certain that nobody is in the queue.
 */
static void send_home(struct task_queue *queue, struct client *clients)
{
    struct client *next;

    task_queue_close(queue);
    for (struct client *client = clients; client != NULL; client = client->next)
        shutdown(client->fd, SHUT_RD);
    for (struct client *client = clients; client != NULL; client = next) {
        next = client->next;
        pthread_join(client->thread, NULL);
        close(client->fd);
        free(client);
    }
}

/* ---- start ---- */

static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    /* Without SO_REUSEADDR the port stays taken for a minute after a program that had clients has ended. */
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0
        || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0) {
        fprintf(stderr, "pool_server: cannot listen on PORT %d: %s\n", port, strerror(errno));
        exit(EXIT_FAILURE);
    }
    return fd;
}

/* From here on the two signals are blocked, in every thread, and come through a descriptor instead. */
static int take_signals(void)
{
    sigset_t stop_signals;

    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL);
    return signalfd(-1, &stop_signals, SFD_NONBLOCK | SFD_CLOEXEC);
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
    struct task_queue queue;
    struct client *clients = NULL;

    if (argc < 2 || argc > 4) {
        fprintf(stderr, "pool_server: %s%s\nusage: pool_server PORT [WORKERS [CAPACITY]]\n",
                argc < 2 ? "PORT is missing" : "surplus argument ", argc < 2 ? "" : argv[4]);
        return 2;
    }
    int port = number("PORT", argv[1], 1, 65535);
    if (argc > 2)
        number("WORKERS", argv[2], 1, 64); /* there are none here: every lesson is started with the same arguments */
    int capacity = argc > 3 ? number("CAPACITY", argv[3], 1, 65536) : 64;

    int signals = take_signals();
    int listener = listen_on(port);
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!task_queue_init(&queue, (size_t)capacity)) {
        fprintf(stderr, "pool_server: no memory for CAPACITY %d\n", capacity);
        return EXIT_FAILURE;
    }
    bool stopped = accept_until_signal(epoll, listener, signals, &queue, &clients);
    if (!stopped)
        perror("pool_server: cannot accept");
    close(listener);
    send_home(&queue, clients);
    task_queue_destroy(&queue);
    close(epoll);
    close(signals);
    return stopped ? EXIT_SUCCESS : EXIT_FAILURE;
}
