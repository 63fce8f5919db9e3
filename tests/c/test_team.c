/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Threads that the system refuses to start, and forks: fewer threads, the same bits, nothing ends the
 * process, nothing waits for a thread that is not there.
 *
 * Every thread of this program, OpenMP's too, is started by the pthread_create below, which refuses
 * as a limit on processes does. Each scenario is a process of its own, since OpenMP ends the one in
 * which it is refused a thread.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#include "trainer.h"

extern char **environ;

/* A limit on threads. */

static atomic_int most_alive = 1000, alive, asked, refused_next;

typedef struct {
    void *(*run)(void *);
    void *argument;
} start;

static void count_end(void *unused)
{
    (void)unused;
    atomic_fetch_sub(&alive, 1);
}

static void *run_counted(void *argument)
{
    const start s = *(start *)argument;
    void *result;
    free(argument);
    pthread_cleanup_push(count_end, NULL);
    result = s.run(s.argument);
    pthread_cleanup_pop(1);
    return result;
}

__attribute__((visibility("default"))) int pthread_create(pthread_t *thread,
                                                          const pthread_attr_t *attributes,
                                                          void *(*run)(void *), void *argument)
{
    static int (*next)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, "pthread_create");
    atomic_fetch_add(&asked, 1);
    if (atomic_load(&refused_next) > 0 && atomic_fetch_sub(&refused_next, 1) == 1) return EAGAIN;
    if (atomic_fetch_add(&alive, 1) >= atomic_load(&most_alive)) {
        atomic_fetch_sub(&alive, 1);
        return EAGAIN;
    }
    start *s = allocate(sizeof *s);
    *s = (start){run, argument};
    const int status = next(thread, attributes, run_counted, s);
    if (status != 0) {
        atomic_fetch_sub(&alive, 1);
        free(s);
    }
    return status;
}

static void sleep_milliseconds(int n)
{
    nanosleep(&(struct timespec){n / 1000, n % 1000 * 1000000L}, NULL);
}

static int comes_to(atomic_int *count, int n)
{
    for (int i = 0; i < 5000 && atomic_load(count) != n; i++)
        sleep_milliseconds(1);
    return atomic_load(count) == n;
}

/* Work for a team. */

static problem p;
static trainer t;
static samples s;
static fbp_data data;
static void *expected;
static size_t bytes;

static void begin(void)
{
    p = usual_problem(FBP_LOSS_SQUARED_ERROR, FBP_SOLVER_ADAM);
    p.n_rows = 1000, p.units[1] = 100;
    t = trainer_new(&p);
    s = samples_new(&p);
    data = data_of(&p, &s);
    bytes = (size_t)n_parameters(&p) * sizeof(double);
    expected = allocate(bytes);
}

/* Train a new net on some threads; whether its weights are those of one thread. */
static int trains_alike(int n_threads)
{
    fbp_progress progress;
    void *seen = allocate(bytes);
    fbp_net *net = net_of(&t, fbp_isa_best(FBP_F64, p.precision), n_threads, 200);
    CHECK(fbp_train(net, &data, NULL, p.n_rows, 200, &usual, &progress) == FBP_OK, "trains");
    net_parameters(&p, net, n_threads > 1 ? seen : expected);
    const int alike = n_threads == 1 || memcmp(seen, expected, bytes) == 0;
    fbp_net_destroy(net);
    free(seen);
    return alike;
}

static void check_training(int n_threads, int n_expected)
{
    CHECK(trains_alike(n_threads), "%d threads: other weights", n_threads);
    CHECK(atomic_load(&alive) == n_expected - 1, "%d threads: a team of %d, not %d", n_threads,
          atomic_load(&alive) + 1, n_expected);
}

/* Scenarios. */

static void limited(int limit)
{
    atomic_store(&most_alive, limit);
    const int n = limit < 3 ? limit + 1 : 4;
    CHECK(!fbp_threads_refused(), "refused before anything was asked for");
    trains_alike(1);
    CHECK(atomic_load(&asked) == 0, "one thread starts others");
    check_training(4, n);
    CHECK(fbp_threads_refused() == (limit < 3), "refused: %d", fbp_threads_refused());
    double *one = new_doubles(3 * p.n_rows), *many = new_doubles(3 * p.n_rows);
    for (int n_threads = 1; n_threads <= 4; n_threads += 3) {
        fbp_net *net = net_of(&t, fbp_isa_best(FBP_F64, p.precision), n_threads, 0);
        CHECK(fbp_predict(net, &data.x, 0, NULL, NULL, FBP_F64, n_threads > 1 ? many : one) ==
                  FBP_OK,
              "predicts");
        fbp_net_destroy(net);
    }
    CHECK(memcmp(one, many, sizeof(double) * 3 * (size_t)p.n_rows) == 0, "other predictions");
    CHECK(atomic_load(&alive) == n - 1, "a team of %d to predict", atomic_load(&alive) + 1);
    free(one), free(many);
}

/* The k-th thread asked for is refused, once: the trial's, or one after it, which is too late. */
static void refused_once(int k)
{
    trains_alike(1);
    atomic_store(&refused_next, k);
    check_training(4, k);
    CHECK(fbp_threads_refused(), "not told");
    const int before = atomic_load(&asked);
    check_training(4, k);
    CHECK(atomic_load(&asked) == before, "asked again at once");
    sleep_milliseconds(1100);
    check_training(4, 4);
}

