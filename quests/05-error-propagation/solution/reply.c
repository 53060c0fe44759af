#include "reply.h"

#include <string.h>

/* Everything comes from this one task: so the line cannot tell of another, and nothing is left over from the last. */
size_t reply_line(const struct task *task, char line[REPLY_SIZE])
{
    const char *kind = task->failed ? "ERROR: " : "result: ";
    size_t length = strlen(kind);

    memcpy(line, kind, length);
    memcpy(line + length, task->answer, task->answer_length);
    length += task->answer_length;
    line[length++] = '\n';
    return length;
}
