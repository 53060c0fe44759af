/*
 * Accepts every client, reads what it says, and never answers. The connection looks as healthy as any: only a deadline
 * tells that no answer will come.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void *listen_and_nod(void *argument)
{
    int client = (int)(intptr_t)argument;
    char ignored[1024];

    while (read(client, ignored, sizeof ignored) > 0)
        continue;
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
        if (client >= 0 && pthread_create(&thread, NULL, listen_and_nod, (void *)(intptr_t)client) == 0)
            pthread_detach(thread);
    }
}
