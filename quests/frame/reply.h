/*
 * What the client gets to read: the line that tells of a finished task.
 */
#ifndef REPLY_H
#define REPLY_H

#include "task.h"

enum { REPLY_SIZE = ANSWER_SIZE + 16 }; /* the longest answer, what stands before it, and the newline */

/*
 * Writes `result: ANSWER` or, for a task that failed, `ERROR: ANSWER`, each with a newline, and returns how many bytes
 * that are. No zero byte is added: the line is sent by its length.
 * Who: the main thread, when the answer is about to be sent.
 */
size_t reply_line(const struct task *task, char line[REPLY_SIZE]);

#endif
