/*
 * The way back: a mailbox for finished tasks, and an eventfd that rings when something was put into it.
 *
 * The mailbox is a list with a mutex. The eventfd is there because the event loop sleeps in epoll_wait(), which wakes
 * for descriptors and for nothing else: a condition variable could not wake it. There is one mailbox in the program.
 */
#ifndef COMPLETIONS_H
#define COMPLETIONS_H

#include "task.h"

/*
 * Makes the empty mailbox and its eventfd. False: it could not be done, errno says why, and nothing is left behind.
 * Who: the main thread, before the workers are started.
 */
bool completions_open(void);

/*
 * Puts a finished task into the mailbox and rings. From here on the task belongs to the event loop.
 * Who: the worker that has finished it, once for each task.
 */
void completions_post(struct task *task);

/*
 * Takes all tasks of the mailbox as one list, linked by next_finished; NULL if there are none. Never waits.
 * Who: the main thread, when the descriptor below is readable.
 */
struct task *completions_collect(void);

/* The eventfd: readable while there may be something in the mailbox. To be watched for EPOLLIN. */
int completions_fd(void);

/*
 * Gives everything back. What is still in the mailbox is the caller's loss: collect first.
 * Who: the main thread, when all workers have ended, because they write the eventfd.
 */
void completions_close(void);

#endif
