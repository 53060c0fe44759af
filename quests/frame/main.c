/* The beginning and the end of the program: arguments, listener, signals, and who is started and ended when. Given. */
#include "completions.h"
#include "event_loop.h"
#include "thread_pool.h"
#include "work.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static int listener = -1;
static int stop_fd = -1;

/*
 * The only thing that is safe here and wakes epoll_wait(). The eventfd keeps what was written, so it does not matter
 * whether the loop sleeps at this moment or is about to.
 */
static void on_stop_signal(int signal_number)
{
    const uint64_t one = 1;
    int saved = errno;

    (void)signal_number;
    if (write(stop_fd, &one, sizeof one) < 0) {
        /* the counter can only be full, and then the loop is awake anyway */
    }
    errno = saved;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool listen_on(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const int on = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Without SO_REUSEADDR the port stays taken for a minute after a server that had clients has ended. */
    return listener >= 0 && setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0
           && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, SOMAXCONN) == 0;
}

/* The workers inherit the signal mask, so the signals are blocked while they are started: the handler runs on main. */
static bool start_workers(struct thread_pool *pool, int workers, size_t capacity)
{
    struct sigaction action = {.sa_handler = on_stop_signal, .sa_flags = SA_RESTART};
    sigset_t stop_signals;

    sigemptyset(&stop_signals);
    sigaddset(&stop_signals, SIGTERM);
    sigaddset(&stop_signals, SIGINT);
    action.sa_mask = stop_signals;
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    pthread_sigmask(SIG_BLOCK, &stop_signals, NULL);
    bool started = thread_pool_start(pool, workers, capacity, work_run);
    int error = errno;
    pthread_sigmask(SIG_UNBLOCK, &stop_signals, NULL);
    errno = error;
    return started;
}

/* The life of the server, and its end step by step. Each step is safe because of the ones before it. */
static bool serve_until_stopped(struct event_loop *loop, struct thread_pool *pool)
{
    bool served = event_loop_run(loop); /* until SIGTERM */
    if (!served)
        perror("pool_server: epoll");
    close_fd(&listener);                /* nobody new */
    thread_pool_close(pool);            /* no new task: the workers finish what is queued, and go home */
    if (served)
        served = event_loop_drain(loop); /* meanwhile the answers go out, until the last one */
    thread_pool_join(pool);              /* nobody is left who could hold a lock or write an eventfd */
    return served;
}

static bool failed_to(const char *what)
{
    fprintf(stderr, "pool_server: cannot %s: %s\n", what, strerror(errno));
    return false;
}

/* What is made first is given back last. */
static bool serve(int workers, size_t capacity)
{
    struct event_loop loop;
    struct thread_pool pool;
    bool served;

    stop_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (stop_fd < 0)
        return failed_to("make an eventfd");
    if (!completions_open())
        return failed_to("open the mailbox");
    if (event_loop_open(&loop, listener, stop_fd, &pool)) {
        served = start_workers(&pool, workers, capacity) ? serve_until_stopped(&loop, &pool)
                                                         : failed_to("start the workers");
        event_loop_close(&loop);
    } else {
        served = failed_to("open the event loop");
    }
    completions_close();
    return served;
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
    if (argc < 2 || argc > 5) {
        fprintf(stderr, "pool_server: %s%s\nusage: pool_server PORT [WORKERS [CAPACITY [TASK_TIMEOUT_MS]]]\n",
                argc < 2 ? "PORT is missing" : "surplus argument ", argc < 2 ? "" : argv[5]);
        return 2;
    }
    int port = number("PORT", argv[1], 1, 65535);
    int workers = argc > 2 ? number("WORKERS", argv[2], 1, 64) : 4;
    int capacity = argc > 3 ? number("CAPACITY", argv[3], 1, 65536) : 64;
    if (argc > 4)
        number("TASK_TIMEOUT_MS", argv[4], 0, 0); /* tasks have no time limit here, and 0 says so */

    bool served = listen_on(port) ? serve(workers, (size_t)capacity) : failed_to("listen on PORT");
    close_fd(&listener);
    close_fd(&stop_fd);
    return served ? EXIT_SUCCESS : EXIT_FAILURE;
}
