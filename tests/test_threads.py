# SPDX-License-Identifier: BSD-3-Clause
"""How many threads a fit uses, and that it does not matter to the numbers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
from models import draw
from sklearn.datasets import load_digits

from fastbp import BackpropClassifier, BackpropRegressor, _core, _threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(
    ("n_jobs", "expected"), [(None, 6), (1, 1), (4, 4), (9, 6), (-1, 6), (-2, 5), (-9, 1)]
)
def test_thread_limit(n_jobs: int | None, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for smallest in ("_cpu_count", "_affinity", "max_threads"):
        limits = {"_cpu_count": 8, "_affinity": 8, "max_threads": 8, smallest: 6}
        for name, limit in limits.items():
            module = _core if name == "max_threads" else _threads
            monkeypatch.setattr(module, name, lambda limit=limit: limit)
        assert _threads.thread_limit(n_jobs) == expected


def test_thread_limit_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _threads.thread_limit(None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert _threads.thread_limit(None) >= expected


def test_thread_limit_follows_threadpoolctl() -> None:
    with threadpoolctl.threadpool_limits(1):
        assert _threads.thread_limit(None) == 1
        assert _threads.thread_limit(8) == 1


def test_blas_has_one_thread_inside_lbfgs_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def blas_threads() -> set[int]:
        pools = threadpoolctl.threadpool_info()
        return {pool["num_threads"] for pool in pools if pool["user_api"] == "blas"}

    seen = []

    class WatchedNet(_core.Net):
        def loss_gradient(self, *args: Any, **options: Any) -> Any:
            seen.append(blas_threads())
            return super().loss_gradient(*args, **options)

    X, y = draw()
    with threadpoolctl.threadpool_limits(2, "blas"):
        monkeypatch.setattr(_core, "Net", WatchedNet)
        BackpropRegressor(solver="lbfgs", max_iter=3).fit(X, y)
        assert all(threads == {1} for threads in seen)
        assert blas_threads() == {2}
        with _threads.one_blas_thread:
            with pytest.raises(ValueError):
                BackpropRegressor(solver="lbfgs", alpha=1e308).fit(1e200 * X, y)
            assert blas_threads() == {1}
        assert blas_threads() == {2}


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"])
def test_thread_limit_follows_the_environment(variable: str, tmp_path: Path) -> None:
    program = "from fastbp import _threads; print(_threads.thread_limit(None))"
    # The package under test, wherever it is, and not one in the working directory.
    package = str(Path(_core.__file__).parents[1])
    environment = {**os.environ, variable: "1", "PYTHONPATH": package}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "1"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_threads_do_not_change_a_bit(solver: str) -> None:
    X, y = load_digits(return_X_y=True)
    models = [
        BackpropClassifier(solver=solver, max_iter=4, n_jobs=n_jobs, random_state=0).fit(X, y)
        for n_jobs in (1, None)
    ]
    for one, all_threads in zip(models[0].coefs_, models[1].coefs_, strict=True):
        np.testing.assert_array_equal(one, all_threads)