static void growth(int limit)
{
    atomic_store(&most_alive, limit);
    trains_alike(1);
    check_training(2, 2);
    const int before = atomic_load(&asked);
    check_training(2, 2);
    CHECK(atomic_load(&asked) == before, "a team that is there asked for threads");
    check_training(4, limit + 1);
    CHECK(fbp_threads_refused() == (limit < 3), "refused: %d", fbp_threads_refused());
}

/* Threads that a smaller team left over have ended, so that a larger one needs others. */
static void regrowth(int limit)
{
    trains_alike(1);
    check_training(4, 4);
    CHECK(trains_alike(2), "other weights");
    if (!comes_to(&alive, 1)) return; /* another runtime, which keeps them */
    atomic_store(&most_alive, limit);
    check_training(4, limit + 1);
}

static void *train_elsewhere(void *unused)
{
    (void)unused;
    CHECK(trains_alike(4), "in another thread: other weights");
    return NULL;
}

/* Each thread has a team of its own. */
static void second_thread(int limit)
{
    pthread_t thread;
    trains_alike(1);
    check_training(4, 4);
    atomic_store(&most_alive, limit);
    CHECK(pthread_create(&thread, NULL, train_elsewhere, NULL) == 0, "a thread of the test's own");
    pthread_join(thread, NULL);
    CHECK(fbp_threads_refused() == (limit < 7), "refused: %d", fbp_threads_refused());
}

#ifdef COUNTED /* what is executed: c_coverage.py */
extern void __gcov_dump(void);
#endif

/* Without what the parent would do at its end, but what was executed counts. */
static _Noreturn void leave_child(void)
{
#ifdef COUNTED
    __gcov_dump();
#endif
    _exit(n_failed > 0);
}

/* In a child, and in its own: one thread, the same weights. */
static void work_in_child(int generations)
{
    const int before = atomic_load(&asked);
    CHECK(fbp_max_threads() == 1, "%d threads allowed", fbp_max_threads());
    CHECK(trains_alike(4), "a child: other weights");
    CHECK(atomic_load(&asked) == before, "a child starts threads");
    if (generations == 0) return;
    const pid_t child = fork();
    if (child == 0) {
        work_in_child(generations - 1);
        leave_child();
    }
    int status = -1;
    CHECK(waitpid(child, &status, 0) == child && status == 0, "a child's child: %d", status);
}

static void fork_and_work(int generations)
{
    int status = -1;
    const pid_t child = fork();
    if (child == 0) {
        alarm(20);
        work_in_child(generations);
        leave_child();
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0, "a child: %d", status);
}

static atomic_int at_work, must_stop;

static int asks_to_stop(void *unused)
{
    (void)unused;
    atomic_store(&at_work, 1);
    return atomic_load(&must_stop);
}

/* It allocates nothing while children begin, so that no allocator's lock is left to them. */
static void *keep_training(void *unused)
{
    (void)unused;
    fbp_progress progress;
    fbp_step step = usual;
    step.poll = asks_to_stop;
    fbp_net *net = net_of(&t, fbp_isa_best(FBP_F64, p.precision), 3, 200);
    while (fbp_train(net, &data, NULL, p.n_rows, 200, &step, &progress) == FBP_OK &&
           !atomic_load(&must_stop))
        atomic_store(&at_work, 1);
    fbp_net_destroy(net);
    return NULL;
}

static void forks(int n)
{
    pthread_t thread;
    trains_alike(1);
    CHECK(fbp_max_threads() > 1, "OMP_NUM_THREADS");
    check_training(4, 4);
    fork_and_work(2);
    pthread_create(&thread, NULL, keep_training, NULL);
    CHECK(comes_to(&at_work, 1), "training");
    for (int i = 0; i < n && n_failed == 0; i++)
        fork_and_work(1);
    atomic_store(&must_stop, 1);
    pthread_join(thread, NULL);
    CHECK(trains_alike(4), "after forks: other weights");
}

static const struct {
    const char *name;
    void (*run)(int);
    int from, to;
} scenarios[] = {
    {"limited", limited, 0, 4},   {"refused_once", refused_once, 1, 3},   {"growth", growth, 1, 3},
    {"regrowth", regrowth, 1, 3}, {"second_thread", second_thread, 4, 7}, {"forks", forks, 20, 20}};
#define N_SCENARIOS (int)(sizeof scenarios / sizeof *scenarios)

static int run_scenario(const char *name, int n)
{
    begin();
    for (int i = 0; i < N_SCENARIOS; i++)
        if (strcmp(name, scenarios[i].name) == 0) scenarios[i].run(n);
    free(expected);
    samples_free(&s);
    trainer_free(&t);
    return n_failed > 0 || n_passed == 0;
}

/* test_team [scenario n] */
int main(int argc, char **argv)
{
    if (argc > 2) return run_scenario(argv[1], atoi(argv[2]));
#ifdef _OPENMP
    setenv("OMP_NUM_THREADS", "4", 1);
    for (int i = 0; i < N_SCENARIOS; i++)
        for (int n = scenarios[i].from; n <= scenarios[i].to; n++) {
            char number[12];
            int status = -1;
            pid_t child;
            snprintf(number, sizeof number, "%d", n);
            char *arguments[] = {argv[0], (char *)(intptr_t)scenarios[i].name, number, NULL};
            fflush(stdout);
            CHECK(posix_spawn(&child, argv[0], NULL, NULL, arguments, environ) == 0, "spawn");
            CHECK(waitpid(child, &status, 0) == child && status == 0, "%s %d: status %d",
                  scenarios[i].name, n, status);
        }
#else
    begin();
    CHECK(fbp_max_threads() == 1 && !fbp_threads_refused(), "one thread");
#endif
    return check_done("team");
}
