/*
 * Lesson 05, first part: what a worker does with a task. work.h says what is promised.
 *
 * As it stands, every task comes back without anything in it, and reply.c tells everybody `ERROR: not implemented`.
 */
#include "work.h"

#include "completions.h"

#include <stdio.h>
#include <string.h>

/*
 * Your work, perhaps as three functions:
 *
 *     static void compute(struct task *task)
 *         What:   judges the text. It is bad if it is empty or starts with `bad` (any three bytes b, a, d at its
 *                 beginning: `badge` is bad, too). Good input has a value: a hash of all `length` bytes, say, or
 *                 whatever you like that is not empty and depends on the text and on nothing else. Then one of the two
 *                 below.
 *         Never:  treats the text as a C string: zeros may be in it, and none is at its end.
 *                 Uses a static or global variable: four workers are in here at the same time.
 *                 Useful, but not required: `spin 2000` uses up 2000 ms of CPU time first.
 *
 *     static void succeed(struct task *task, ...)
 *         What:   failed = false; the value, as text, into task->answer; how many bytes that are into
 *                 task->answer_length.
 *
 *     static void fail(struct task *task, const char *message)
 *         What:   failed = true; the message into task->answer, and its length. The message of a bad text is `invalid
 *                 input`; what stands before it on the wire is reply.c's business.
 */

/*
 * What:   computes, and posts the task with completions_post(): exactly once, good or bad. The post is also what wakes
 *         the main thread, which sleeps and waits for nothing else.
 * Who:    every worker, for every task, several at the same time, with no lock held.
 * Never:  returns without having posted: a client waits for this very task, and so does the shutdown.
 *         Touches the task after the post: it may be freed by then. Looks at task->owner, or at a socket.
 */
void work_run(void *argument)
{
    struct task *task = argument;

    completions_post(task);
}
