# SPDX-License-Identifier: BSD-3-Clause
"""Refused threads, nested forks, predictions side by side, the interpreter's end beside daemons.

Each part runs in processes of its own, with a time limit: what hangs is found, too.

    python tests/jobs/threads.py [--exhaustive] [PART …]
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

LIMIT = 300  # seconds for a process that takes a few; the machine may be busy

# What the processes do


def digest(model: Any) -> str:
    return hashlib.sha256(b"".join(w.tobytes() for w in model.coefs_)).hexdigest()[:12]


@functools.cache
def digits() -> tuple[Any, Any]:
    """Load the data, once: another user might not be let."""
    from sklearn.datasets import load_digits

    return load_digits(return_X_y=True)


def learn(solver: str = "adam", **params: Any) -> Any:
    from fastbp import BackpropClassifier

    X, y = digits()
    return BackpropClassifier(solver=solver, max_iter=2, random_state=0, **params).fit(X, y)


def allow_threads(n: int) -> None:
    """Let a machine with fewer CPUs use so many threads."""
    from fastbp import _threads

    _threads._cpu_count = _threads._affinity = lambda: n  # type: ignore[assignment]


def refused() -> None:
    """Fit on four threads; print the digest, and how many warnings told of refused threads."""
    allow_threads(4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen = digest(learn())
    told = sum("refused to start" in str(warning.message) for warning in caught)
    print(seen, told)


def limited(n_rounds: int) -> None:
    """Fit in new threads of a user whose threads are just enough, or one too few, or two."""
    import resource

    allow_threads(4)
    expected = digest(learn(n_jobs=1))
    os.setuid(61_000 + os.getpid() % 4000)
    seen = []
    for most in (5, 4, 3, 2):  # this one, that of the fit, and its team
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
        for _ in range(n_rounds):
            while len(os.listdir("/proc/self/task")) > 1:
                time.sleep(0.001)
            thread = threading.Thread(target=lambda: seen.append(digest(learn())))
            thread.start()
            thread.join()
    assert seen == [expected] * 4 * n_rounds
    print(len(seen))


def child_status(work: Callable[[], Any], seconds: int) -> int:
    """Fork; return how the child ended that did the work, 14 if it took too long."""
    child = os.fork()
    if child == 0:
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(seconds)
            work()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1]


def forks(n_forks: int) -> None:
    """Fork in chains of four while three threads train and predict; each child does so, too."""
    from fastbp import _core

    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).normal(size=(3000, 64))
    expected = {solver: digest(learn(solver)) for solver in ("adam", "lbfgs")}
    model = learn()
    predicted = model.predict_proba(X).tobytes()
    stop = threading.Event()

    def load(solver: str) -> None:
        while not stop.is_set():
            learn(solver)
            model.predict_proba(X)

    def work(generations: int, turn: int) -> None:
        solver = "lbfgs" if turn % 5 == 0 else "adam"
        assert model.predict_proba(X).tobytes() == predicted
        assert digest(learn(solver)) == expected[solver]
        assert _core.max_threads() == 1
        if generations > 1:
            threading.Thread(target=load, args=("adam",), daemon=True).start()
            assert child_status(lambda: work(generations - 1, turn + 1), LIMIT) == 0

    # What hangs, and what has other bits, must be seen.
    held = threading.Lock()
    with held:
        assert child_status(lambda: held.acquire(), 1) == signal.SIGALRM
    expected["adam"], right = "other", expected["adam"]
    assert child_status(lambda: work(1, 1), LIMIT) != 0
    expected["adam"] = right

    loads = [threading.Thread(target=load, args=(s,)) for s in ("adam", "lbfgs", "sgd")]
    for thread in loads:
        thread.start()
    try:
        for i in range(n_forks // 4):
            assert child_status(lambda i=i: work(4, i), LIMIT) == 0, f"chain {i}"  # type: ignore[misc]
    finally:
        stop.set()
    for thread in loads:
        thread.join()
    print(n_forks // 4 * 4)


def predictions(n_predictions: int) -> None:
    """Predict from eight threads with one model, some rows or many; compare every bit."""
    rng = np.random.default_rng(0)
    model = learn(hidden_layer_sizes=(60, 300))
    X = 8 + 5 * rng.normal(size=(2000, 64))
    expected = model.predict_proba(X)
    wrong: list[int] = []
    counts = [0] * 8

    def work(thread: int, n: int) -> None:
        draw = np.random.default_rng(thread)
        for i in range(n):
            first = int(draw.integers(1900))
            rows = X[first : first + int(draw.integers(1, 50))] if i % 100 else X
            if not i % 100:
                first = 0
            seen = model.predict_proba(rows)
            if seen.tobytes() != expected[first : first + len(rows)].tobytes():
                wrong.append(first)
            counts[thread] += 1

    def all_at_once(n: int) -> None:
        threads = [threading.Thread(target=work, args=(thread, n)) for thread in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # A bit that another thread changes must be seen.
    weights = model.coefs_[0]
    model.coefs_[0] = np.nextafter(weights, 9)
    all_at_once(20)
    assert wrong
    model.coefs_[0] = weights
    wrong.clear()
    counts[:] = [0] * 8

    all_at_once(n_predictions)
    assert not wrong, f"{len(wrong)} wrong"
    print(sum(counts))


def end(what: str, milliseconds: int) -> None:
    """End the interpreter while two daemon threads are at work."""
    warnings.simplefilter("ignore")
    n_threads = 1 + milliseconds % 2
    allow_threads(n_threads)
    model = learn(hidden_layer_sizes=(100, 100))
    X = np.random.default_rng(0).normal(size=(20_000, 64))
    begun = threading.Event()

    def work() -> None:
        while True:
            begun.set()
            if what == "predict":
                model.predict_proba(X)
            elif what == "crash":
                os.abort()
            elif what == "hang":
                time.sleep(1)
            else:
                learn(what, hidden_layer_sizes=(100, 100))

    for _ in range(2):
        threading.Thread(target=work, daemon=what != "hang").start()
    begun.wait()
    time.sleep(milliseconds / 1000)


# The parts


def run(
    *arguments: object, before: tuple[str, ...] = (), limit: int = LIMIT, **variables: str
) -> tuple[int, str, str]:
    """Run this file with a function's name and numbers; return status, output and errors."""
    command = [*before, sys.executable, __file__, "--work", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "OPENBLAS_NUM_THREADS": "1", **variables}
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:  # fmt: skip
        try:
            output, errors = process.communicate(timeout=limit)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, errors = process.communicate()
            return -1, output, errors + "took too long"
    return process.returncode, output.strip(), errors.strip()


