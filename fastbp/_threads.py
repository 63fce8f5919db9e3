# SPDX-License-Identifier: BSD-3-Clause
"""How many threads a call may use."""

from __future__ import annotations

import os
from functools import lru_cache

import joblib

from . import _core


@lru_cache(maxsize=1)
def _cpu_count() -> int:
    """CPUs that cgroup quotas (v1 and v2, rounded up) and LOKY_MAX_CPU_COUNT leave."""
    return int(joblib.cpu_count())


def _affinity() -> int:
    """CPUs that this process is bound to; asked anew each time, since ``taskset`` changes it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return _cpu_count()


def thread_limit(n_jobs: int | None) -> int:
    """Return the most threads that a call may use; at least 1.

    The OpenMP runtime's own limit carries OMP_NUM_THREADS, threadpoolctl and what joblib leaves to
    its worker processes. A negative ``n_jobs`` counts from the limit: -1 is all, -2 all but one.
    """
    limit = max(1, min(_cpu_count(), _affinity(), _core.max_threads()))
    if n_jobs is None:
        return limit
    if n_jobs < 0:
        return max(1, limit + 1 + n_jobs)
    return min(n_jobs, limit)
