/*
 * The preloaded library: announces what a server does with its threads, locks, condition variables and semaphores.
 *
 * Each function below does the real call and announces it by a marker: a system call with a number that no kernel uses,
 * with the operation, the object, one more word and the caller's address as its arguments. Under the tracer the marker
 * is a stop like any other, so lock operations and system calls arrive in one stream, in the order in which the thread
 * made them. Without the tracer a marker costs one ENOSYS. There is no state here, and no channel but a marker's result:
 * all logic stays in the harness. C, because the prototypes are C's and `__builtin_return_address` names the line of the
 * submission.
 *
 * A lock is first tried: one that is free costs one marker (taken), one that is not costs two (blocked, taken), and the
 * stream says who waits for whom.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <threads.h>
#include <time.h>

/* The same numbers as in marker.rs; a test there holds the two together. */
#define MARKER_CALL 20821

enum marker_op {
    OP_HELLO = 1,
    OP_THREAD_CREATED = 2,
    OP_THREAD_CREATED_DETACHED = 3,
    OP_JOIN_BEGIN = 4,
    OP_JOIN_END = 5,
    OP_DETACHED = 6,
    OP_WAIT_FAILED = 7,
    OP_WAIT_LATE = 8,
    OP_WAIT_YIELDED = 9,
    OP_MUTEX_INIT = 10,
    OP_MUTEX_DESTROY = 11,
    OP_MUTEX_BLOCKED = 12,
    OP_MUTEX_LOCKED = 13,
    OP_MUTEX_UNLOCKED = 14,
    OP_COND_INIT = 20,
    OP_COND_DESTROY = 21,
    OP_COND_WAIT = 22,
    OP_COND_TIMED_WAIT = 23,
    OP_COND_WOKEN = 24,
    OP_COND_SIGNAL = 25,
    OP_COND_BROADCAST = 26,
    OP_COND_BROADCASTS = 27,
    OP_COND_RELAYED = 28,
    OP_SEM_INIT = 30,
    OP_SEM_DESTROY = 31,
    OP_SEM_BLOCKED = 32,
    OP_SEM_TAKEN = 33,
    OP_SEM_POSTED = 34,
    OP_RWLOCK_INIT = 40,
    OP_RWLOCK_DESTROY = 41,
    OP_RWLOCK_BLOCKED = 42,
    OP_RWLOCK_LOCKED = 43,
    OP_RWLOCK_UNLOCKED = 44,
    OP_BARRIER_PASSED = 50,
};

/* Set on an operation that came through <threads.h>, which Helgrind does not see. */
#define C11 0x100

/* In the extra word of a lock that was taken by a call that does not wait for ever: trylock, timedlock. */
#define GIVES_UP 2

#define CALLER __builtin_return_address(0)
#define EXPORT __attribute__((visibility("default")))

/*
 * What the tracer may say back. As the result of the marker before a wait on a condition variable: return at once, though
 * nobody has signalled; POSIX allows a wait to do so at any time. As the result of the marker after one that has ended:
 * let others have the mutex before this thread has it back, as happens where they are quicker. As the result of the marker
 * before a broadcast: how many waiters to wake one after the other, where all at once would run for the mutex.
 */
#define SPURIOUS 1
#define LATE 2

/* Raw, so that errno stays the submission's. The result is -ENOSYS, unless the tracer has put another in its place. */
static inline long mark(long op, const volatile void *object, unsigned long more, const void *caller)
{
#if defined(__x86_64__)
    register unsigned long r10 __asm__("r10") = (unsigned long)caller;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)MARKER_CALL), "D"(op), "S"(object), "d"(more), "r"(r10)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = MARKER_CALL;
    register unsigned long x0 __asm__("x0") = (unsigned long)op;
    register unsigned long x1 __asm__("x1") = (unsigned long)object;
    register unsigned long x2 __asm__("x2") = more;
    register unsigned long x3 __asm__("x3") = (unsigned long)caller;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return (long)x0;
#else
#error "markers are written for x86_64 and aarch64"
#endif
}

