/*
 * Steps 3 and 4: main, the event loop, the sockets, the shutdown. Do steps 1 and 2 first.
 *
 * What stands here works, in its way: one thread talks to one client at a time, until that client leaves, and does not
 * do what anybody asks. Start it, connect twice, and see the second client wait:
 *
 *     make && ./pool_server 9090
 *     nc localhost 9090          in two other terminals
 *
 * The arguments and the listener are given. Everything that is to be replaced is marked.
 */
#include "thread_pool.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * Step 3: to be replaced by the event loop. Here read() sleeps until *this* client says something, and nobody looks
 * after the others meanwhile.
 */
static void serve_one_client(int fd)
{
    static const char answer[] = "ERROR: not implemented\n";
    char input[512];
    ssize_t count;

    while ((count = read(fd, input, sizeof input)) > 0)
        for (ssize_t i = 0; i < count; i++)
            if (input[i] == '\n')
                send(fd, answer, strlen(answer), MSG_NOSIGNAL); /* if the client has left: an error, not a signal */
    close(fd);
}

/*
 * Your work in step 3, one thing after the other; check after each:
 *
 *   a. A struct connection for each client: its descriptor, and what was read and is not a whole line yet. Every socket
 *      gets O_NONBLOCK. One epoll_wait() watches the listener and all clients: accept, read, cut out the lines, answer
 *      `ERROR: not implemented` as before, close at the end.                                                     (R7)
 *   b. Instead of the answer: a struct task with its owner, thread_pool_submit(). And finished_fd into the same epoll
 *      set: when it is readable, thread_pool_collect(), and send each answer to its owner. Both halves belong
 *      together; until the second stands, nobody is answered, and nothing passes.           (R1, R4, R5, R6, and R8)
 *   c. The client has left, and its task is still on the way: who frees what, and when? The client has only closed its
 *      sending side: who still waits? Two answers of one client are ready in the wrong order: which one is sent?
 *   d. send() took only a part, or nothing: keep the rest, and watch EPOLLOUT until it is out, no longer.
 *
 * Your work in step 4, the shutdown (R3): a handler for SIGTERM sets a flag and writes an eventfd of its own, so that
 * epoll_wait() returns. The kernel may run it on any thread, and a flag that a worker writes is a data race (R8): so
 * block SIGTERM with pthread_sigmask() in main before thread_pool_start(), and unblock it here. Threads inherit the
 * mask, so the workers never get it. Then, on the main thread: close the listener, read no more requests, thread_pool_close(), go on
 * until every task is back and answered, thread_pool_destroy(), close everything else, and return true.
 */
static bool serve(int listener, struct thread_pool *pool)
{
    (void)pool;
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        if (fd >= 0)
            serve_one_client(fd);
        else if (errno != EINTR && errno != ECONNABORTED)
            return false;
    }
}

/* ---- given: the listener ---- */

/* Without SO_REUSEADDR the port stays taken for a minute after a server that had clients has ended. */
static int listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0)
        return -1;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0
        || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, SOMAXCONN) < 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

/* ---- given: the arguments ---- */

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
    struct thread_pool pool;

    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s%s\nusage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]\n",
                argc < 2 ? "PORT is missing" : "surplus argument ", argc < 2 ? "" : argv[5]);
        return 2;
    }
    int port = number("PORT", argv[1], 1, 65535);
    int workers = argc > 2 ? number("WORKERS", argv[2], 1, 64) : 4;
    int capacity = argc > 3 ? number("CAPACITY", argv[3], 1, 65536) : 64;
    if (argc > 4)
        number("TASK_TIMEOUT_MS", argv[4], 0, 0); /* no time limit, unless you build bonus B3 */

    int listener = listen_on(port);
    if (listener < 0) {
        fprintf(stderr, "pool_server: cannot listen on PORT %d: %s\n", port, strerror(errno));
        return EXIT_FAILURE;
    }
    if (!thread_pool_start(&pool, workers, (size_t)capacity)) {
        perror("pool_server: cannot start the workers");
        close(listener);
        return EXIT_FAILURE;
    }
    bool finished = serve(listener, &pool); /* closes the listener */
    if (!finished)
        perror("pool_server");
    return finished ? EXIT_SUCCESS : EXIT_FAILURE;
}
