/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The choice of the number of threads, on machines that are simulated: a chunk of rows takes the time
 * that a function of the threads says. Whatever the machine, the pace must come to its best number,
 * and come back to it when the machine has changed.
 */
#include "check.h"
#include "pace.h"

typedef double machine(int n_threads); /* ns per row */

static double scales_well(int n) { return 8000.0 / n; }
static double too_small(int n) { return 100.0 * n; }          /* every thread more costs */
static double two_cores(int n) { return n == 2 ? 400 : 800; } /* of four logical ones */

/* All threads wait for the one whose core is taken, so that using every core is three times slower. */
static int n_cores;
static double one_core_busy(int n) { return n == n_cores && n > 1 ? 24000.0 / n : 8000.0 / n; }

/* What the model may think of a step of 100 rows: right, or far too little. */
static double step_of(machine *cost, int limit) { return limit % 2 ? 100 * cost(1) : 100; }

/* Chunks until the last 30 of them ran at the lowest cost but for trials; −1: never in `most`. */
static int settle(fbp_pace *pace, machine *cost, int limit, int most)
{
    double lowest = INFINITY;
    int good = 0;
    for (int n = limit; n >= 1; n /= 2)
        lowest = fmin(lowest, cost(n));
    for (int chunk = 0; chunk < most; chunk++) {
        const int n = fbp_pace_threads(pace, limit, step_of(cost, limit));
        CHECK(n >= 1 && n <= limit, "%d threads of %d", n, limit);
        const int64_t rows = fbp_pace_rows(pace, 10);
        CHECK(rows >= 10 && rows % 10 == 0, "%lld rows", (long long)rows);
        fbp_pace_report(pace, rows, (int64_t)(cost(n) * (double)rows));
        if (pace->trial != pace->best) continue;
        good = cost(n) <= 1.01 * lowest ? good + 1 : 0;
        if (good == 30) return chunk + 1;
    }
    return -1;
}

static void test_settles(machine *cost, const char *name, int limit)
{
    fbp_pace pace = {0};
    const int chunks = settle(&pace, cost, limit, 1000);
    CHECK(chunks > 0, "%s, at most %d threads: never at its best", name, limit);
}

static void test_changes(machine *before, machine *after, const char *name, int limit)
{
    fbp_pace pace = {0};
    CHECK(settle(&pace, before, limit, 1000) > 0, "%s: not at its best before the change", name);
    CHECK(settle(&pace, after, limit, 5000) > 0, "%s: not at its best after the change", name);
}

/* Trials are rare in the end: under 2 % of the chunks. */
static void test_trials_become_rare(machine *cost, const char *name, int limit)
{
    fbp_pace pace = {0};
    int n_trials = 0;
    for (int chunk = 0; chunk < 20000; chunk++) {
        const int n = fbp_pace_threads(&pace, limit, step_of(cost, limit));
        n_trials += chunk >= 10000 && pace.trial != pace.best;
        fbp_pace_report(&pace, 100, (int64_t)(cost(n) * 100));
    }
    CHECK(n_trials <= 200, "%s: %d trials in 10000 chunks", name, n_trials);
}

/* What is learnt of a level: not from the first chunk, then a moving average, and the least of it. */
static void test_costs(void)
{
    static const struct {
        int64_t nanoseconds; /* of 100 rows */
        double cost, reference;
    } reports[] = {{5000000, 0, 0},
                   {100000, 1000, 1000},
                   {200000, 1250, 1000},
                   {50000, 1062.5, 1000},
                   {10000, 821.875, 821.875}};
    fbp_pace pace = {0};
    for (int i = 0; i < 5; i++) {
        CHECK(fbp_pace_threads(&pace, 1, 1e9) == 1, "one thread");
        fbp_pace_report(&pace, 100, reports[i].nanoseconds);
        CHECK(pace.cost[0] == reports[i].cost && pace.reference == reports[i].reference,
              "report %d: cost %g, reference %g", i, pace.cost[0], pace.reference);
        const int64_t rows = 3000000 / (reports[i].nanoseconds / 100); /* of three milliseconds */
        CHECK(fbp_pace_rows(&pace, 10) == fbp_pace_rows(&pace, 1) / 10 * 10 &&
                  fbp_pace_rows(&pace, 1) == rows,
              "report %d: %lld rows", i, (long long)fbp_pace_rows(&pace, 1));
    }
}

int main(void)
{
    test_costs();
    static const int limits[] = {1, 2, 3, 4, 7, 8, 16, 255};
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        n_cores = limits[i];
        test_settles(scales_well, "scales well", limits[i]);
        test_settles(too_small, "too small", limits[i]);
        test_settles(one_core_busy, "one core busy", limits[i]);
        test_changes(scales_well, too_small, "becomes too small", limits[i]);
        test_changes(too_small, scales_well, "becomes large", limits[i]);
        test_changes(scales_well, one_core_busy, "a core becomes busy", limits[i]);
        test_changes(one_core_busy, scales_well, "a core becomes free", limits[i]);
        test_trials_become_rare(scales_well, "scales well", limits[i]);
        test_trials_become_rare(too_small, "too small", limits[i]);
    }
    test_settles(two_cores, "two cores", 4);
    fbp_pace pace = {0};
    (void)fbp_pace_threads(&pace, 4, 1e6);
    fbp_pace_report(&pace, 100, 0); /* a clock that stood still */
    CHECK(fbp_pace_threads(&pace, 4, 1e6) == 4 && fbp_pace_rows(&pace, 30) > 0, "no time at all");
    fbp_pace small = {0}, large = {0}, fixed = {.fixed = 1};
    CHECK(fbp_pace_threads(&small, 64, 10e3) == 1,
          "a step of 10 us begins on more than one thread");
    CHECK(fbp_pace_threads(&large, 64, 1e9) == 64, "a step of a second begins on fewer threads");
    CHECK(fbp_pace_threads(&fixed, 64, 1) == 64, "fixed, but not 64 threads");
    return check_done("pace");
}
