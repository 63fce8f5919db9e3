/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known of threads across the process: how many teams run, what OpenMP allows, what the
 * system gives.
 *
 * An OpenMP runtime ends the process if a thread cannot be started (libgomp: exit(1)). So before a
 * region with more threads than the calling thread's last one had, as many as are missing are started
 * and ended; if some are refused, the region has only as many as were not. A runtime keeps its threads
 * from one region of a thread to the next, and libgomp ends those that a smaller region leaves over,
 * so that growth is all there is to ask about. Another library's region on the same runtime in
 * between, or a system that refuses in the microseconds between, still end the process.
 *
 * After a fork none of those threads is left, but the runtime does not know: a region would wait for
 * them for ever. So a process that is not the one that loaded this code has teams of one.
 */
#include "fbp.h"
#include "team.h"

static atomic_int teams_running;

int fbp_team_enter(int n_threads)
{
    const int share = n_threads / (atomic_fetch_add(&teams_running, 1) + 1);
    return share > 1 ? share : 1;
}

void fbp_team_leave(void) { atomic_fetch_sub(&teams_running, 1); }

static atomic_int refused;

int fbp_threads_refused(void) { return atomic_load(&refused); }

#if defined(_OPENMP) && !defined(_WIN32)
#include <pthread.h>
#include <sched.h>

#define RETRY_NANOSECONDS 1000000000 /* after a refusal */

static pid_t home; /* the process that loaded this code */

__attribute__((constructor)) static void note_home(void) { home = getpid(); }

static int is_forked(void) { return getpid() != home; }

/* One thread that is started on trial. Each starts the next one and waits for it, so that all are
 * there at once, and each one's numbers lie on the stack of the one before. */
typedef struct {
    int wanted, started; /* after this one */
    long id;
} trial;

/* A thread that has been joined still counts against limits for some microseconds. */
static void wait_until_gone(long id)
{
#ifdef __linux__
    while (syscall(SYS_tgkill, getpid(), id, 0) == 0)
        sched_yield();
#else
    (void)id;
#endif
}

static void *run_trial(void *argument)
{
    trial *this = argument;
    trial next = {.wanted = this->wanted - 1};
    pthread_t thread;
#ifdef __linux__
    this->id = syscall(SYS_gettid);
#endif
    if (this->wanted > 0 && pthread_create(&thread, NULL, run_trial, &next) == 0) {
        pthread_join(thread, NULL);
        wait_until_gone(next.id);
        this->started = 1 + next.started;
    }
    return NULL;
}

int fbp_team_size(int n_threads)
{
    static _Thread_local int last = 1; /* size of this thread's last region */
    static _Thread_local int64_t next_trial;
    if (n_threads == 1 || is_forked()) return 1;
    if (n_threads > last) {
        if (fbp_nanoseconds() < next_trial) return last;
        trial first = {.wanted = n_threads - last};
        run_trial(&first);
        if (first.started < first.wanted) {
            atomic_store(&refused, 1);
            next_trial = fbp_nanoseconds() + RETRY_NANOSECONDS;
        }
        n_threads = last + first.started;
    }
    return last = n_threads;
}
#else
#define is_forked() 0

int fbp_team_size(int n_threads) { return n_threads; }
#endif

int fbp_max_threads(void)
{
#ifdef _OPENMP
    if (is_forked()) return 1;
    const int most = omp_get_max_threads();
#if _OPENMP >= 200805 /* cl.exe has 2.0 */
    const int limit = omp_get_thread_limit();
    return most < limit ? most : limit;
#else
    return most;
#endif
#else
    return 1;
#endif
}

int fbp_openmp_version(void)
{
#ifdef _OPENMP
    return _OPENMP;
#else
    return 0;
#endif
}