#define REAL_FUNCTIONS(X)                                                                                              \
    X(pthread_create) X(pthread_join) X(pthread_tryjoin_np) X(pthread_timedjoin_np) X(pthread_detach)                  \
    X(pthread_mutex_init) X(pthread_mutex_destroy) X(pthread_mutex_lock) X(pthread_mutex_trylock)                      \
    X(pthread_mutex_timedlock) X(pthread_mutex_unlock)                                                                 \
    X(pthread_cond_init) X(pthread_cond_destroy) X(pthread_cond_wait) X(pthread_cond_timedwait)                        \
    X(pthread_cond_signal) X(pthread_cond_broadcast)                                                                   \
    X(pthread_rwlock_init) X(pthread_rwlock_destroy) X(pthread_rwlock_rdlock) X(pthread_rwlock_tryrdlock)              \
    X(pthread_rwlock_wrlock) X(pthread_rwlock_trywrlock) X(pthread_rwlock_unlock)                                      \
    X(pthread_spin_lock) X(pthread_spin_trylock) X(pthread_spin_unlock) X(pthread_barrier_wait)                        \
    X(sem_init) X(sem_destroy) X(sem_wait) X(sem_trywait) X(sem_timedwait) X(sem_post)                                 \
    X(thrd_create) X(thrd_join) X(thrd_detach)                                                                         \
    X(mtx_init) X(mtx_destroy) X(mtx_lock) X(mtx_trylock) X(mtx_timedlock) X(mtx_unlock)                               \
    X(cnd_init) X(cnd_destroy) X(cnd_wait) X(cnd_timedwait) X(cnd_signal) X(cnd_broadcast)

#define DECLARE(name) static __typeof__(&name) real_##name;
REAL_FUNCTIONS(DECLARE)

/* glibc 2.30 and later; absent before, so looked up by a prototype of our own. */
static int (*real_pthread_cond_clockwait)(pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *);
static int (*real_pthread_mutex_clocklock)(pthread_mutex_t *, clockid_t, const struct timespec *);
static int (*real_sem_clockwait)(sem_t *, clockid_t, const struct timespec *);
static int (*real_pthread_clockjoin_np)(pthread_t, void **, clockid_t, const struct timespec *);

static void resolve(void)
{
#define RESOLVE(name) real_##name = (__typeof__(real_##name))dlsym(RTLD_NEXT, #name);
    REAL_FUNCTIONS(RESOLVE)
    RESOLVE(pthread_cond_clockwait)
    RESOLVE(pthread_mutex_clocklock)
    RESOLVE(sem_clockwait)
    RESOLVE(pthread_clockjoin_np)
}

/* Another library's constructor may take a lock before ours has run. */
#define NEED(name)                                                                                                     \
    do {                                                                                                               \
        if (!real_##name)                                                                                              \
            resolve();                                                                                                 \
    } while (0)

__attribute__((constructor)) static void hello(void)
{
    resolve();
    /* What the server starts itself is none of its business here. */
    unsetenv("LD_PRELOAD");
    mark(OP_HELLO, NULL, 0, NULL);
}

/* ---- threads ---- */

EXPORT int pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg)
{
    NEED(pthread_create);
    int detached = PTHREAD_CREATE_JOINABLE;
    if (attr)
        pthread_attr_getdetachstate(attr, &detached);
    int rc = real_pthread_create(thread, attr, start, arg);
    if (rc == 0 && detached == PTHREAD_CREATE_DETACHED)
        /* A detached thread may be gone by now, and its handle with it. */
        mark(OP_THREAD_CREATED_DETACHED, NULL, (unsigned long)start, CALLER);
    else if (rc == 0)
        mark(OP_THREAD_CREATED, (void *)*thread, (unsigned long)start, CALLER);
    return rc;
}

