# SPDX-License-Identifier: BSD-3-Clause
"""One core kept busy by another process: how many times slower a fit becomes.

The neighbour spins on one CPU and is stopped and continued between fits, so that the cases are
timed in turns. Beside it fastbp is also held to one thread: all of them should not be slower.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from figures import spread
from turns import in_turns, times_sooner

TITLE = "A busy neighbour on one core"

#: The workload on which scikit-learn is timed, too: it can take forty times as long.
SLOW = "digits"


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time fits with and without the neighbour."""
    import os
    import signal
    import subprocess
    import sys
    import tempfile
    from functools import partial

    import peer_estimators
    from problem import Problem
    from workloads import load

    cpu = max(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    pin = "" if cpu is None else f"import os; os.sched_setaffinity(0, [{cpu}])\n"
    neighbour = subprocess.Popen([sys.executable, "-c", pin + "while True: pass"])
    os.kill(neighbour.pid, signal.SIGSTOP)

    def fit(library: str, busy: bool, **parameters: Any) -> float:
        if busy:
            os.kill(neighbour.pid, signal.SIGCONT)
        try:
            seconds: float = peer_estimators.fit(library, **parameters)["seconds"]
            return seconds
        finally:
            os.kill(neighbour.pid, signal.SIGSTOP)

    found: dict[str, Any] = {"slowdown": {}, "against_one_thread": {}, "rounds": {}}
    try:
        for name in settings["workloads"]:
            workload = load(name, quick=settings["quick"], download=settings["download"])
            with tempfile.TemporaryDirectory() as folder:
                Problem.of(workload).write(folder)
                peer_estimators.load(folder)
            sides = {
                "alone": partial(fit, "fastbp", False),
                "busy": partial(fit, "fastbp", True),
                "busy, one thread": partial(fit, "fastbp", True, n_jobs=1),
            }
            seconds = in_turns(sides, settings["rounds"])
            slower = times_sooner(seconds, "alone", "busy")
            sooner = times_sooner(seconds, "busy", "busy, one thread")
            found["slowdown"][name] = median(slower)
            found["against_one_thread"][name] = median(sooner)
            found["rounds"][name] = [slower, sooner]
            if name == SLOW:
                sides = {
                    "alone": partial(fit, "sklearn", False),
                    "busy": partial(fit, "sklearn", True),
                }
                theirs = in_turns(sides, 2)
                found["rounds"][f"{name}, sklearn"] = [times_sooner(theirs, "alone", "busy"), []]
    finally:
        neighbour.kill()
        neighbour.wait()
    return found


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    table = [["", "times slower than alone", "times sooner than one thread beside it"]]
    for name, (slower, sooner) in found["rounds"].items():
        table.append([name, spread(slower), spread(sooner) if sooner else "–"])
    return table
