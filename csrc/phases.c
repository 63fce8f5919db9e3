/* SPDX-License-Identifier: BSD-3-Clause */
/* See phases.h. */
#include "phases.h"

#ifdef FBP_TIME_PHASES
#include "team.h"

double fbp_phase_nanoseconds[FBP_N_PHASES];

void fbp_phase_mark(int thread, fbp_phase phase)
{
    static int64_t last;
    if (thread != 0) return;
    const int64_t now = fbp_nanoseconds();
    if (last > 0) fbp_phase_nanoseconds[phase] += (double)(now - last);
    last = now;
}
#endif
