/*
 * Answers every client with one line that never ends: ten bytes a second, and no newline. A deadline that begins anew with
 * each byte never comes; one for the whole answer does.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static void *talk(void *argument)
{
    int client = (int)(intptr_t)argument;
    const struct timespec breath = {.tv_nsec = 100 * 1000 * 1000};
    char first;

    if (read(client, &first, 1) == 1 && send(client, "result: ", 8, MSG_NOSIGNAL) == 8)
        while (send(client, "0", 1, MSG_NOSIGNAL) == 1)
            nanosleep(&breath, NULL);
    close(client);
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    pthread_t thread;

    if (argc < 2 || atoi(argv[1]) < 1 || atoi(argv[1]) > 65535) {
        fprintf(stderr, "pool_server: PORT must be a number from 1 to 65535\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, SOMAXCONN) < 0) {
        perror("pool_server: PORT");
        return 1;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client >= 0 && pthread_create(&thread, NULL, talk, (void *)(intptr_t)client) == 0)
            pthread_detach(thread);
    }
}
