# SPDX-License-Identifier: BSD-3-Clause
"""Cycles of fit, fail, interrupt, predict and pickle hold on to no memory, thread or file.

A cycle fits one kind of estimator, uses it in all ways, then fails to fit it: data that diverge,
data that are refused, a scorer and a callback that raise, an interrupt at a random time. Resident
memory is looked at after some cycles, with which caches fill, and at the end; threads and files
after each.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import gc
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from faults import Planted
from memory_calls import DENSE, MAIN, Call, all_calls

from fastbp import _interrupts

N_SHORT, N_LONG, N_FIRST, N_PLANTED = 150, 10_000, 60, 20
MOST_BYTES = 1 << 20  # that resident memory may grow by
LEAKED_BYTES = 256 << 10  # in a planted cycle
PLANTED = ("memory", "threads", "files")
PAGE = os.sysconf("SC_PAGESIZE")


def resident() -> int:
    """Return the bytes of this process that are in memory, free blocks of the heap left out."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
    return int(Path("/proc/self/statm").read_text("utf-8").split()[1]) * PAGE


def n_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def n_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# What a cycle does


def kinds() -> list[list[Call]]:
    """Return what is done in a cycle, for each kind of estimator: first a fit, then uses of it."""
    groups: list[list[Call]] = []
    for call in all_calls():
        if call.name.startswith("fit, "):
            groups.append([])
        groups[-1].append(call)
    return [group for group in groups if group[0].name.split(", ")[1] in MAIN]


def raising(*args: Any, **options: Any) -> Any:
    raise Planted


class Callback:
    """Raises at the end of an epoch."""

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing to set up."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing to tear down."""

    def on_fit_task_begin(self, estimator: Any, context: Any, **shown: Any) -> None:
        """Nothing to note."""

    on_fit_task_end = raising


def diverge(fit: Call) -> None:
    most = 1e308 if "lbfgs" in fit.name or fit.model.dtype == "float64" else 3e38
    model = copy.deepcopy(fit.model).set_params(activation="identity")
    model.fit(DENSE / np.abs(DENSE).max() * most, fit.y)


def refuse(fit: Call) -> None:
    copy.deepcopy(fit.model).fit(np.where(DENSE > 1, np.nan, DENSE), fit.y)


def raise_in_scorer(fit: Call) -> None:
    model = copy.deepcopy(fit.model)
    if model.solver == "lbfgs":
        raise Planted  # it has no scorer
    model.set_params(early_stopping=True, scoring=raising).fit(DENSE, fit.y)


def raise_in_callback(fit: Call) -> None:
    model = copy.deepcopy(fit.model)
    if not hasattr(model, "set_callbacks"):
        raise Planted  # scikit-learn before 1.9 has none
    model.set_callbacks(Callback()).fit(DENSE, fit.y)


def interrupt(fit: Call) -> None:
    """Interrupt a long fit soon, in whatever it does then; it may keep what it has learnt."""
    model = copy.deepcopy(fit.model).set_params(max_iter=100_000, tol=0, n_iter_no_change=np.inf)
    _interrupts.forget()
    signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-4, 1e-2))
    try:
        fit.run(model)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    if model.interrupted_:
        raise KeyboardInterrupt


FAILURES: dict[Callable[[Call], None], type[BaseException]] = {
    diverge: ValueError,
    refuse: ValueError,
    raise_in_scorer: Planted,
    raise_in_callback: Planted,
    interrupt: KeyboardInterrupt,
}


class Soak:
    """Goes through cycles, and notes what came of them and what they left."""

    def __init__(self, planted: str = "") -> None:
        self.planted = planted
        self.kinds = kinds()
        self.ends: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.leaked: list[Any] = []

    def run(self, n_cycles: int, n_first: int) -> int:
        """Return by how many bytes resident memory grew after the first cycles."""
        for number in range(n_first):
            self.cycle(number)
        counts, before = self.counts(), resident()
        for number in range(n_first, n_cycles):
            self.cycle(number)
            self.leak()
            for what, then, now in zip(("threads", "files"), counts, self.counts(), strict=True):
                if now != then:
                    self.faults[f"{what}: {then} became {now}"] += 1
        grown = resident() - before
        if grown > MOST_BYTES:
            self.faults[f"memory: {grown / 1024:.0f} KiB more"] += 1
        return grown

    def counts(self) -> tuple[int, int]:
        return n_threads(), n_files()

    def cycle(self, number: int) -> None:
        fit, *uses = self.kinds[number % len(self.kinds)]
        fit.run(copy.deepcopy(fit.model))
        for use in uses:
            use.run(copy.deepcopy(use.model))
        for fail, error in FAILURES.items():
            try:
                fail(fit)
            except error:
                self.ends[fail.__name__] += 1
            except KeyboardInterrupt:  # it came after the fit
                self.ends["late interrupt"] += 1
            else:
                self.faults[f"{fail.__name__} did not fail: {fit.name}"] += 1

    def leak(self) -> None:
        """Leak what is planted."""
        if self.planted == "memory":
            self.leaked.append(np.ones(LEAKED_BYTES, np.uint8))
        elif self.planted == "files":
            self.leaked.append(os.open(os.devnull, os.O_RDONLY))
        elif self.planted == "threads":
            threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()


def handle_alarm(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def catches(planted: str) -> bool:
    """Plant a leak in a process of its own, and tell whether it was seen."""
    command = [sys.executable, __file__, "--planted", planted]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode == 1 and f"FAILED {planted}: " in done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="10,000 cycles")
    parser.add_argument("--planted", default="", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(0)
    signal.signal(signal.SIGALRM, handle_alarm)
    n_cycles, n_first = N_LONG if options.exhaustive else N_SHORT, N_FIRST
    if options.planted:
        n_cycles, n_first = N_PLANTED, 10
    elif missed := [what for what in PLANTED if not catches(what)]:
        print(f"planted leaks not seen: {missed}")
        return 1
    else:
        print(f"planted leaks seen: {', '.join(PLANTED)}")
    soak = Soak(options.planted)
    grown = soak.run(n_cycles, n_first)
    for fault, n_times in soak.faults.items():
        print(f"FAILED {fault} ({n_times} times)")
    print(
        f"{n_cycles} cycles, with {dict(soak.ends)}: memory grew by {grown / 1024:.0f} KiB after "
        f"the first {n_first}; {n_threads()} threads, {n_files()} files"
    )
    return bool(soak.faults)


if __name__ == "__main__":
    sys.exit(main())
