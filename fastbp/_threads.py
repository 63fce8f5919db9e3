# SPDX-License-Identifier: BSD-3-Clause
"""How many threads a call may use, and how many BLAS may use beside it."""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from numbers import Integral
from typing import Any

import joblib
from threadpoolctl import ThreadpoolController

from . import _core
from ._cgroups import cpu_quota


@lru_cache(maxsize=1)
def _cpu_count() -> int:
    """CPUs that cgroup quotas and LOKY_MAX_CPU_COUNT leave.

    joblib looks at the quota where a container has it, not at those of a service or a slice.
    """
    count = int(joblib.cpu_count())
    quota = cpu_quota()
    return count if quota is None else min(count, quota)


def _affinity() -> int:
    """CPUs that this process is bound to; asked anew each time, since ``taskset`` changes it."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return _cpu_count()


def thread_limit(n_jobs: int | None) -> int:
    """Return the most threads that a call may use; at least 1.

    The OpenMP runtime's own limit carries OMP_NUM_THREADS, threadpoolctl and what joblib leaves to
    its worker processes. A negative ``n_jobs`` counts from the limit: -1 is all, -2 all but one.
    Where it is None, that of ``joblib.parallel_config`` takes its place, if one is in force.
    """
    if n_jobs is not None and not _is_number_of_jobs(n_jobs):
        raise ValueError(f"n_jobs must be None or an integer other than 0, got {n_jobs!r}.")
    limit = max(1, min(_cpu_count(), _affinity(), _core.max_threads()))
    if n_jobs is None:
        n_jobs = _n_jobs_in_force()
    if n_jobs is None:
        return limit
    if n_jobs < 0:
        return max(1, limit + 1 + n_jobs)
    return min(n_jobs, limit)


def _is_number_of_jobs(value: Any) -> bool:
    return isinstance(value, Integral) and value != 0


def _n_jobs_in_force() -> Any:
    if not hasattr(joblib, "parallel_config"):  # before 1.3, where 1 may mean that none is
        return None
    n_jobs = joblib.parallel.get_active_backend()[1]
    return n_jobs if _is_number_of_jobs(n_jobs) else None


class _OneBlasThread:
    """Holds BLAS to one thread as long as any fit is inside.

    SciPy's L-BFGS spends microseconds on vectors between two evaluations: a team of threads costs
    it more than it gains, forty times as much beside a busy neighbour, and changes the last bits.
    """

    def __init__(self) -> None:
        self.reset()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self.reset)  # the lock may be held by a lost thread

    def reset(self) -> None:
        self.lock = threading.Lock()
        self.n_inside = 0
        self.limiter: Any = None

    def __enter__(self) -> None:
        with self.lock:
            if self.n_inside == 0:
                self.limiter = _threadpools().limit(limits=1, user_api="blas")
            self.n_inside += 1

    def __exit__(self, *error: object) -> None:
        with self.lock:
            if self.n_inside == 0:  # in a child, of a fit that had begun before the fork
                return
            self.n_inside -= 1
            if self.n_inside == 0:
                self.limiter.restore_original_limits()


@lru_cache(maxsize=1)
def _threadpools() -> ThreadpoolController:
    return ThreadpoolController()


one_blas_thread = _OneBlasThread()
