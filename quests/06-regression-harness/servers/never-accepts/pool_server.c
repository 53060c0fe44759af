/*
 * Listens and never accepts. The kernel completes two connections for it; whoever comes later waits in connect(), for two
 * minutes or so: a deadline for reading alone is not enough.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int on = 1;
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    if (argc < 2 || atoi(argv[1]) < 1 || atoi(argv[1]) > 65535) {
        fprintf(stderr, "pool_server: PORT must be a number from 1 to 65535\n");
        return 2;
    }
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1) < 0) {
        perror("pool_server: PORT");
        return 1;
    }
    for (;;)
        pause();
}
