# SPDX-License-Identifier: BSD-3-Clause
"""Several threads, and forked processes: the bits that each would have alone."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS, SOLVERS, digest, draw
from sklearn.datasets import load_digits

from fastbp import BackpropClassifier, BackpropRegressor, _core, _one_fit, _threads

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Python 3.12 warns of what these tests do: os.fork() beside threads.
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


class Waiting:
    """An array that is had only when it may: so a fit is in progress for as long as one likes."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array
        self.asked, self.given = threading.Event(), threading.Event()

    def __array__(self, *args: Any, **kwargs: Any) -> np.ndarray:
        self.asked.set()
        assert self.given.wait(60)
        return self.array.__array__(*args, **kwargs)


def in_child(work: Callable[[], Any]) -> str:
    """Fork; return what the work gives in the child, which ends after 60 seconds at the latest."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            timer = threading.Timer(60, os._exit, [2])
            timer.daemon = True
            timer.start()
            os.write(write, str(work()).encode())
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read()
    assert os.waitpid(child, 0)[1] == 0
    return said


# Two fits on one object


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_second_fit_of_an_estimator_raises(estimator: type, method: str) -> None:
    X, y = draw()
    weight = Waiting(np.ones(len(y)))
    given = {"classes": [0, 1]} if (method, estimator) == ("partial_fit", ESTIMATORS[0]) else {}
    model, alone = (estimator(max_iter=3, random_state=0) for _ in range(2))
    getattr(alone, method)(X, y, sample_weight=weight.array, **given)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(getattr(model, method), X, y, sample_weight=weight, **given)
        try:
            assert weight.asked.wait(60)
            for second in ("fit", "partial_fit"):
                with pytest.raises(RuntimeError, match=f"{estimator.__name__} is being fitted"):
                    getattr(model, second)(X, y)
            assert "coefs_" not in vars(model)
        finally:
            weight.given.set()
        assert first.result() is model
    assert digest(model) == digest(alone)
    model.fit(X, y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_fit_that_has_ended_is_not_in_progress(solver: str) -> None:
    X, y = draw()
    model = BackpropClassifier(solver=solver, max_iter=2)
    for wrong in (X[:5], np.full_like(X, np.nan), Waiting):
        with pytest.raises((ValueError, TypeError)):
            model.fit(wrong, y)
        assert not _one_fit._marks
    model.fit(X, y)
    assert not _one_fit._marks


def test_a_fit_interrupted_anywhere_is_not_in_progress() -> None:
    """Python looks for an interrupt when a function begins, and when a call has returned."""
    X, y = draw()
    model = BackpropRegressor(max_iter=1, random_state=np.random.RandomState(0))
    modules = [sys.modules[f"fastbp.{name}"] for name in ("_callbacks", "_one_fit")]
    names = {"fit_or_restore", "key_of", "begin", "is_set"}
    n_before = n_seen = 0

    def interrupt(frame: Any, event: str, argument: Any) -> None:
        nonlocal n_seen
        code = frame.f_code
        if event == "c_call" or code.co_name not in names:
            return
        if code.co_filename in [module.__file__ for module in modules]:
            n_seen += 1
            if n_seen == n_before + 1:
                raise KeyboardInterrupt

    is_whole = False
    while not is_whole:
        n_seen = 0
        sys.setprofile(interrupt)
        try:
            model.fit(X, y)
            is_whole = True
        except KeyboardInterrupt:
            n_before += 1
        finally:
            sys.setprofile(None)
        assert not _one_fit._marks
    assert n_before > 10
    model.fit(X, y)


def test_different_models_fitted_side_by_side() -> None:
    X, y = load_digits(return_X_y=True)

    def fit(i: int) -> str:
        solver = SOLVERS[i % 3]
        model = BackpropClassifier(30 + i // 3, solver=solver, max_iter=3, random_state=i)
        return digest(model.fit(X, y))

    alone = [fit(i) for i in range(9)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(fit, range(9))) == alone


# Forks


def learn(solver: str = "adam", **params: Any) -> BackpropClassifier:
    X, y = load_digits(return_X_y=True)
    return BackpropClassifier(solver=solver, max_iter=3, random_state=0, **params).fit(X, y)


@needs_fork
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_child_has_the_same_bits_and_one_thread(solver: str) -> None:
    expected = digest(learn(solver))
    assert in_child(lambda: digest(learn(solver))) == expected
    assert in_child(lambda: in_child(lambda: digest(learn(solver)))) == expected
    assert in_child(lambda: (_core.max_threads(), _threads.thread_limit(-1))) == "(1, 1)"


@needs_fork
@pytest.mark.parametrize("solver", SOLVERS)
def test_forks_while_another_thread_trains(solver: str) -> None:
    X, _ = load_digits(return_X_y=True)
    model = learn(solver)
    expected, predicted = digest(model), digest_of(model.predict_proba(X))
    stop = threading.Event()

    def train() -> None:
        while not stop.is_set():
            learn(solver)

    def work() -> bool:
        assert digest_of(model.predict_proba(X)) == predicted
        return digest(learn(solver)) == expected

    thread = threading.Thread(target=train)
    thread.start()
    try:
        for _ in range(10):
            assert in_child(work) == "True"
    finally:
        stop.set()
        thread.join()


def digest_of(array: np.ndarray) -> bytes:
    return array.tobytes()


@needs_fork
def test_a_child_may_fit_what_its_parent_is_fitting() -> None:
    X, y = draw()
    weight = Waiting(np.ones(len(y)))
    model, alone = (BackpropRegressor(max_iter=3, random_state=0) for _ in range(2))
    expected = digest(alone.fit(X, y))
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(model.fit, X, y, sample_weight=weight)
        try:
            assert weight.asked.wait(60)
            assert in_child(lambda: digest(model.fit(X, y))) == expected
        finally:
            weight.given.set()
        first.result()


@needs_fork
def test_a_child_goes_on_with_the_fit_it_was_forked_in() -> None:
    """Its parent's team is lost: what is left of the fit is done by one thread."""
    X, y = load_digits(return_X_y=True)
    parent, n_scored, said = os.getpid(), 0, []

    def score_and_fork(model: Any, X: Any, y: Any) -> float:
        nonlocal n_scored
        n_scored += 1
        if n_scored == 2 and os.getpid() == parent:
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                said.append(write)
                threading.Timer(60, os._exit, [2]).start()
            else:
                os.close(write)
                with os.fdopen(read) as pipe:
                    said.append(pipe.read())
                assert os.waitpid(child, 0)[1] == 0
        return 0.5

    def fit(scoring: Any) -> str:
        model = BackpropClassifier((100, 100), max_iter=5, random_state=0, scoring=scoring)
        model.fit(X, y, X_val=X[:9], y_val=y[:9])
        return digest_of(np.concatenate([coef.ravel() for coef in model.coefs_])).hex()[:10_000]

    expected = fit(lambda model, X, y: 0.5)
    try:
        seen = fit(score_and_fork)
        if os.getpid() != parent:
            os.write(said[0], seen.encode())
            os._exit(0)
    finally:
        if os.getpid() != parent:
            os._exit(1)
    assert seen == expected
    assert said == [expected]


