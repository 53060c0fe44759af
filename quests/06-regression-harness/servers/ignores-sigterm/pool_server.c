/*
 * Serves everybody, and is deaf to SIGTERM: the only way to end it is SIGKILL. One thread for each client, which is not
 * what quest 07 asks for; but a client cannot see that.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_LIMIT = 1024 };

static void say(FILE *to, const char *text, size_t length)
{
    uint32_t value = 2166136261u;

    if (length == 0 || (length >= 3 && memcmp(text, "bad", 3) == 0)) {
        fprintf(to, "ERROR: invalid input\n");
        return;
    }
    for (size_t i = 0; i < length; i++)
        value = (value ^ (unsigned char)text[i]) * 16777619u;
    fprintf(to, "result: %08x\n", (unsigned)value);
}

static void *serve(void *argument)
{
    int client = (int)(intptr_t)argument;
    FILE *from = fdopen(client, "r");
    FILE *to = fdopen(dup(client), "w");
    char line[LINE_LIMIT + 2];
    size_t length = 0;
    int byte;

    while (from != NULL && to != NULL && (byte = getc(from)) != EOF) {
        if (byte == '\n') {
            say(to, line, length > 0 && line[length - 1] == '\r' ? length - 1 : length);
            fflush(to);
            length = 0;
            continue;
        }
        line[length++] = (char)byte;
        if (length > LINE_LIMIT && (length > LINE_LIMIT + 1 || byte != '\r')) {
            fprintf(to, "ERROR: line too long\n");
            break;
        }
    }
    if (to != NULL)
        fclose(to);
    if (from != NULL)
        fclose(from);
    return NULL;
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"PORT", "WORKERS", "CAPACITY", "TASK_TIMEOUT_MS"};
    static const int most[] = {65535, 64, 65536, 0};
    struct sockaddr_in address = {.sin_family = AF_INET};
    const int on = 1;
    pthread_t thread;

    for (int i = 1; i < argc || i < 2; i++) {
        char *end = NULL;
        long value = i < argc && i < 5 ? strtol(argv[i], &end, 10) : 0;
        if (end == NULL || end == argv[i] || *end != '\0' || value < (i < 4) || value > most[i - 1]) {
            fprintf(stderr, "pool_server: bad %s\n", i < 5 ? names[i - 1] : "surplus argument");
            return 2;
        }
    }
    signal(SIGTERM, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_port = htons((uint16_t)atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, SOMAXCONN) < 0) {
        perror("pool_server: PORT");
        return 1;
    }
    for (;;) {
        int client = accept(listener, NULL, NULL);
        if (client >= 0 && pthread_create(&thread, NULL, serve, (void *)(intptr_t)client) == 0)
            pthread_detach(thread);
    }
}
