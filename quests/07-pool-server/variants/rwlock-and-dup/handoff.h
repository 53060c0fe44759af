/* What the event loop and the workers share.
 *
 *   object     lock               order        holds
 *   queue      pthread_mutex_t    1            tasks that wait
 *   ledger     pthread_mutex_t    2            how many tasks wait, run and are finished
 *   results    pthread_mutex_t    3            finished tasks, for the event loop; eventfd
 *   registry   pthread_rwlock_t   alone        names of the clients, for the log
 *
 * Who holds a lock takes only locks with a higher number. Nothing else is locked inside the registry's.
 */
#ifndef HANDOFF_H
#define HANDOFF_H

#include <stdbool.h>
#include <stddef.h>

struct client; /* for workers: an opaque pointer that they carry back */

struct task {
    struct task *next;
    struct client *client;
    int client_row;  /* in the registry */
    unsigned number; /* the client's first request is 0 */
    size_t length;
    char answer[64];
    char text[1024];
};

void handoff_init(size_t capacity);
void handoff_destroy(void);

bool queue_offer(struct task *t);     /* event loop; false: full, results_fd() will tell when that has changed */
struct task *queue_take(bool *tell);  /* workers; NULL: closed and empty */
void queue_close(void);

void results_put(struct task *t);     /* workers */
void results_ring(void);              /* workers */
struct task *results_get(void);       /* event loop: all of them, oldest first */
int results_fd(void);

int registry_add(const char *name);   /* event loop */
void registry_remove(int row);        /* event loop */
void registry_name(int row, char name[32]); /* workers */

void journal(const char *format, ...) __attribute__((format(printf, 1, 2))); /* anyone */
void journal_totals(void);

void workers_start(long count);
void workers_join(void);

#endif
