/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is known of threads across the process: how many teams run, what OpenMP allows.
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

int fbp_max_threads(void)
{
#ifdef _OPENMP
    return omp_get_max_threads();
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
