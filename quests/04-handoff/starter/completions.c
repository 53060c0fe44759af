/*
 * Lesson 04, first part: the mailbox. completions.h says what each function promises and who calls it.
 *
 * There is one mailbox in the program, so its parts can be static variables of this file: a mutex, a list of tasks
 * (linked by task->next_finished; the oldest first, which is easy if you keep a pointer to the place where the next one
 * is hooked in), and the descriptor of an eventfd, the bell.
 *
 * As it stands, the program says that it cannot open the mailbox, and ends with exit status 1. The (void) lines only
 * keep the compiler quiet about what is not used yet; they go as you fill the functions.
 */
#include "completions.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

/*
 * What:   the eventfd (EFD_NONBLOCK, so that a read of it never waits), the empty list, the lock.
 * Who:    the main thread, before the first worker is started.
 * Never:  leaves something open when it returns false.
 */
bool completions_open(void)
{
    errno = ENOSYS; /* Function not implemented */
    return false;
}

/* What: the descriptor of the bell, for the event loop to watch. */
int completions_fd(void)
{
    return -1;
}

/*
 * What:   hangs the task into the list, with the lock, and writes the 8-byte number 1 to the bell. Which of the two
 *         comes first? Think of a main thread that wakes at once.
 * Who:    any worker, several at the same time.
 * Never:  touches a socket, or looks into the task's connection: to a worker, task->owner is a name and nothing else.
 *         Skips the bell because the list is not empty, unless you can prove that somebody will come and look.
 */
void completions_post(struct task *task)
{
    (void)task;
}

/*
 * What:   resets the bell (one read of 8 bytes does that, however often it was rung), and takes the whole list. Which
 *         of the two comes first? Think of a worker that posts exactly in between, for both orders.
 * Who:    the main thread, when epoll says that the bell is readable.
 * Never:  waits. Takes only a part of the list. Looks at the list without the lock, not even whether it is empty.
 */
struct task *completions_collect(void)
{
    return NULL;
}

/* What: gives back all that open has made. Who: the main thread, when no worker is left. */
void completions_close(void)
{
}
