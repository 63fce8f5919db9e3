/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where a step's time goes, by phase, as thread 0 sees it. Compiled in by -DFBP_TIME_PHASES, for
 * benchmarks/phases.c; otherwise nothing of it exists.
 */
#ifndef FBP_PHASES_H
#define FBP_PHASES_H

typedef enum {
    FBP_PHASE_PREPARE, /* the step's numbers; the losses' sum */
    FBP_PHASE_GATHER,
    FBP_PHASE_FORWARD,
    FBP_PHASE_LOSS,
    FBP_PHASE_BACKWARD,
    FBP_PHASE_WEIGHTS,
    FBP_PHASE_WAIT, /* in barriers */
    FBP_N_PHASES
} fbp_phase;

#ifdef FBP_TIME_PHASES
extern double fbp_phase_nanoseconds[FBP_N_PHASES];
/* What thread 0 did since its last mark belongs to this phase. */
void fbp_phase_mark(int thread, fbp_phase phase);
#else
#define fbp_phase_mark(thread, phase) ((void)0)
#endif

#endif
