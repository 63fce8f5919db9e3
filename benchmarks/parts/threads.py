# SPDX-License-Identifier: BSD-3-Clause
"""How training gains from threads: measured up to those here, computed beyond, to 64.

The computed figures rest on what was measured on one and two threads and on how a step is cut. What
two threads do not halve is taken as serial (Python between epochs, barriers, the batch's tail). The
rest is a rows phase cut into tiles of eight rows and a weights phase cut into tasks of 32 × 48,
each as long as its most loaded thread, shares by operations; two barriers grow with the logarithm
of the threads. It assumes that each thread has a core of the same speed, and bandwidth that grows
with them.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log2
from statistics import median
from typing import Any

from figures import number, spread
from turns import in_turns, times_sooner

TITLE = "Threads: times sooner than one (beyond this machine's: computed, not measured)"

TILE_ROWS = 8
TASK_ROWS, TASK_COLUMNS = 32, 48
COMPUTED = (4, 8, 16, 32, 64)


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Train every workload on 1 … n threads, in turns."""
    import tempfile

    import peer_estimators
    from problem import Problem
    from workloads import load

    limit = settings["threads"]
    counts = [n for n in range(1, limit + 1) if n <= 4 or n == limit or n & (n - 1) == 0]
    found: dict[str, Any] = {"second_core": {}, "speedups": {}, "computed": {}}
    for name in settings["workloads"]:
        problem = Problem.of(load(name, quick=settings["quick"], download=settings["download"]))
        with tempfile.TemporaryDirectory() as folder:
            problem.write(folder)
            peer_estimators.load(folder)
        sides = {
            str(n): lambda n=n: peer_estimators.fit("fastbp", n_jobs=n)["seconds"] for n in counts
        }
        seconds = in_turns(sides, settings["rounds"])
        found["speedups"][name] = {n: times_sooner(seconds, n, "1") for n in seconds}
        if limit > 1:
            found["second_core"][name] = median(found["speedups"][name]["2"])
            n_steps = problem.n_epochs * ceil(len(problem.X) / problem.batch_size)
            one, two = (1e6 * min(seconds[n]) / n_steps for n in ("1", "2"))
            barrier = settings["peaks"].get("barrier_us", 0.0)
            found["computed"][name] = {
                str(n): one / step(one, two, n, problem.units, problem.batch_size, barrier)
                for n in COMPUTED
            }
    return found


def step(
    one: float, two: float, n_threads: int, units: list[int], batch: int, barrier: float
) -> float:
    """Return the computed microseconds of a step from those measured on one thread and two."""
    serial = min(max(2 * two - one, 0.0), one)
    weights = [a * b for a, b in pairwise(units)]
    share = (4 * sum(weights) - 2 * weights[0]) / (6 * sum(weights) - 2 * weights[0])
    n_tasks = sum(ceil(a / TASK_ROWS) * ceil(b / TASK_COLUMNS) for a, b in pairwise(units))
    rows = longest(ceil(batch / TILE_ROWS), n_threads)
    tasks = longest(n_tasks, n_threads)
    barriers = 2 * barrier * log2(n_threads) if n_threads > 2 else 0.0
    return serial + (one - serial) * (share * rows + (1 - share) * tasks) + barriers


def longest(n_pieces: int, n_threads: int) -> float:
    """Return the share of all pieces that the most loaded thread has."""
    return ceil(n_pieces / n_threads) / n_pieces


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    counts = list(dict.fromkeys(n for values in found["speedups"].values() for n in values))
    head = ["", *(f"{n} threads" for n in counts[1:]), *(f"{n} computed" for n in COMPUTED)]
    table = [head]
    for name, values in found["speedups"].items():
        computed = found["computed"].get(name, {})
        table.append(
            [
                name,
                *(spread(values[n]) for n in counts[1:]),
                *(number(computed[str(n)]) if computed else "–" for n in COMPUTED),
            ]
        )
    return table
