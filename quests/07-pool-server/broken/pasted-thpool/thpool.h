/* A thread pool for any kind of job: thpool_init, thpool_add_work, thpool_destroy. */
#ifndef THPOOL_H
#define THPOOL_H

typedef struct thpool_ *threadpool;

/* Starts the threads; NULL if there is no memory or no thread for it, and errno says why. */
threadpool thpool_init(int num_threads);

/* Hands a job to the threads; -1 if there is no memory. */
int thpool_add_work(threadpool pool, void (*function)(void *), void *argument);

/* How many threads have a job in hand. */
int thpool_num_threads_working(threadpool pool);

/* Lets the threads finish the job in hand, and waits for them. */
void thpool_destroy(threadpool pool);

#endif
