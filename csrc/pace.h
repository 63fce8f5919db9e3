/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * How many threads train next: learnt from what the last chunks of steps took.
 *
 * The candidates are n, n/2, n/4 … 1 threads. Chunks run on the best one so far; now and then a
 * neighbour of it is tried, the less often the more trials have failed, and at once when the best
 * has become a quarter slower than it was: a busy neighbour on one of the cores shows so. A small
 * network therefore settles on few threads, and none is slower for being allowed more. A model from
 * operation counts alone was dropped: it cannot see a neighbour, nor a core that is half a core.
 */
#ifndef FBP_PACE_H
#define FBP_PACE_H

#include <stdint.h>

#define FBP_PACE_LEVELS 32 /* an int has no more */

typedef struct {
    int fixed;                         /* always as many as allowed */
    int limit;                         /* threads allowed; what the rest was learnt for */
    int cold;                          /* nothing has run yet with this limit */
    int best, trial;                   /* levels: limit >> level threads; trial: running now */
    int direction;                     /* of the last trial: +1 fewer threads, −1 more */
    int64_t chunks_to_trial, interval; /* chunks until the next trial, between trials */
    double reference;                  /* ns per row of the best level when it was chosen */
    double cost[FBP_PACE_LEVELS];      /* ns per row, smoothed; 0 unknown */
    int64_t chunk_rows;                /* rows that take as long as a chunk should */
} fbp_pace;

/* Threads for the next chunk, at most limit. step_nanoseconds: what a step may take on one, for a
 * first guess. */
int fbp_pace_threads(fbp_pace *pace, int limit, double step_nanoseconds);

/* What that chunk took. */
void fbp_pace_report(fbp_pace *pace, int64_t rows, int64_t nanoseconds);

/* Rows for the next chunk, a multiple of batch_rows. */
int64_t fbp_pace_rows(const fbp_pace *pace, int64_t batch_rows);

#endif
