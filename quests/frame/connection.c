/* One client's buffers, lines and answers. Given. */
#include "connection.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection *connection_open(int fd)
{
    struct connection *connection = malloc(sizeof *connection);

    if (connection == NULL)
        return NULL;
    *connection = (struct connection){.fd = fd};
    connection->newest = &connection->oldest;
    return connection;
}

/* ---- in: from bytes to tasks ---- */

void connection_read(struct connection *connection)
{
    /* When all lines have been taken, at most LINE_LIMIT + 1 bytes are left at the front: there is always room. */
    ssize_t count = recv(connection->fd, connection->input + connection->input_length,
                         INPUT_SIZE - connection->input_length, 0);
    if (count > 0 && !connection->refused)
        connection->input_length += (size_t)count;
    else if (count == 0)
        connection->at_end = true; /* it may have shut only its sending side, and still wait for answers */
    else if (count < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        connection->broken = true;
    /* After a line that was too long: read, so that the client may finish sending, and dropped. */
}

static struct task *add_task(struct connection *connection, const char *text, size_t length)
{
    struct task *task = malloc(sizeof *task + length);

    if (task == NULL) {
        connection->broken = true;
        return NULL;
    }
    *task = (struct task){.length = length, .owner = connection};
    memcpy(task->text, text, length);
    *connection->newest = task;
    connection->newest = &task->next_of_owner;
    connection->owed++;
    return task;
}

/* No more requests from this client. The message takes its place behind the answers that are still owed. */
static void refuse(struct connection *connection)
{
    static const char message[] = "line too long";
    struct task *task = add_task(connection, "", 0);

    connection->refused = true;
    connection->input_start = connection->input_length = 0;
    if (task == NULL)
        return;
    task->failed = true;
    task->answer_length = strlen(message);
    memcpy(task->answer, message, task->answer_length);
    task->answered = true;
}

struct task *connection_next_task(struct connection *connection)
{
    const char *line = connection->input + connection->input_start;
    size_t left = connection->input_length - connection->input_start;
    const char *newline = memchr(line, '\n', left);
    size_t whole = newline != NULL ? (size_t)(newline - line) : left;
    size_t length = whole > 0 && line[whole - 1] == '\r' ? whole - 1 : whole;

    if (length > LINE_LIMIT) {
        refuse(connection);
        return NULL;
    }
    if (newline == NULL) { /* a part of a line: it moves to the front, and waits for its rest */
        memmove(connection->input, line, left);
        connection->input_start = 0;
        connection->input_length = left;
        return NULL;
    }
    connection->input_start += whole + 1;
    struct task *task = add_task(connection, line, length);
    if (task != NULL)
        connection->in_flight++;
    return task;
}

/* ---- out: from finished tasks to bytes ---- */

static void forget_oldest(struct connection *connection)
{
    struct task *task = connection->oldest;

    connection->oldest = task->next_of_owner;
    if (connection->oldest == NULL)
        connection->newest = &connection->oldest;
    connection->owed--;
    if (task->answered) /* otherwise the pool has it: it is freed when it comes back */
        free(task);
}

void connection_take_back(struct task *task)
{
    task->owner->in_flight--;
    if (task->owner->fd >= 0)
        task->answered = true;
    else
        free(task); /* the client has left, and whoever has its descriptor number now must not get this */
}

/* Sends what can be sent of one answer; true if all of it is out. */
static bool send_line(struct connection *connection)
{
    while (connection->line_sent < connection->line_length) {
        ssize_t count = send(connection->fd, connection->line + connection->line_sent,
                             connection->line_length - connection->line_sent,
                             MSG_NOSIGNAL); /* to a client that left: an error, not a SIGPIPE that ends us all */
        if (count >= 0) {
            connection->line_sent += (size_t)count;
        } else if (errno != EINTR) {
            connection->broken = errno != EAGAIN && errno != EWOULDBLOCK;
            return false;
        }
    }
    return true;
}

void connection_send(struct connection *connection)
{
    while (connection->oldest != NULL && connection->oldest->answered) { /* an answer waits for all earlier ones */
        if (connection->line_length == 0)
            connection->line_length = reply_line(connection->oldest, connection->line);
        if (!send_line(connection))
            return;
        connection->line_length = connection->line_sent = 0;
        forget_oldest(connection);
    }
    if (connection->owed == 0 && connection->refused && !connection->said_goodbye) {
        /* To close now, with unread input, would send a reset, and that may overtake the error message. */
        shutdown(connection->fd, SHUT_WR);
        connection->said_goodbye = true;
    }
}

/* ---- questions, and the end ---- */

bool connection_wants_input(const struct connection *connection)
{
    return !connection->at_end && (connection->refused || connection->owed < OWED_LIMIT);
}

bool connection_wants_output(const struct connection *connection)
{
    return connection->oldest != NULL && connection->oldest->answered;
}

bool connection_is_done(const struct connection *connection)
{
    return connection->broken || (connection->at_end && connection->owed == 0);
}

void connection_close(struct connection *connection)
{
    close(connection->fd); /* epoll forgets it too */
    connection->fd = -1;
    while (connection->oldest != NULL)
        forget_oldest(connection);
}
