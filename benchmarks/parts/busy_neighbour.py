# SPDX-License-Identifier: BSD-3-Clause
"""One core kept busy by another process: how many times slower a fit becomes.

The neighbour spins on one CPU and is stopped and continued between fits, so that the two cases are
timed in turns.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from figures import spread
from turns import in_turns, times_sooner

TITLE = "A busy neighbour on one core: times slower"

WORKLOADS = ("digits", "adult", "covtype")


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time fits with and without the neighbour; scikit-learn's on digits, for comparison."""
    import os
    import signal
    import subprocess
    import sys
    import tempfile

    import peer_estimators
    from problem import Problem
    from workloads import load

    cpu = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    pin = "" if cpu is None else f"import os; os.sched_setaffinity(0, [{cpu}])\n"
    neighbour = subprocess.Popen([sys.executable, "-c", pin + "while True: pass"])
    os.kill(neighbour.pid, signal.SIGSTOP)

    def fit(library: str, busy: bool) -> float:
        if busy:
            os.kill(neighbour.pid, signal.SIGCONT)
        try:
            seconds: float = peer_estimators.fit(library)["seconds"]
            return seconds
        finally:
            os.kill(neighbour.pid, signal.SIGSTOP)

    found: dict[str, Any] = {"slowdown": {}, "rounds": {}}
    try:
        for name in WORKLOADS:
            workload = load(name, quick=settings["quick"], download=settings["download"])
            with tempfile.TemporaryDirectory() as folder:
                Problem.of(workload).write(folder)
                peer_estimators.load(folder)
            for library in ("fastbp", "sklearn")[: 2 if name == "digits" else 1]:
                sides = {
                    "alone": lambda library=library: fit(library, False),
                    "busy": lambda library=library: fit(library, True),
                }
                n_rounds = settings["rounds"] if library == "fastbp" else 2
                slower = times_sooner(in_turns(sides, n_rounds), "alone", "busy")
                found["rounds"][f"{name}, {library}"] = slower
                if library == "fastbp":
                    found["slowdown"][name] = median(slower)
    finally:
        neighbour.kill()
        neighbour.wait()
    return found


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    return [
        ["", "times slower"],
        *([name, spread(values)] for name, values in found["rounds"].items()),
    ]
