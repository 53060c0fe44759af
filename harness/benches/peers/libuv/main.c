/*
 * libuv: one loop, and uv_queue_work() for each request. What a client is owed stands in a list in the order of its
 * requests; answers that can leave are sent once per turn of the loop, in its check phase.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { ROUNDS = 64, LINE_LIMIT = 1024, ANSWER_SIZE = 32, READ_SIZE = 65536 };

struct request {
    uv_work_t work; /* first: a pointer to it is a pointer to the request */
    struct client *client;
    struct request *next; /* in the client's list */
    bool done;
    size_t answer_length;
    char answer[ANSWER_SIZE];
    size_t length;
    char line[];
};

struct client {
    uv_tcp_t stream; /* first, as above */
    struct request *oldest, **newest;
    struct client *next_touched;
    bool touched, closing;
    int in_flight;
    size_t input_length;
    char input[LINE_LIMIT + 2]; /* a line that has not come to its end */
};

struct output {
    uv_write_t write;
    char bytes[];
};

static struct client *touched;
static char read_buffer[READ_SIZE];

static void compute(uv_work_t *work)
{
    struct request *request = (struct request *)work;
    uint64_t hash = 0xcbf29ce484222325;

    if (request->length == 0 || strncmp(request->line, "bad", 3) == 0) {
        request->answer_length = (size_t)sprintf(request->answer, "ERROR: invalid input\n");
        return;
    }
    for (int round = 0; round < ROUNDS; round++)
        for (size_t i = 0; i < request->length; i++)
            hash = (hash ^ (unsigned char)request->line[i]) * 0x100000001b3;
    request->answer_length = (size_t)sprintf(request->answer, "result: %016llx\n", (unsigned long long)hash);
}

static void free_client(uv_handle_t *handle)
{
    struct client *client = (struct client *)handle;
    struct request *next;

    for (struct request *request = client->oldest; request != NULL; request = next) {
        next = request->next;
        free(request);
    }
    free(client);
}

static void touch(struct client *client)
{
    if (client->touched)
        return;
    client->touched = true;
    client->next_touched = touched;
    touched = client;
}

static void computed(uv_work_t *work, int status)
{
    struct request *request = (struct request *)work;

    (void)status;
    request->done = true;
    request->client->in_flight--;
    touch(request->client);
}

static void written(uv_write_t *write, int status)
{
    (void)status;
    free(write);
}

static void send_all(struct client *client, char *bytes, size_t length)
{
    uv_buf_t buffer = uv_buf_init(bytes, (unsigned)length);
    int tried = uv_try_write((uv_stream_t *)client, &buffer, 1);
    size_t sent = tried > 0 ? (size_t)tried : 0;
    struct output *output;

    if (sent == length)
        return;
    if ((output = malloc(sizeof *output + length - sent)) == NULL)
        abort();
    memcpy(output->bytes, bytes + sent, length - sent);
    buffer = uv_buf_init(output->bytes, (unsigned)(length - sent));
    if (uv_write(&output->write, (uv_stream_t *)client, &buffer, 1, written) < 0)
        free(output);
}

/* Sends all answers at the head of the list, with one call if there are not very many and the socket has room. */
static void flush(struct client *client)
{
    char bytes[READ_SIZE];
    size_t length = 0;
    struct request *request;

    while ((request = client->oldest) != NULL && request->done) {
        memcpy(bytes + length, request->answer, request->answer_length);
        length += request->answer_length;
        client->oldest = request->next;
        if (client->oldest == NULL)
            client->newest = &client->oldest;
        free(request);
        if (length + ANSWER_SIZE > sizeof bytes) {
            send_all(client, bytes, length);
            length = 0;
        }
    }
    if (length > 0)
        send_all(client, bytes, length);
}

static void flush_touched(uv_check_t *check)
{
    struct client *client = touched;

    (void)check;
    touched = NULL;
    while (client != NULL) {
        struct client *next = client->next_touched;
        client->touched = false;
        if (!client->closing)
            flush(client);
        else if (client->in_flight == 0 && !uv_is_closing((uv_handle_t *)client))
            uv_close((uv_handle_t *)client, free_client);
        client = next;
    }
}

static void hand_over(struct client *client, const char *line, size_t length)
{
    struct request *request = malloc(sizeof *request + length + 1);

    if (request == NULL)
        abort();
    if (length > 0 && line[length - 1] == '\r')
        length--;
    memcpy(request->line, line, length);
    request->line[length] = '\0';
    request->length = length;
    request->client = client;
    request->next = NULL;
    request->done = false;
    *client->newest = request;
    client->newest = &request->next;
    client->in_flight++;
    uv_queue_work(client->stream.loop, &request->work, compute, computed);
}

static void allocate(uv_handle_t *handle, size_t size, uv_buf_t *buffer)
{
    (void)handle;
    (void)size;
    *buffer = uv_buf_init(read_buffer, sizeof read_buffer);
}

static void end(struct client *client)
{
    uv_read_stop((uv_stream_t *)client);
    client->closing = true;
    touch(client);
}

static void received(uv_stream_t *stream, ssize_t count, const uv_buf_t *buffer)
{
    struct client *client = (struct client *)stream;
    const char *at = buffer->base, *stop = buffer->base + count, *newline;

    if (count < 0) {
        end(client);
        return;
    }
    while ((newline = memchr(at, '\n', (size_t)(stop - at))) != NULL) {
        size_t length = (size_t)(newline - at);
        if (client->input_length == 0)
            hand_over(client, at, length);
        else if (client->input_length + length <= sizeof client->input) {
            memcpy(client->input + client->input_length, at, length);
            hand_over(client, client->input, client->input_length + length);
            client->input_length = 0;
        } else {
            end(client);
            return;
        }
        at = newline + 1;
    }
    if (client->input_length + (size_t)(stop - at) > sizeof client->input) {
        end(client);
        return;
    }
    memcpy(client->input + client->input_length, at, (size_t)(stop - at));
    client->input_length += (size_t)(stop - at);
}

static void arrived(uv_stream_t *listener, int status)
{
    struct client *client;

    if (status < 0 || (client = calloc(1, sizeof *client)) == NULL)
        return;
    client->newest = &client->oldest;
    uv_tcp_init(listener->loop, &client->stream);
    if (uv_accept(listener, (uv_stream_t *)client) < 0) {
        uv_close((uv_handle_t *)client, free_client);
        return;
    }
    uv_tcp_nodelay(&client->stream, 1);
    uv_read_start((uv_stream_t *)client, allocate, received);
}

int main(int count, char **arguments)
{
    uv_loop_t *loop = uv_default_loop();
    uv_tcp_t listener;
    uv_check_t check;
    struct sockaddr_in address;

    if (count != 3) {
        fprintf(stderr, "usage: PORT WORKERS\n");
        return 2;
    }
    uv_os_setenv("UV_THREADPOOL_SIZE", arguments[2]);
    uv_ip4_addr("127.0.0.1", atoi(arguments[1]), &address);
    uv_tcp_init(loop, &listener);
    uv_check_init(loop, &check);
    uv_check_start(&check, flush_touched);
    if (uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0) < 0
        || uv_listen((uv_stream_t *)&listener, 4096, arrived) < 0) {
        fprintf(stderr, "cannot listen on port %s\n", arguments[1]);
        return 1;
    }
    return uv_run(loop, UV_RUN_DEFAULT);
}