EXPORT int pthread_join(pthread_t thread, void **value)
{
    NEED(pthread_join);
    mark(OP_JOIN_BEGIN, (void *)thread, 0, CALLER);
    int rc = real_pthread_join(thread, value);
    mark(OP_JOIN_END, (void *)thread, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_tryjoin_np(pthread_t thread, void **value)
{
    NEED(pthread_tryjoin_np);
    int rc = real_pthread_tryjoin_np(thread, value);
    if (rc == 0)
        mark(OP_JOIN_END, (void *)thread, 0, CALLER);
    return rc;
}

EXPORT int pthread_timedjoin_np(pthread_t thread, void **value, const struct timespec *until)
{
    NEED(pthread_timedjoin_np);
    mark(OP_JOIN_BEGIN, (void *)thread, 0, CALLER);
    int rc = real_pthread_timedjoin_np(thread, value, until);
    mark(OP_JOIN_END, (void *)thread, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_clockjoin_np(pthread_t thread, void **value, clockid_t clock, const struct timespec *until)
{
    NEED(pthread_clockjoin_np);
    mark(OP_JOIN_BEGIN, (void *)thread, 0, CALLER);
    int rc = real_pthread_clockjoin_np(thread, value, clock, until);
    mark(OP_JOIN_END, (void *)thread, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_detach(pthread_t thread)
{
    NEED(pthread_detach);
    int rc = real_pthread_detach(thread);
    mark(OP_DETACHED, (void *)thread, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int thrd_create(thrd_t *thread, thrd_start_t start, void *arg)
{
    NEED(thrd_create);
    int rc = real_thrd_create(thread, start, arg);
    if (rc == thrd_success)
        mark(OP_THREAD_CREATED | C11, (void *)*thread, (unsigned long)start, CALLER);
    return rc;
}

EXPORT int thrd_join(thrd_t thread, int *value)
{
    NEED(thrd_join);
    mark(OP_JOIN_BEGIN | C11, (void *)thread, 0, CALLER);
    int rc = real_thrd_join(thread, value);
    mark(OP_JOIN_END | C11, (void *)thread, (unsigned long)(rc != thrd_success), CALLER);
    return rc;
}

EXPORT int thrd_detach(thrd_t thread)
{
    NEED(thrd_detach);
    int rc = real_thrd_detach(thread);
    mark(OP_DETACHED | C11, (void *)thread, (unsigned long)(rc != thrd_success), CALLER);
    return rc;
}

/* ---- mutexes ---- */

EXPORT int pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attr)
{
    NEED(pthread_mutex_init);
    int rc = real_pthread_mutex_init(mutex, attr);
    mark(OP_MUTEX_INIT, mutex, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_mutex_destroy(pthread_mutex_t *mutex)
{
    NEED(pthread_mutex_destroy);
    int rc = real_pthread_mutex_destroy(mutex);
    mark(OP_MUTEX_DESTROY, mutex, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    NEED(pthread_mutex_lock);
    int rc = real_pthread_mutex_trylock(mutex);
    if (rc == EBUSY) {
        mark(OP_MUTEX_BLOCKED, mutex, 0, CALLER);
        rc = real_pthread_mutex_lock(mutex);
        if (rc != 0 && rc != EOWNERDEAD)
            mark(OP_WAIT_FAILED, mutex, 0, CALLER);
    }
    if (rc == 0 || rc == EOWNERDEAD)
        mark(OP_MUTEX_LOCKED, mutex, 0, CALLER);
    return rc;
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t *mutex)
{
    NEED(pthread_mutex_trylock);
    int rc = real_pthread_mutex_trylock(mutex);
    if (rc == 0 || rc == EOWNERDEAD)
        mark(OP_MUTEX_LOCKED, mutex, GIVES_UP, CALLER);
    return rc;
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until)
{
    NEED(pthread_mutex_timedlock);
    int rc = real_pthread_mutex_timedlock(mutex, until);
    if (rc == 0 || rc == EOWNERDEAD)
        mark(OP_MUTEX_LOCKED, mutex, GIVES_UP, CALLER);
    return rc;
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until)
{
    NEED(pthread_mutex_clocklock);
    int rc = real_pthread_mutex_clocklock(mutex, clock, until);
    if (rc == 0 || rc == EOWNERDEAD)
        mark(OP_MUTEX_LOCKED, mutex, GIVES_UP, CALLER);
    return rc;
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    NEED(pthread_mutex_unlock);
    int rc = real_pthread_mutex_unlock(mutex);
    if (rc == 0)
        mark(OP_MUTEX_UNLOCKED, mutex, 0, CALLER);
    return rc;
}

EXPORT int mtx_init(mtx_t *mutex, int type)
{
    NEED(mtx_init);
    int rc = real_mtx_init(mutex, type);
    mark(OP_MUTEX_INIT | C11, mutex, (unsigned long)(rc != thrd_success), CALLER);
    return rc;
}

EXPORT void mtx_destroy(mtx_t *mutex)
{
    NEED(mtx_destroy);
    real_mtx_destroy(mutex);
    mark(OP_MUTEX_DESTROY | C11, mutex, 0, CALLER);
}

EXPORT int mtx_lock(mtx_t *mutex)
{
    NEED(mtx_lock);
    int rc = real_mtx_trylock(mutex);
    if (rc == thrd_busy) {
        mark(OP_MUTEX_BLOCKED | C11, mutex, 0, CALLER);
        rc = real_mtx_lock(mutex);
    }
    if (rc == thrd_success)
        mark(OP_MUTEX_LOCKED | C11, mutex, 0, CALLER);
    return rc;
}

EXPORT int mtx_trylock(mtx_t *mutex)
{
    NEED(mtx_trylock);
    int rc = real_mtx_trylock(mutex);
    if (rc == thrd_success)
        mark(OP_MUTEX_LOCKED | C11, mutex, GIVES_UP, CALLER);
    return rc;
}

EXPORT int mtx_timedlock(mtx_t *restrict mutex, const struct timespec *restrict until)
{
    NEED(mtx_timedlock);
    int rc = real_mtx_timedlock(mutex, until);
    if (rc == thrd_success)
        mark(OP_MUTEX_LOCKED | C11, mutex, GIVES_UP, CALLER);
    return rc;
}

EXPORT int mtx_unlock(mtx_t *mutex)
{
    NEED(mtx_unlock);
    int rc = real_mtx_unlock(mutex);
    if (rc == thrd_success)
        mark(OP_MUTEX_UNLOCKED | C11, mutex, 0, CALLER);
    return rc;
}

/* ---- condition variables ---- */

/*
 * What a wait does that ends at once: the mutex is free for a moment, and held when it returns. Whether somebody else had it
 * meanwhile is for the tracer to say, at the marker, and not for the scheduler.
 */
static int yield_mutex(pthread_cond_t *cond, pthread_mutex_t *mutex, const void *caller)
{
    int rc = real_pthread_mutex_unlock(mutex);
    if (rc != 0)
        return rc;
    mark(OP_WAIT_YIELDED, cond, (unsigned long)mutex, caller);
    return real_pthread_mutex_lock(mutex);
}

static int yield_mtx(cnd_t *cond, mtx_t *mutex, const void *caller)
{
    int rc = real_mtx_unlock(mutex);
    if (rc != thrd_success)
        return rc;
    mark(OP_WAIT_YIELDED | C11, cond, (unsigned long)mutex, caller);
    return real_mtx_lock(mutex);
}

/* As if this thread, whose wait has ended, did not have its mutex back yet: others may have it first. 0 if it cannot be so. */
static int step_back(pthread_cond_t *cond, pthread_mutex_t *mutex, const void *caller)
{
    if (real_pthread_mutex_unlock(mutex) != 0)
        return 0;
    mark(OP_WAIT_LATE, cond, (unsigned long)mutex, caller);
    real_pthread_mutex_lock(mutex);
    return 1;
}

static int step_back_c11(cnd_t *cond, mtx_t *mutex, const void *caller)
{
    if (real_mtx_unlock(mutex) != thrd_success)
        return 0;
    mark(OP_WAIT_LATE | C11, cond, (unsigned long)mutex, caller);
    real_mtx_lock(mutex);
    return 1;
}

/* A wait has ended; `rc` is its result. */
static void woken(pthread_cond_t *cond, pthread_mutex_t *mutex, int rc, const void *caller)
{
    const unsigned long with = (unsigned long)mutex;
    if (mark(OP_COND_WOKEN, cond, with, caller) == LATE && rc == 0 && step_back(cond, mutex, caller))
        mark(OP_COND_WOKEN, cond, with, caller);
}

static void woken_c11(cnd_t *cond, mtx_t *mutex, int rc, const void *caller)
{
    const unsigned long with = (unsigned long)mutex;
    if (mark(OP_COND_WOKEN | C11, cond, with, caller) == LATE && rc == thrd_success && step_back_c11(cond, mutex, caller))
        mark(OP_COND_WOKEN | C11, cond, with, caller);
}

/* The time of a wait was over. Until it returns nobody can know whether the thread has its mutex back already. */
static void time_over(pthread_cond_t *cond, pthread_mutex_t *mutex, const void *caller)
{
    if (mark(OP_WAIT_FAILED, cond, 0, caller) == LATE)
        step_back(cond, mutex, caller);
}

static void time_over_c11(cnd_t *cond, mtx_t *mutex, const void *caller)
{
    if (mark(OP_WAIT_FAILED | C11, cond, 0, caller) == LATE)
        step_back_c11(cond, mutex, caller);
}

EXPORT int pthread_cond_init(pthread_cond_t *cond, const pthread_condattr_t *attr)
{
    NEED(pthread_cond_init);
    int rc = real_pthread_cond_init(cond, attr);
    mark(OP_COND_INIT, cond, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_cond_destroy(pthread_cond_t *cond)
{
    NEED(pthread_cond_destroy);
    int rc = real_pthread_cond_destroy(cond);
    mark(OP_COND_DESTROY, cond, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex)
{
    NEED(pthread_cond_wait);
    long told = mark(OP_COND_WAIT, cond, (unsigned long)mutex, CALLER);
    int rc = told == SPURIOUS ? yield_mutex(cond, mutex, CALLER) : real_pthread_cond_wait(cond, mutex);
    woken(cond, mutex, rc, CALLER);
    return rc;
}

EXPORT int pthread_cond_timedwait(pthread_cond_t *cond, pthread_mutex_t *mutex, const struct timespec *until)
{
    NEED(pthread_cond_timedwait);
    long told = mark(OP_COND_TIMED_WAIT, cond, (unsigned long)mutex, CALLER);
    int rc = told == SPURIOUS ? yield_mutex(cond, mutex, CALLER) : real_pthread_cond_timedwait(cond, mutex, until);
    if (rc == ETIMEDOUT)
        time_over(cond, mutex, CALLER);
    woken(cond, mutex, rc, CALLER);
    return rc;
}

EXPORT int pthread_cond_clockwait(pthread_cond_t *cond, pthread_mutex_t *mutex, clockid_t clock,
                                  const struct timespec *until)
{
    NEED(pthread_cond_clockwait);
    long told = mark(OP_COND_TIMED_WAIT, cond, (unsigned long)mutex, CALLER);
    int rc = told == SPURIOUS ? yield_mutex(cond, mutex, CALLER) : real_pthread_cond_clockwait(cond, mutex, clock, until);
    if (rc == ETIMEDOUT)
        time_over(cond, mutex, CALLER);
    woken(cond, mutex, rc, CALLER);
    return rc;
}

EXPORT int pthread_cond_signal(pthread_cond_t *cond)
{
    NEED(pthread_cond_signal);
    int rc = real_pthread_cond_signal(cond);
    mark(OP_COND_SIGNAL, cond, 0, CALLER);
    return rc;
}

EXPORT int pthread_cond_broadcast(pthread_cond_t *cond)
{
    NEED(pthread_cond_broadcast);
    for (long waiting = mark(OP_COND_BROADCASTS, cond, 0, CALLER); waiting > 1; waiting--) {
        real_pthread_cond_signal(cond);
        mark(OP_COND_RELAYED, cond, 0, CALLER);
    }
    int rc = real_pthread_cond_broadcast(cond);
    mark(OP_COND_BROADCAST, cond, 0, CALLER);
    return rc;
}

EXPORT int cnd_init(cnd_t *cond)
{
    NEED(cnd_init);
    int rc = real_cnd_init(cond);
    mark(OP_COND_INIT | C11, cond, (unsigned long)(rc != thrd_success), CALLER);
    return rc;
}

EXPORT void cnd_destroy(cnd_t *cond)
{
    NEED(cnd_destroy);
    real_cnd_destroy(cond);
    mark(OP_COND_DESTROY | C11, cond, 0, CALLER);
}

EXPORT int cnd_wait(cnd_t *cond, mtx_t *mutex)
{
    NEED(cnd_wait);
    long told = mark(OP_COND_WAIT | C11, cond, (unsigned long)mutex, CALLER);
    int rc = told == SPURIOUS ? yield_mtx(cond, mutex, CALLER) : real_cnd_wait(cond, mutex);
    woken_c11(cond, mutex, rc, CALLER);
    return rc;
}

EXPORT int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    NEED(cnd_timedwait);
    long told = mark(OP_COND_TIMED_WAIT | C11, cond, (unsigned long)mutex, CALLER);
    int rc = told == SPURIOUS ? yield_mtx(cond, mutex, CALLER) : real_cnd_timedwait(cond, mutex, until);
    if (rc == thrd_timedout)
        time_over_c11(cond, mutex, CALLER);
    woken_c11(cond, mutex, rc, CALLER);
    return rc;
}

EXPORT int cnd_signal(cnd_t *cond)
{
    NEED(cnd_signal);
    int rc = real_cnd_signal(cond);
    mark(OP_COND_SIGNAL | C11, cond, 0, CALLER);
    return rc;
}

EXPORT int cnd_broadcast(cnd_t *cond)
{
    NEED(cnd_broadcast);
    for (long waiting = mark(OP_COND_BROADCASTS | C11, cond, 0, CALLER); waiting > 1; waiting--) {
        real_cnd_signal(cond);
        mark(OP_COND_RELAYED | C11, cond, 0, CALLER);
    }
    int rc = real_cnd_broadcast(cond);
    mark(OP_COND_BROADCAST | C11, cond, 0, CALLER);
    return rc;
}

/* ---- semaphores ---- */

EXPORT int sem_init(sem_t *sem, int shared, unsigned int value)
{
    NEED(sem_init);
    int rc = real_sem_init(sem, shared, value);
    mark(OP_SEM_INIT, sem, value, CALLER);
    return rc;
}

EXPORT int sem_destroy(sem_t *sem)
{
    NEED(sem_destroy);
    int rc = real_sem_destroy(sem);
    mark(OP_SEM_DESTROY, sem, (unsigned long)rc, CALLER);
    return rc;
}

/* Takes a free semaphore at once; announces that it is about to block otherwise. True when it was taken. */
static int sem_take_or_announce(sem_t *sem, const void *caller)
{
    int before = errno;
    NEED(sem_trywait);
    if (real_sem_trywait(sem) == 0) {
        mark(OP_SEM_TAKEN, sem, 0, caller);
        return 1;
    }
    errno = before;
    mark(OP_SEM_BLOCKED, sem, 0, caller);
    return 0;
}

EXPORT int sem_wait(sem_t *sem)
{
    NEED(sem_wait);
    if (sem_take_or_announce(sem, CALLER))
        return 0;
    int rc = real_sem_wait(sem);
    mark(rc == 0 ? OP_SEM_TAKEN : OP_WAIT_FAILED, sem, 0, CALLER);
    return rc;
}

EXPORT int sem_trywait(sem_t *sem)
{
    NEED(sem_trywait);
    int rc = real_sem_trywait(sem);
    if (rc == 0)
        mark(OP_SEM_TAKEN, sem, 0, CALLER);
    return rc;
}

EXPORT int sem_timedwait(sem_t *sem, const struct timespec *until)
{
    NEED(sem_timedwait);
    if (sem_take_or_announce(sem, CALLER))
        return 0;
    int rc = real_sem_timedwait(sem, until);
    mark(rc == 0 ? OP_SEM_TAKEN : OP_WAIT_FAILED, sem, 0, CALLER);
    return rc;
}

EXPORT int sem_clockwait(sem_t *sem, clockid_t clock, const struct timespec *until)
{
    NEED(sem_clockwait);
    if (sem_take_or_announce(sem, CALLER))
        return 0;
    int rc = real_sem_clockwait(sem, clock, until);
    mark(rc == 0 ? OP_SEM_TAKEN : OP_WAIT_FAILED, sem, 0, CALLER);
    return rc;
}

EXPORT int sem_post(sem_t *sem)
{
    NEED(sem_post);
    int rc = real_sem_post(sem);
    if (rc == 0)
        mark(OP_SEM_POSTED, sem, 0, CALLER);
    return rc;
}

/* ---- read-write locks and spin locks: a thread that holds one is not a thread to hold ---- */

EXPORT int pthread_rwlock_init(pthread_rwlock_t *lock, const pthread_rwlockattr_t *attr)
{
    NEED(pthread_rwlock_init);
    int rc = real_pthread_rwlock_init(lock, attr);
    mark(OP_RWLOCK_INIT, lock, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_rwlock_destroy(pthread_rwlock_t *lock)
{
    NEED(pthread_rwlock_destroy);
    int rc = real_pthread_rwlock_destroy(lock);
    mark(OP_RWLOCK_DESTROY, lock, (unsigned long)rc, CALLER);
    return rc;
}

EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t *lock)
{
    NEED(pthread_rwlock_rdlock);
    int rc = real_pthread_rwlock_tryrdlock(lock);
    if (rc == EBUSY) {
        mark(OP_RWLOCK_BLOCKED, lock, 0, CALLER);
        rc = real_pthread_rwlock_rdlock(lock);
    }
    if (rc == 0)
        mark(OP_RWLOCK_LOCKED, lock, 0, CALLER);
    return rc;
}

EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t *lock)
{
    NEED(pthread_rwlock_tryrdlock);
    int rc = real_pthread_rwlock_tryrdlock(lock);
    if (rc == 0)
        mark(OP_RWLOCK_LOCKED, lock, GIVES_UP, CALLER);
    return rc;
}

EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t *lock)
{
    NEED(pthread_rwlock_wrlock);
    int rc = real_pthread_rwlock_trywrlock(lock);
    if (rc == EBUSY) {
        mark(OP_RWLOCK_BLOCKED, lock, 1, CALLER);
        rc = real_pthread_rwlock_wrlock(lock);
    }
    if (rc == 0)
        mark(OP_RWLOCK_LOCKED, lock, 1, CALLER);
    return rc;
}

EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t *lock)
{
    NEED(pthread_rwlock_trywrlock);
    int rc = real_pthread_rwlock_trywrlock(lock);
    if (rc == 0)
        mark(OP_RWLOCK_LOCKED, lock, 1 | GIVES_UP, CALLER);
    return rc;
}

EXPORT int pthread_rwlock_unlock(pthread_rwlock_t *lock)
{
    NEED(pthread_rwlock_unlock);
    int rc = real_pthread_rwlock_unlock(lock);
    if (rc == 0)
        mark(OP_RWLOCK_UNLOCKED, lock, 0, CALLER);
    return rc;
}

EXPORT int pthread_spin_lock(pthread_spinlock_t *lock)
{
    NEED(pthread_spin_lock);
    int rc = real_pthread_spin_lock(lock);
    if (rc == 0)
        mark(OP_MUTEX_LOCKED, lock, 1, CALLER);
    return rc;
}

EXPORT int pthread_spin_trylock(pthread_spinlock_t *lock)
{
    NEED(pthread_spin_trylock);
    int rc = real_pthread_spin_trylock(lock);
    if (rc == 0)
        mark(OP_MUTEX_LOCKED, lock, 1 | GIVES_UP, CALLER);
    return rc;
}

EXPORT int pthread_spin_unlock(pthread_spinlock_t *lock)
{
    NEED(pthread_spin_unlock);
    int rc = real_pthread_spin_unlock(lock);
    if (rc == 0)
        mark(OP_MUTEX_UNLOCKED, lock, 0, CALLER);
    return rc;
}

/* Without this, those whom a barrier lets go together would run for the next lock. */
EXPORT int pthread_barrier_wait(pthread_barrier_t *barrier)
{
    NEED(pthread_barrier_wait);
    int rc = real_pthread_barrier_wait(barrier);
    mark(OP_BARRIER_PASSED, barrier, 0, CALLER);
    return rc;
}
