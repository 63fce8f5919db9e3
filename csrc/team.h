/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A team of threads: run a body on n of them, barrier. All that the core knows of OpenMP.
 *
 * The barrier spins briefly, then sleeps in the kernel: a thread that waits for one whose core is
 * taken by a neighbour costs nothing. omp's own barrier spins for as long as OMP_WAIT_POLICY says.
 * The team's size is counted inside the region, since OpenMP may give fewer threads than asked for.
 * One thread calls the body directly. What may keep a region from having several is in team.c.
 */
#ifndef FBP_TEAM_H
#define FBP_TEAM_H

#include <limits.h>
#include <stdatomic.h>
#include <time.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef __linux__
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif !defined(_WIN32)
#include <sched.h>
#endif

#include "fbp.h"
#include "isa/fpenv.h"

#define FBP_BARRIER_SPINS 4000 /* some tens of microseconds */

typedef struct {
    atomic_int arrived;
    atomic_uint generation; /* counts barriers passed; what sleepers wait on */
    atomic_int sleepers;
} fbp_team;

typedef void fbp_body_fn(void *context, int thread, int n_threads);

static inline void fbp_pause(void)
{
#if defined(__x86_64__) || defined(_M_X64)
    _mm_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Sleep until the generation has moved on. */
static inline void fbp_barrier_sleep(fbp_team *team, unsigned generation)
{
    atomic_fetch_add(&team->sleepers, 1);
    while (atomic_load(&team->generation) == generation) {
#ifdef __linux__
        syscall(SYS_futex, &team->generation, FUTEX_WAIT_PRIVATE, generation, NULL, NULL, 0);
#elif !defined(_WIN32)
        sched_yield();
#endif
    }
    atomic_fetch_sub(&team->sleepers, 1);
}

static inline void fbp_team_barrier(fbp_team *team, int n_threads)
{
    if (n_threads == 1) return;
    const unsigned generation = atomic_load(&team->generation);
    if (atomic_fetch_add(&team->arrived, 1) == n_threads - 1) {
        atomic_store(&team->arrived, 0);
        atomic_fetch_add(&team->generation, 1);
#ifdef __linux__
        if (atomic_load(&team->sleepers) > 0)
            syscall(SYS_futex, &team->generation, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
#endif
        return;
    }
    for (int spin = 0; spin < FBP_BARRIER_SPINS; spin++) {
        if (atomic_load_explicit(&team->generation, memory_order_acquire) != generation) return;
        fbp_pause();
    }
    fbp_barrier_sleep(team, generation);
}

/* Threads that the calling thread's next region can have, at most n: one in a forked process, fewer
 * than n where the system refuses to start more. */
int fbp_team_size(int n_threads);

static inline void fbp_team_run(int n_threads, fbp_body_fn *body, void *context)
{
#ifdef _OPENMP
    n_threads = fbp_team_size(n_threads);
    if (n_threads > 1) {
#pragma omp parallel num_threads(n_threads)
        {
            const uint64_t fpenv = fbp_fpenv_enter();
            body(context, omp_get_thread_num(), omp_get_num_threads());
            fbp_fpenv_leave(fpenv);
        }
        return;
    }
#endif
    (void)n_threads;
    const uint64_t fpenv = fbp_fpenv_enter();
    body(context, 0, 1);
    fbp_fpenv_leave(fpenv);
}

/* Note that a team begins to run in this process; the threads it may use, of n, so that the teams
 * that run at once do not take more than n together. */
int fbp_team_enter(int n_threads);
/* Note that it has ended. */
void fbp_team_leave(void);

/* The caller's poll function, asked by thread 0 whenever 20 ms have passed. */
typedef struct {
    fbp_poll_fn poll;
    void *context;
    int64_t next;
    uint64_t fpenv; /* the caller's, in force while its function runs */
    int stopped;    /* it said so; another interrupt is then for the caller to see */
} fbp_poller;

#define FBP_POLL_NANOSECONDS 20000000

static inline int64_t fbp_nanoseconds(void)
{
    struct timespec now;
#ifdef CLOCK_MONOTONIC
    clock_gettime(CLOCK_MONOTONIC, &now);
#else
    timespec_get(&now, TIME_UTC);
#endif
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Ask, whenever that was done last. */
static inline int fbp_poll_now(fbp_poller *poller)
{
    if (poller->stopped) return 1;
    poller->next = fbp_nanoseconds() + FBP_POLL_NANOSECONDS;
    const uint64_t core = fbp_fpenv_enter();
    fbp_fpenv_leave(poller->fpenv);
    poller->stopped = poller->poll(poller->context) != 0;
    fbp_fpenv_leave(core);
    return poller->stopped;
}

static inline int fbp_poll_due(fbp_poller *poller)
{
    return poller->poll && fbp_nanoseconds() >= poller->next && fbp_poll_now(poller);
}

static inline fbp_poller fbp_poller_start(fbp_poll_fn poll, void *context)
{
    const uint64_t fpenv = fbp_fpenv_enter();
    fbp_fpenv_leave(fpenv);
    const int64_t next = poll ? fbp_nanoseconds() + FBP_POLL_NANOSECONDS : 0;
    return (fbp_poller){poll, context, next, fpenv, 0};
}

/* Thread's share of n_tiles row tiles: [first, last). */
static inline void fbp_share(int64_t n_tiles, int thread, int n_threads, int64_t *first,
                             int64_t *last)
{
    *first = n_tiles * thread / n_threads;
    *last = n_tiles * (thread + 1) / n_threads;
}

#endif
