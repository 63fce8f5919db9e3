/* SPDX-License-Identifier: BSD-3-Clause */
/* See pace.h. Nothing here changes a bit of a result. */
#include "pace.h"

#define CHUNK_NANOSECONDS 3e6 /* a region costs a microsecond; a scheduler's slice is as long */
#define FIRST_INTERVAL 16     /* chunks */
#define LONGEST_INTERVAL 1024
#define CLEARLY_BETTER 0.97 /* of the best's cost: below it a trial wins */
#define WORTH_A_THREAD 8e3  /* nanoseconds of a step: less than that and barriers weigh too much */
#define SLOWED 1.25         /* of the reference: above it something has changed */

static int is_last_level(const fbp_pace *p, int level) { return (p->limit >> level) <= 1; }

static int first_guess(int limit, double step_nanoseconds)
{
    int level = 0;
    while ((limit >> level) > 1 && (limit >> level) * WORTH_A_THREAD > step_nanoseconds)
        level++;
    return level;
}

int fbp_pace_threads(fbp_pace *p, int limit, double step_nanoseconds)
{
    if (p->fixed) return limit;
    if (p->limit != limit) {
        const int64_t rows = p->chunk_rows;
        *p = (fbp_pace){.limit = limit, .direction = -1, .interval = FIRST_INTERVAL};
        p->best = first_guess(limit, step_nanoseconds);
        p->chunks_to_trial = FIRST_INTERVAL;
        p->cold = 1;
        p->chunk_rows = rows;
    }
    p->trial = p->best;
    if (p->chunks_to_trial-- <= 0 && p->cost[p->best] > 0) {
        p->direction = -p->direction;
        const int level = p->best + p->direction;
        if (level == 0 || (level > 0 && !is_last_level(p, level - 1))) p->trial = level;
        p->chunks_to_trial = p->interval;
    }
    return limit >> p->trial > 1 ? limit >> p->trial : 1;
}

static void choose(fbp_pace *p, int level)
{
    p->best = level;
    p->reference = p->cost[level];
    p->interval = FIRST_INTERVAL;
    p->chunks_to_trial = FIRST_INTERVAL;
}

void fbp_pace_report(fbp_pace *p, int64_t rows, int64_t nanoseconds)
{
    const double now = (double)nanoseconds / (double)rows;
    double *cost = &p->cost[p->trial];
    p->chunk_rows = now > 0 ? (int64_t)(CHUNK_NANOSECONDS / now) : rows;
    if (p->cold) { /* threads were started, pages touched: that says nothing of the next chunk */
        p->cold = 0;
        return;
    }
    if (p->trial != p->best) {
        *cost = now;
        if (now < CLEARLY_BETTER * p->cost[p->best])
            choose(p, p->trial);
        else if (p->interval < LONGEST_INTERVAL)
            p->interval *= 2;
        return;
    }
    *cost = *cost > 0 ? 0.75 * *cost + 0.25 * now : now;
    if (p->reference <= 0 || *cost < p->reference) p->reference = *cost;
    if (*cost > SLOWED * p->reference) {
        p->reference = *cost;
        p->interval = FIRST_INTERVAL;
        p->chunks_to_trial = 0;
    }
}

int64_t fbp_pace_rows(const fbp_pace *p, int64_t batch_rows)
{
    const int64_t batches = p->chunk_rows / batch_rows;
    return batch_rows * (batches > 1 ? batches : 1);
}
