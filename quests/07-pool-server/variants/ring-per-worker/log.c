#include "log.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 256 };

/* Guards no data, only the turn to write. It is taken alone, never while another lock is held. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

void tell(const char *format, ...)
{
    char line[LINE];
    struct timespec now;
    va_list rest;

    clock_gettime(CLOCK_MONOTONIC, &now);
    int length = snprintf(line, LINE, "%7lld.%06ld ", (long long)now.tv_sec, now.tv_nsec / 1000);
    va_start(rest, format);
    length += vsnprintf(line + length, LINE - (size_t)length, format, rest);
    va_end(rest);
    if (length > LINE - 1)
        length = LINE - 1; /* cut off */
    line[length++] = '\n'; /* in place of the zero */

    pthread_mutex_lock(&turn);
    ssize_t written = write(STDERR_FILENO, line, (size_t)length);
    pthread_mutex_unlock(&turn);
    (void)written; /* if nobody listens, there is nobody to tell that either */
}

void end_of_log(void)
{
    pthread_mutex_destroy(&turn);
}
