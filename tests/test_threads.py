# SPDX-License-Identifier: BSD-3-Clause
"""How many threads a fit uses, and that it does not matter to the numbers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import threadpoolctl
from models import draw
from sklearn.datasets import load_digits

from fastbp import BackpropClassifier, BackpropRegressor, _base, _core, _threads

#: The package under test, wherever it is, and not one in the working directory.
PACKAGE = str(Path(_core.__file__).parents[1])

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


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_n_jobs_of_an_estimator_counts(solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def limit(n_jobs: int | None) -> int:
        asked.append(n_jobs)
        return 1

    monkeypatch.setattr(_base, "thread_limit", limit)
    X, y = np.eye(40), np.arange(40) % 3
    model = BackpropClassifier(solver=solver, n_jobs=3, max_iter=1).fit(X, y)
    for call in (model.transform, lambda X: model.loss_gradient(X, y)):
        n_asked = len(asked)
        call(X)
        assert len(asked) > n_asked
    assert set(asked) == {3}


def test_thread_limit_without_affinity(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _threads.thread_limit(None)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert _threads.thread_limit(None) >= expected


def test_thread_limit_follows_threadpoolctl() -> None:
    with threadpoolctl.threadpool_limits(1):
        assert _threads.thread_limit(None) == 1
        assert _threads.thread_limit(8) == 1


def test_thread_limit_follows_joblib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_cpu_count", "_affinity"):
        monkeypatch.setattr(_threads, name, lambda: 8)
    monkeypatch.setattr(_core, "max_threads", lambda: 8)

    def seen() -> int:
        return _threads.thread_limit(None)

    if hasattr(joblib, "parallel_config"):
        for n_jobs, expected in ((3, 3), (1, 1), (-2, 7), (99, 8)):
            with joblib.parallel_config("threading", n_jobs=n_jobs):
                assert seen() == expected
                assert _threads.thread_limit(2) == 2
    # Teams of fits side by side share the threads; no fit is held to one for all its life.
    for backend in ("threading", "loky"):
        limits = joblib.Parallel(2, backend=backend)([joblib.delayed(_threads.thread_limit)(None)])
        assert limits == [8 if backend == "threading" else 1]
    assert seen() == 8


@pytest.mark.skipif(shutil.which("taskset") is None, reason="no taskset here")
def test_thread_limit_follows_taskset(tmp_path: Path) -> None:
    program = "from fastbp import _threads; print(_threads.thread_limit(None))"
    for cpu in sorted(os.sched_getaffinity(0))[:2]:
        command = ["taskset", "-c", str(cpu), sys.executable, "-c", program]
        environment = {**os.environ, "PYTHONPATH": PACKAGE, "OMP_NUM_THREADS": "9"}
        ran = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
        assert ran.stdout.strip() == "1", ran.stderr


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


@pytest.mark.parametrize("variable", ["OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "LOKY_MAX_CPU_COUNT"])
def test_thread_limit_follows_the_environment(variable: str, tmp_path: Path) -> None:
    program = "from fastbp import _threads; print(_threads.thread_limit(None))"
    assert run(program, tmp_path, **{variable: "1"}) == ["1"]


def run(program: str, folder: Path, **variables: str) -> list[str]:
    """Return the words that a program prints, in a process with such variables."""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": PACKAGE, **variables},
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_threads_do_not_change_a_bit(solver: str) -> None:
    X, y = load_digits(return_X_y=True)
    models = [
        BackpropClassifier(solver=solver, max_iter=4, n_jobs=n_jobs, random_state=0).fit(X, y)
        for n_jobs in (1, None)
    ]
    for one, all_threads in zip(models[0].coefs_, models[1].coefs_, strict=True):
        np.testing.assert_array_equal(one, all_threads)


REFUSED_THREADS = """
import ctypes, os, pickle, warnings
from sklearn.datasets import load_digits
from fastbp import BackpropClassifier, _core, _threads

_threads._cpu_count = _threads._affinity = lambda: 4
refuse_threads = ctypes.CDLL(os.environ["LD_PRELOAD"]).refuse_threads
n_running = lambda: len(os.listdir("/proc/self/task"))
X, y = load_digits(return_X_y=True)
fit = lambda **given: BackpropClassifier(max_iter=3, random_state=0, **given).fit(X, y)
warnings.simplefilter("ignore")
expected = [pickle.dumps(fit(n_jobs=1, solver=solver).coefs_) for solver in ("adam", "lbfgs")]

refuse_threads(1)
before = n_running()
model = BackpropClassifier(max_iter=3)
with warnings.catch_warnings():
    warnings.simplefilter("error", RuntimeWarning)
    try:
        model.fit(X, y)
    except RuntimeWarning:
        print("raised", len(vars(model)) == len(vars(BackpropClassifier())))
_core._told_of_threads = False
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        for solver, bits in zip(("adam", "lbfgs"), expected):
            model = fit(solver=solver)
            print(pickle.dumps(model.coefs_) == bits)
    model.predict(X.repeat(20, axis=0))
print(*(w.category.__name__ for w in caught if w.category.__name__ == "RuntimeWarning"))
print(n_running() == before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="preloads a library")
def test_threads_that_the_system_refuses(tmp_path: Path) -> None:
    compiler = os.environ.get("CC", "cc").split()
    assert shutil.which(compiler[0])
    library, source = tmp_path / "refused.so", Path(__file__).with_name("refused_threads.c")
    subprocess.run([*compiler, "-shared", "-fPIC", source, "-ldl", "-o", library], check=True)
    told = run(REFUSED_THREADS, tmp_path, LD_PRELOAD=str(library), OMP_NUM_THREADS="4")
    assert told == ["raised", "True", *["True"] * 4, "RuntimeWarning", "True"]