def check(name: str, done: tuple[int, str, str], expected: object) -> None:
    if done[:2] != (0, str(expected)):
        said = f"status {done[0]}, printed {done[1]!r}, not {expected}\n{done[2]}"
        raise SystemExit(f"{name}: {said}")


def part_refused(exhaustive: bool) -> str:
    """EAGAIN from clone3, counted in each thread: the first is the trial's, the others a region's.

    Refusals in the middle of a trial are those of ``part_limited`` and of tests/c/test_team.c.
    """
    status, alone, errors = run("refused")
    assert status == 0, errors
    bits = alone.split()[0]
    assert alone == f"{bits} 0"

    def inject(when: str) -> tuple[int, str, str]:
        log = os.path.join(os.environ["JOBS_WORK"], "strace.log")
        what = f"inject=clone3,clone:error=EAGAIN:when={when}"
        strace = ("strace", "-f", "-o", log, "-e", "trace=clone3,clone", "-e", what)
        return run("refused", before=strace)

    # What no trial has seen ends the process: that is what the injection does.
    status, _, errors = inject("2+")
    assert status == 1 and "Thread creation failed" in errors, (status, errors)
    cases = ["1", "1+"]
    for when in cases:
        check(f"refused {when}", inject(when), f"{bits} 1")
    return f"{len(cases)} injections: same bits, one warning each"


def part_limited(exhaustive: bool) -> str:
    """A limit on a user's processes, where joined threads count for some microseconds more."""
    if os.getuid() != 0:
        return "left out: only root can become a user without other processes"
    n_rounds = 100 if exhaustive else 10
    check("limited", run("limited", n_rounds), 4 * n_rounds)
    return f"{4 * n_rounds} fits in new threads at and below the limit: same bits"


def part_forks(exhaustive: bool) -> str:
    n_forks = 1000 if exhaustive else 40
    check("forks", run("forks", n_forks, limit=4000), n_forks)
    return f"{n_forks} forks, in chains of four, beside three threads at work: same bits, no hang"


def part_predictions(exhaustive: bool) -> str:
    n_predictions = 10_000 if exhaustive else 500
    check("predictions", run("predictions", n_predictions, limit=4000), 8 * n_predictions)
    return f"8 threads × {n_predictions} predictions with one model: same bits"


def part_ends(exhaustive: bool) -> str:
    """At another moment each time."""
    assert run("end", "crash", 1)[0] == -signal.SIGABRT
    assert run("end", "hang", 1, limit=15)[0] == -1
    n_ends = 300 if exhaustive else 6
    draw = np.random.default_rng(0)
    for i in range(n_ends):
        what = ("adam", "predict", "lbfgs", "sgd")[i % 4]
        status, _, errors = run("end", what, int(draw.integers(100)))
        assert (status, errors) == (0, ""), (what, status, errors)
    return f"{n_ends} interpreters ended beside daemons at work: no crash, no hang"


PARTS = {name[5:]: part for name, part in list(globals().items()) if name.startswith("part_")}
WORK = {work.__name__: work for work in (refused, limited, forks, predictions, end)}


def main() -> None:
    if sys.argv[1:2] == ["--work"]:
        WORK[sys.argv[2]](*(int(x) if re.fullmatch(r"\d+", x) else x for x in sys.argv[3:]))
        return
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--exhaustive", action="store_true", help="the long forms")
    options = parser.parse_args()
    assert shutil.which("strace"), "strace is needed"
    for name in options.parts or PARTS:
        begin = time.monotonic()
        said = PARTS[name](options.exhaustive)
        print(f"{name}: {said} ({time.monotonic() - begin:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
