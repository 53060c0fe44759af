#include "reply.h"

#include <pthread.h>
#include <string.h>

extern const char *last_error; /* work.c */
extern pthread_mutex_t last_error_lock;

size_t reply_line(const struct task *task, char line[REPLY_SIZE])
{
    pthread_mutex_lock(&last_error_lock);
    const char *error = last_error;
    last_error = NULL; /* told now */
    pthread_mutex_unlock(&last_error_lock);

    const char *kind = error != NULL || task->failed ? "ERROR: " : "result: ";
    size_t length = strlen(kind);
    size_t answer_length = error != NULL ? strlen(error) : task->answer_length;

    memcpy(line, kind, length);
    memcpy(line + length, error != NULL ? error : task->answer, answer_length);
    length += answer_length;
    line[length++] = '\n';
    return length;
}
