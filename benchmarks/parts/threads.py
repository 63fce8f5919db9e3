# SPDX-License-Identifier: BSD-3-Clause
"""How training gains from threads, up to those that are here (parts/phases.py computes beyond)."""

from __future__ import annotations

from statistics import median
from typing import Any

from figures import spread
from turns import in_turns, times_sooner

TITLE = "Threads: times sooner than with n_jobs=1"


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Train every workload on 1 … n threads, in turns."""
    import tempfile
    from functools import partial

    import peer_estimators
    from problem import Problem
    from workloads import load

    limit = settings["threads"]
    counts = [n for n in range(1, limit + 1) if n <= 4 or n == limit or n & (n - 1) == 0]

    def fit(n_threads: int) -> float:
        seconds: float = peer_estimators.fit("fastbp", n_jobs=n_threads)["seconds"]
        return seconds

    found: dict[str, Any] = {"second_core": {}, "speedups": {}}
    for name in settings["workloads"]:
        workload = load(name, quick=settings["quick"], download=settings["download"])
        with tempfile.TemporaryDirectory() as folder:
            Problem.of(workload).write(folder)
            peer_estimators.load(folder)
        seconds = in_turns({str(n): partial(fit, n) for n in counts}, settings["rounds"])
        found["speedups"][name] = {n: times_sooner(seconds, n, "1") for n in seconds}
        if limit > 1:
            found["second_core"][name] = median(found["speedups"][name]["2"])
    return found


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    counts = list(dict.fromkeys(n for values in found["speedups"].values() for n in values))
    table = [["", *(f"{n} threads" for n in counts[1:])]]
    for name, values in found["speedups"].items():
        table.append([name, *(spread(values[n]) for n in counts[1:])])
    return table
