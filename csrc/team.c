/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the caller may know of the threads.
 */
#include "fbp.h"
#include "team.h"

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
