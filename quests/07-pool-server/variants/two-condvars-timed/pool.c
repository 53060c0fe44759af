#include "pool.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

struct task {
    struct task *next;
    struct session *session; /* one of its users */
    unsigned long turn;
    size_t length;
    char text[TEXT_MAX + 1]; /* with a zero behind it */
};

/* A monitor with two conditions: work for the workers, room for who pushes. */
static struct {
    struct guard guard;
    pthread_cond_t work, room;
    struct task *first, **last;
    size_t length, capacity;
    bool closed;
} queue;

static struct {
    struct guard guard;
    struct session *first, **last;
    size_t unfinished; /* tasks that were pushed and have not become news */
} news;

static struct guard census; /* for the users of all sessions */

static pthread_t *workers;
static int worker_count, bell;

static void *must(void *memory)
{
    if (memory == NULL)
        abort();
    return memory;
}

/* ---- sessions ---- */

void session_open(struct session *session)
{
    memset(session, 0, sizeof *session);
    guard_open(&session->guard, NESTED);
    session->users = 1;
}

static void session_use(struct session *session)
{
    enter(&census);
    session->users++;
    leave(&census);
}

/* The count cannot live under the session's own guard: nobody may unlock what somebody else is destroying. */
void session_let_go(struct session *session)
{
    enter(&census);
    bool last = --session->users == 0;
    leave(&census);
    if (!last)
        return;
    guard_close(&session->guard);
    free(session);
}

size_t session_owes(struct session *session)
{
    enter(&session->guard);
    size_t owes = session->asked - session->answered;
    leave(&session->guard);
    return owes;
}

static void put_answer(struct session *session, unsigned long turn, const char *text)
{
    enter(&session->guard);
    struct answer *place = &session->places[turn % PLACES];
    place->length = strlen(text);
    memcpy(place->text, text, place->length);
    place->there = true;
    leave(&session->guard);
}

static unsigned long next_turn(struct session *session)
{
    enter(&session->guard);
    unsigned long turn = session->asked++;
    session->places[turn % PLACES].there = false;
    leave(&session->guard);
    return turn;
}

void session_answer_at_once(struct session *session, const char *text)
{
    enter(&session->guard); /* so that nobody sees the request without its answer; both functions enter again */
    put_answer(session, next_turn(session), text);
    leave(&session->guard);
}

size_t session_answers(struct session *session, char *buffer, size_t size)
{
    size_t used = 0;
    enter(&session->guard);
    while (session->answered < session->asked) {
        const struct answer *place = &session->places[session->answered % PLACES];
        if (!place->there || used + place->length > size)
            break;
        memcpy(buffer + used, place->text, place->length);
        used += place->length;
        session->answered++;
    }
    leave(&session->guard);
    return used;
}

/* ---- the queue ---- */

/* Something about the queue has changed: everybody who sleeps shall look whether it concerns him. That wakes too many,
 * and never one too few. */
static void everybody_look(void)
{
    pthread_cond_broadcast(&queue.work);
    pthread_cond_broadcast(&queue.room);
}

void pool_push(struct session *session, const char *text, size_t length)
{
    struct task *task = must(malloc(sizeof *task));

    session_use(session);
    task->session = session;
    task->turn = next_turn(session);
    task->length = length;
    memcpy(task->text, text, length);
    task->text[length] = '\0';
    task->next = NULL;

    enter(&news.guard);
    news.unfinished++;
    leave(&news.guard);

    enter(&queue.guard);
    while (queue.length == queue.capacity)
        sleep_a_while(&queue.guard, &queue.room);
    *queue.last = task;
    queue.last = &task->next;
    queue.length++;
    everybody_look();
    leave(&queue.guard);
}

/* NULL: closed, and nothing is left. */
static struct task *pop(void)
{
    enter(&queue.guard);
    while (queue.first == NULL && !queue.closed)
        sleep_a_while(&queue.guard, &queue.work);
    struct task *task = queue.first;
    if (task != NULL) {
        queue.first = task->next;
        if (queue.first == NULL)
            queue.last = &queue.first;
        queue.length--;
        everybody_look();
    }
    leave(&queue.guard);
    return task;
}