@needs_fork
def test_worker_processes_that_are_forked() -> None:
    expected = digest(learn())
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = [pool.apply_async(learn) for _ in range(4)]
        assert {digest(result.get(60)) for result in results} == {expected}


@needs_fork
def test_blas_threads_after_a_fork_inside_lbfgs() -> None:
    def work() -> tuple[int, bool]:
        with _threads.one_blas_thread:
            pass
        _threads.one_blas_thread.__exit__()  # of the fit that the child was forked in
        with _threads.one_blas_thread:
            return _threads.one_blas_thread.n_inside, True

    with _threads.one_blas_thread:
        assert in_child(work) == "(1, True)"
    assert _threads.one_blas_thread.n_inside == 0


# The interpreter's end

END_BESIDE_WORK = """
import sys, threading, time
import numpy as np
from sklearn.datasets import load_digits
from fastbp import BackpropClassifier, _threads

what, n_threads, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
_threads._cpu_count = _threads._affinity = lambda: n_threads
X, y = load_digits(return_X_y=True)
model = BackpropClassifier((200, 200), max_iter=1, tol=0, n_iter_no_change=np.inf).fit(X, y)
many = np.tile(X, (40, 1))
begun = threading.Event()

def work():
    while True:
        begun.set()
        if what == "predict":
            model.predict_proba(many)
        else:
            BackpropClassifier((200, 200), max_iter=500, solver=what).fit(X, y)

for _ in range(2):
    threading.Thread(target=work, daemon=True).start()
begun.wait()
time.sleep(seconds)
"""


@pytest.mark.parametrize("what", ["adam", "lbfgs", "predict"])
def test_interpreter_ends_beside_a_daemon_at_work(what: str, tmp_path: Path) -> None:
    package = str(Path(_core.__file__).parents[1])
    for n_threads in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", END_BESIDE_WORK, what, n_threads, "0.2"],
            env={**os.environ, "PYTHONPATH": package, "OMP_NUM_THREADS": n_threads},
            cwd=tmp_path, capture_output=True, text=True, timeout=100,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
