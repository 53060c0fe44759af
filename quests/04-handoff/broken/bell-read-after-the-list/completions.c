#include "completions.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static struct {
    pthread_mutex_t lock; /* guards the list; held together with no other lock */
    struct task *first;
    struct task **last; /* where the next one is hooked in */
    int bell;           /* the eventfd: reads and writes of it are the kernel's business, and need no lock */
} mailbox = {.bell = -1};

bool completions_open(void)
{
    mailbox.bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mailbox.bell < 0)
        return false;
    mailbox.first = NULL;
    mailbox.last = &mailbox.first;
    pthread_mutex_init(&mailbox.lock, NULL);
    return true;
}

int completions_fd(void)
{
    return mailbox.bell;
}

/*
 * First the list, then the bell: whoever is woken finds what it was woken for. The write is a system call, so it is
 * made after the unlock: nobody should have to wait for the kernel just to hang a task into a list.
 */
void completions_post(struct task *task)
{
    const uint64_t one = 1;

    task->next_finished = NULL;
    pthread_mutex_lock(&mailbox.lock);
    *mailbox.last = task;
    mailbox.last = &task->next_finished;
    pthread_mutex_unlock(&mailbox.lock);
    while (write(mailbox.bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* First the list; what has been taken need not ring any more. */
struct task *completions_collect(void)
{
    uint64_t rings;

    pthread_mutex_lock(&mailbox.lock);
    struct task *tasks = mailbox.first;
    mailbox.first = NULL;
    mailbox.last = &mailbox.first;
    pthread_mutex_unlock(&mailbox.lock);
    while (read(mailbox.bell, &rings, sizeof rings) < 0 && errno == EINTR)
        continue;
    return tasks;
}

void completions_close(void)
{
    pthread_mutex_destroy(&mailbox.lock);
    close(mailbox.bell);
    mailbox.bell = -1;
}