/* ---- news ---- */

/* The caller's use of the session goes over to the list, unless the list has it already. */
static void announce(struct session *session)
{
    const uint64_t one = 1;

    enter(&news.guard);
    bool listed = session->has_news;
    if (!listed) {
        session->has_news = true;
        session->next_news = NULL;
        *news.last = session;
        news.last = &session->next_news;
    }
    news.unfinished--;
    leave(&news.guard);
    while (write(bell, &one, sizeof one) < 0 && errno == EINTR)
        continue;
    if (listed)
        session_let_go(session);
}

struct session *pool_news(void)
{
    enter(&news.guard);
    struct session *session = news.first;
    if (session != NULL) {
        news.first = session->next_news;
        if (news.first == NULL)
            news.last = &news.first;
        session->has_news = false; /* from here on it may be listed again */
    }
    leave(&news.guard);
    return session;
}

bool pool_is_quiet(void)
{
    enter(&news.guard);
    bool quiet = news.unfinished == 0 && news.first == NULL;
    leave(&news.guard);
    return quiet;
}

int pool_bell(void)
{
    return bell;
}

/* ---- workers ---- */

/* The VALUE is what strlen() says: for a text with a zero in it, the length of what is before the zero. */
static void compute(const char *text, size_t length, char answer[ANSWER_MAX])
{
    if (length == 0 || strncmp(text, "bad", 3) == 0)
        strcpy(answer, "ERROR: invalid input\n");
    else
        snprintf(answer, ANSWER_MAX, "result: %zu\n", strlen(text));
}

static void *worker(void *unused)
{
    char answer[ANSWER_MAX];
    struct task *task;

    (void)unused;
    while ((task = pop()) != NULL) {
        compute(task->text, task->length, answer);
        put_answer(task->session, task->turn, answer);
        announce(task->session);
        free(task);
    }
    return NULL;
}

void pool_rehearse(long cpu_ms)
{
    char text[TEXT_MAX + 1], answer[ANSWER_MAX], expected[ANSWER_MAX];
    struct timespec used;
    size_t length = 0;

    memset(text, 'x', sizeof text);
    do {
        text[length] = '\0';
        compute(text, length, answer);
        snprintf(expected, sizeof expected, "result: %d\n", (int)length);
        if (strcmp(answer, length == 0 ? "ERROR: invalid input\n" : expected) != 0)
            abort();
        text[length] = 'x';
        length = (length + 1) % sizeof text;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
    } while (used.tv_sec * 1000 + used.tv_nsec / 1000000 < cpu_ms);
}

void pool_open(int count, size_t capacity)
{
    guard_open(&queue.guard, SINGLE);
    guard_open(&news.guard, SINGLE);
    guard_open(&census, SINGLE);
    condition_open(&queue.work);
    condition_open(&queue.room);
    queue.capacity = capacity;
    queue.last = &queue.first;
    news.last = &news.first;
    bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (bell < 0)
        abort();
    workers = must(calloc((size_t)count, sizeof *workers));
    for (; worker_count < count; worker_count++)
        if (pthread_create(&workers[worker_count], NULL, worker, NULL) != 0)
            abort();
}

void pool_close(void)
{
    enter(&queue.guard);
    queue.closed = true;
    everybody_look();
    leave(&queue.guard);
    for (int i = 0; i < worker_count; i++)
        pthread_join(workers[i], NULL);
    free(workers);
    fprintf(stderr, "pool_server: locks waited for: queue %lu of %lu times, news %lu of %lu, census %lu of %lu\n",
            queue.guard.contended, queue.guard.entered, news.guard.contended, news.guard.entered, census.contended,
            census.entered);
    pthread_cond_destroy(&queue.room);
    pthread_cond_destroy(&queue.work);
    guard_close(&queue.guard);
    guard_close(&news.guard);
    guard_close(&census);
    close(bell);
}
