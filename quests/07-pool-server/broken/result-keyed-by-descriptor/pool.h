// Everything that is shared between threads: the queue of jobs, and one outbox with its own eventfd per worker.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_MAX 1024

typedef struct job {
    struct job *next;
    int client_fd; // who asked: the answer goes there
    size_t size;
    char text[TEXT_MAX];
    char answer[96];
} job;

bool pool_open(int workers, size_t capacity); // starts the threads
int pool_eventfd(int worker);                 // readable: finished jobs, or room in the queue
bool pool_try_push(job *j);                   // false: full; the next worker to take a job writes its eventfd
job *pool_finished(int worker);               // a list, oldest first; clears the eventfd
void pool_close(void);                        // finishes what is queued, joins, destroys
