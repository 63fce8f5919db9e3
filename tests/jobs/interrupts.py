# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C under load: how soon it is answered, and that it leaves whole updates, or what was there.

SIGINT comes from another process at random times: while a fit prepares, trains, searches or ends,
in predictions, scores and gradients, with the default handler and with one that raises. What a fit
keeps must equal a run limited to as many updates; what raises must leave the estimator as it was.
The limits, 100 ms at p99 and 250 ms at most, grow only as the machine stretches other work
meanwhile: a control, some arithmetic between the interrupts, tells by how much.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import scipy.sparse as sp
from sklearn.model_selection import GridSearchCV

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from faults import NET, digest_of_all

from fastbp import BackpropClassifier, BackpropRegressor, _core, _interrupts

P99, MOST = 0.100, 0.250  # seconds
CONTROL = 0.05  # seconds of arithmetic
SENDER = """
import os, sys, time
parent = os.getppid()
for line in sys.stdin:
    for delay in map(float, line.split()):
        time.sleep(delay)
        sent = time.monotonic()
        os.kill(parent, 2)
        print(sent, flush=True)
"""


class Interrupted(Exception):
    """What a signal handler of the user's own raises."""


class Sender:
    """Another process, which sends SIGINT after given times."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SENDER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,  # a real Ctrl-C is not for it
        )

    def start(self, *delays: float) -> None:
        print(*delays, file=self.process.stdin, flush=True)

    def sent(self) -> float:
        return float(self.process.stdout.readline())


@dataclass
class Answer:
    """How one call answered: seconds after the signal; None if the signal came after its end."""

    seconds: float | None
    raised: BaseException | None


def interrupt(sender: Sender, call: Callable[[], Any], delay: float) -> Answer:
    """Make a call, interrupted after some time."""
    _interrupts.forget()
    raised: BaseException | None = None
    over = False
    try:
        sender.start(delay)
        call()
        end = time.monotonic()
        over = True
    except (KeyboardInterrupt, Interrupted) as error:
        end = time.monotonic()
        raised = error
    while True:  # it may come only now
        try:
            sent = sender.sent()
            if over and sent > end - 0.001:
                time.sleep(0.2)
            break
        except (KeyboardInterrupt, Interrupted):
            return Answer(None, None)
    return Answer(end - sent, raised)


# What is interrupted


class Limited:
    """Stands in for the core's networks: training is interrupted after so many updates."""

    left = 0

    def __init__(self, *args: Any, **options: Any) -> None:
        self.net = NET(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.net, name)

    def train(self, X: Any, y: Any, order: Any, batch_rows: int, **options: Any) -> Any:
        n_updates = -(-len(order) // batch_rows)
        if n_updates > self.left:
            if self.left:
                self.net.train(X, y, order[: self.left * batch_rows], batch_rows, **options)
            raise KeyboardInterrupt
        type(self).left -= n_updates
        return self.net.train(X, y, order, batch_rows, **options)


class Torn(Limited):
    """A planted fault: an interrupted training leaves half an update more."""

    def train(self, X: Any, y: Any, order: Any, batch_rows: int, **options: Any) -> Any:
        try:
            return self.net.train(X, y, order, batch_rows, **options)
        except KeyboardInterrupt:
            self.net.train(X, y, order[: batch_rows // 2], batch_rows, **options)
            raise


class Deaf(Limited):
    """A planted fault: signals are not seen for a while."""

    def train(self, *args: Any, **options: Any) -> Any:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        time.sleep(2 * MOST + 0.1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        return self.net.train(*args, **options)


@contextmanager
def networks(kind: type) -> Iterator[None]:
    _core.Net = kind
    try:
        yield
    finally:
        _core.Net = NET


@dataclass
class Case:
    """A kind of call. ``call`` takes the model; ``at`` is the latest time of the interrupt."""

    name: str
    make: Callable[[], Any]
    call: Callable[[Any], Any]
    at: float
    always_raises: bool = False
    share: int = 1  # of the interrupts
    seconds: list[float] = field(default_factory=list)
    kept: int = 0

    def run(self, sender: Sender, faults: list[str]) -> None:
        """Interrupt one call, and check what it left."""
        model = self.make()
        before = digest_of_all(model)
        gc.collect()
        answer = interrupt(sender, lambda: self.call(model), random.uniform(0, self.at))
        if answer.seconds is None:
            return
        self.seconds.append(answer.seconds)
        if answer.raised is not None:
            if digest_of_all(model) != before:
                faults.append(f"{self.name}: {answer.raised!r} changed the estimator")
        elif self.always_raises:
            faults.append(f"{self.name}: an interrupt was not raised")
        elif not model.interrupted_:
            self.seconds.pop()  # it came when all was done
        else:
            self.kept += 1
            faults += [f"{self.name}: {fault}" for fault in torn(model, self)]


def torn(model: Any, case: Case) -> Iterator[str]:
    """Compare what an interrupted fit kept with a run limited to as many updates."""
    twin = case.make()
    if model.solver == "lbfgs" or model.early_stopping:  # whose weights are the best epoch's
        case.call(twin.set_params(max_iter=model.n_iter_))
    else:
        _interrupts.forget()
        before = twin._optimizer.step_count if hasattr(twin, "_optimizer") else 0
        Limited.left = model._optimizer.step_count - before
        with networks(Limited):
            case.call(twin)
        if twin._optimizer.step_count != model._optimizer.step_count or twin.t_ != model.t_:
            yield f"{model.t_} rows counted in {model._optimizer.step_count} updates"
        if digest_of_all(twin._optimizer) != digest_of_all(model._optimizer):
            yield "the solver's state is not that after whole updates"
    if joblib.hash((model.coefs_, model.intercepts_)) != joblib.hash(
        (twin.coefs_, twin.intercepts_)
    ):
        yield "the weights are not those after whole updates"


def draw(n: int, n_features: int, dtype: Any = np.float32) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    X = rng.random((n, n_features), np.float32).astype(dtype) - dtype(0.5)
    return X, rng.integers(0, 3, n)


def maker(estimator: type, **params: Any) -> Callable[[], Any]:
    endless = {"max_iter": 10**6, "max_fun": 10**9, "tol": 0, "n_iter_no_change": np.inf}
    options = {"random_state": 0, "learning_rate_init": 1e-4, **endless, **params}
    return lambda: estimator(**options)


def fitted(model: Any, X: Any, y: Any) -> Any:
    return model.set_params(max_iter=1).fit(X[:500], y[:500])


def cases() -> list[Case]:
    """Return what is interrupted."""
    small, few = draw(2000, 20)
    sparse = sp.random_array((2000, 500), density=0.02, format="csr", dtype=np.float32, rng=0)
    large, many = draw(60_000, 100)
    ordered = np.asfortranarray(draw(1_000_000, 40, np.float64)[0])
    labels = draw(1_000_000, 1)[1]
    wide, of_wide = draw(2048, 1024)
    hidden = {"hidden_layer_sizes": (64, 32), "batch_size": 100}
    broad = {"hidden_layer_sizes": (256, 256)}
    wide_net = {"hidden_layer_sizes": (2048, 2048), "batch_size": 1024}
    C, R = BackpropClassifier, BackpropRegressor

    def fit(X: Any, y: Any, **options: Any) -> Callable[[Any], Any]:
        return lambda model: model.fit(X, y, **options)

    def on(method: str, *data: Any) -> Callable[[Any], Any]:
        return lambda model: getattr(model, method)(*data)

    stopping = {"early_stopping": True, "dropout": 0.2}
    model = fitted(maker(C, **broad)(), large, many)

    def search(model: Any) -> None:
        GridSearchCV(model, {"alpha": [0, 1e-4]}, cv=2, n_jobs=1).fit(small, few)

    found = [
        Case("fit adam", maker(C, **hidden), fit(small, few), 0.3, share=3),
        Case("fit sgd", maker(R, solver="sgd", **hidden), fit(small, few), 0.3, share=3),
        Case("fit lbfgs", maker(C, solver="lbfgs", **hidden), fit(small, few), 0.3, share=3),
        Case("early stopping", maker(C, **stopping, **hidden), fit(small, few), 0.3, share=2),
        Case(
            "clipped, float64",
            maker(R, dtype="float64", max_grad_norm=1.0, **hidden),
            fit(small, few),
            0.3,
        ),
        Case("sparse", maker(C, **hidden), fit(sparse, few), 0.3),
        Case(
            "warm fit",
            lambda: fitted(maker(C, **hidden)(), small, few).set_params(
                warm_start="optimizer", max_iter=10**6
            ),
            fit(small, few),
            0.3,
        ),
        Case(
            "partial_fit",
            lambda: fitted(maker(R, **broad)(), large, many),
            on("partial_fit", large, many),
            0.15,
            True,
        ),
        Case("search", maker(C, **hidden), search, 0.4, True),
        Case("wide", maker(C, **wide_net), fit(wide, of_wide), 2.0, share=2),
        Case("wide, one thread", maker(C, n_jobs=1, **wide_net), fit(wide, of_wide), 2.0),
        Case(
            "lbfgs, one evaluation",
            maker(R, solver="lbfgs", **broad),
            fit(large, many),
            1.0,
            share=2,
        ),
        Case("conversion", maker(C, **hidden), fit(ordered, labels), 0.3),
        Case("weights drawn", maker(C, hidden_layer_sizes=(2000, 2000)), fit(small, few), 0.5),
    ]
    bulk = np.tile(large, (5, 1))
    for method, data in (
        ("predict", (bulk,)),
        ("predict_proba", (np.asfortranarray(bulk),)),
        ("transform", (bulk,)),
        ("score", (bulk, np.tile(many, 5))),
        ("loss_gradient", (large, many)),
    ):
        found.append(Case(method, lambda: model, on(method, *data), 0.1, True))
    return found  # fmt: skip


# The machine


@contextmanager
def load(n: int) -> Iterator[None]:
    """Keep n neighbours busy."""
    command = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(command, process_group=0) for _ in range(n)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def control() -> float:
    """Return by how much the machine stretches some arithmetic now."""
    begin, cpu = time.monotonic(), time.thread_time()
    while time.thread_time() - cpu < CONTROL:
        sum(range(1000))
    return (time.monotonic() - begin) / CONTROL


def p99(values: list[float]) -> float:
    return float(np.quantile(values, 0.99, method="higher"))


def too_slow(seconds: list[float], stretch: float = 1.0) -> bool:
    return p99(seconds) > P99 * stretch or max(seconds) > MOST * stretch


# The job


def catches_planted_faults(sender: Sender, case: Case) -> bool:
    faults: list[str] = []
    with networks(Torn):
        for _ in range(20):
            case.run(sender, faults)
            if faults:
                break
    torn_seen = any("whole updates" in fault for fault in faults)
    model = case.make()
    with networks(Deaf):
        answer = interrupt(sender, lambda: case.call(model), 0.1)
    deaf_seen = answer.seconds is not None and too_slow([answer.seconds])
    case.seconds.clear()
    case.kept = 0
    print(f"planted: a torn update {'seen' if torn_seen else 'NOT SEEN'}, "
          f"a late answer {'seen' if deaf_seen else 'NOT SEEN'}")  # fmt: skip
    return torn_seen and deaf_seen


def second_ones(sender: Sender, case: Case, n: int, faults: list[str]) -> None:
    """Interrupt twice: the second one raises, in the fit or behind it."""
    for _ in range(n):
        _interrupts.forget()
        model, n_raised = case.make(), 0
        before = digest_of_all(model)
        sender.start(random.uniform(0.05, 0.3), random.uniform(0.03, 0.2))
        try:
            for _ in range(2):
                case.call(model)  # the second one would train for ever
        except KeyboardInterrupt:
            n_raised += 1
        for _ in range(2):
            try:
                sender.sent()
                time.sleep(0.05)
            except KeyboardInterrupt:
                n_raised += 1
        if n_raised == 0:
            faults.append("a second interrupt was swallowed")
        if digest_of_all(model) != before and not getattr(model, "interrupted_", False):
            faults.append("a second interrupt changed the estimator")


def own_handler(sender: Sender, case: Case, n: int, faults: list[str]) -> None:
    """Interrupt a fit while a signal handler that raises is installed."""

    def handler(*args: Any) -> None:
        raise Interrupted

    signal.signal(signal.SIGINT, handler)
    try:
        for _ in range(n):
            model = case.make()
            before = digest_of_all(model)
            answer = interrupt(sender, lambda model=model: case.call(model), random.uniform(0, 0.2))
            case.seconds.append(answer.seconds or 0.0)
            if not isinstance(answer.raised, Interrupted) or digest_of_all(model) != before:
                faults.append("a handler's error did not come through, or changed the estimator")
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exhaustive", action="store_true", help="500 interrupts, not 70")
    parser.add_argument("--load", type=int, help="busy neighbours; one per CPU, or one")
    options = parser.parse_args()
    n_wanted = 500 if options.exhaustive else 70
    n_load = options.load
    if n_load is None:
        n_load = len(os.sched_getaffinity(0)) if options.exhaustive else 1
    signal.signal(signal.SIGINT, signal.default_int_handler)
    warnings.simplefilter("ignore")
    random.seed(0)
    sender, found = Sender(), cases()
    order = [case for case in found for _ in range(case.share)]
    faults: list[str] = []
    if not catches_planted_faults(sender, found[0]):
        return 1
    stretches: list[float] = []
    with load(n_load):
        begin = time.monotonic()
        while sum(len(case.seconds) for case in found) < n_wanted:
            case = order[len(stretches) % len(order)]
            stretches.append(control())
            case.run(sender, faults)
            if len(stretches) > 3 * n_wanted:
                faults.append("too many interrupts came too late")
                break
        second_ones(sender, found[0], n_wanted // 20, faults)
        own_handler(sender, found[1], n_wanted // 20, faults)
    print(f"{_core.default_isa()}, {n_load} busy neighbours, {time.monotonic() - begin:.0f} s")
    print(f"{'':24} {'n':>4} {'kept':>5} {'median':>7} {'p99':>7} {'most':>7}   ms")
    for case in found:
        if case.seconds:
            print_line(case.name, case.seconds, str(case.kept))
    everything = [seconds for case in found for seconds in case.seconds]
    stretch = p99(stretches)
    print_line("all", everything)
    median = np.median(stretches)
    print(f"the machine stretched other work {median:.2f} times, {stretch:.2f} at p99")
    if too_slow(everything, max(1.0, stretch)):
        faults.append(f"answers took longer than {P99 * 1e3:.0f} ms at p99, or {MOST * 1e3:.0f} ms")
    for fault in sorted(set(faults)):
        print("FAILED", fault)
    return bool(faults)


def print_line(name: str, seconds: list[float], kept: str = "") -> None:
    figures = [np.median(seconds), p99(seconds), max(seconds)]
    print(f"{name:24} {len(seconds):4} {kept:>5}", *(f"{1e3 * value:7.1f}" for value in figures))


if __name__ == "__main__":
    sys.exit(main())
