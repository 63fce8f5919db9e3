# SPDX-License-Identifier: BSD-3-Clause
"""Verify, then time: training, side by side.

Each side's first fit must reach the reference's losses, epoch by epoch. Then the sides are timed in
turns, round after round, so that ratios can be taken within a round, and a machine that slows down
slows both sides of a ratio.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable
from itertools import pairwise
from statistics import median
from typing import Any

from machine import Peak
from peers import Side, agrees, deviation
from problem import Problem
from workers import Worker, WorkerError
from workloads import Workload

#: Seconds for another library's threads to stop spinning before the next side starts; those of
#: OpenBLAS take 0.1.
PAUSE = 0.2
#: Seconds that one measurement of a multiply-add peak takes, around each workload.
PEAK_SECONDS = 0.1
#: Both are so many times less in a quick run.
QUICKER = 4


class Pool:
    """The processes of the contestants, all started at once: they load their libraries together."""

    def __init__(self, sides: Iterable[Side]) -> None:
        self._workers: dict[Any, Worker] = {}
        for side in sides:
            if side.process not in self._workers:
                self._workers[side.process] = Worker(side.module, side.environment)
        self._loaded: set[Any] = set()
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def give(self, problem: Problem) -> None:
        """Let every fit from now on be of this problem."""
        self._forget_folder()
        self._folder = tempfile.TemporaryDirectory()
        problem.write(self._folder.name)
        self._loaded.clear()

    def fit(self, side: Side, record: bool = False) -> dict[str, Any]:
        """Have a side train a new network; return its losses and its seconds."""
        assert self._folder is not None
        worker = self._workers[side.process]
        if side.process not in self._loaded:
            worker.call("load", folder=self._folder.name)
            self._loaded.add(side.process)
        result: dict[str, Any] = worker.call("fit", record=record, **side.arguments)
        return result

    def _forget_folder(self) -> None:
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._workers.values():
            worker.close()
        self._forget_folder()


def measure_workload(
    workload: Workload,
    sides: list[Side],
    pool: Pool,
    n_rounds: int,
    peak: Peak | None = None,
    families: Iterable[str] = (),
    n_threads: int = 1,
    quick: bool = False,
) -> dict[str, Any]:
    """Verify and time all sides on a workload.

    The result is the workload's entry in a report: its sizes, the sides timed, in `wrong` those
    that learnt something else, in `failed` those that could not run, and the peaks of the families
    in those minutes: the best seen on one thread and on all, and what all sustained.
    """
    entry = describe(workload)
    pool.give(Problem.of(workload))
    less = QUICKER if quick else 1
    reference: list[float] | None = None
    for side in sides:
        try:
            losses = pool.fit(side, record=True)["losses"]
        except WorkerError as error:
            entry["failed"][side.name] = str(error)
            continue
        reference = reference or losses
        distance = deviation(losses, reference)
        if agrees(side, losses, reference):
            entry["sides"][side.name] = {"loss": losses[-1], "deviation": distance, "seconds": []}
        else:
            entry["wrong"][side.name] = (
                f"ends at loss {losses[-1]:.6g}, {sides[0].name} at {reference[-1]:.6g};"
                f" the furthest epoch differs by {distance:.0e}"
            )
    peaks = [_peaks(peak, families, n_threads, PEAK_SECONDS / less)]
    for _ in range(n_rounds):
        for side in sides:
            if side.name in entry["sides"]:
                time.sleep(PAUSE / less)
                entry["sides"][side.name]["seconds"].append(pool.fit(side)["seconds"])
        peaks.append(_peaks(peak, families, n_threads, PEAK_SECONDS / less))
    for name in peaks[0]:
        one, all_threads, sustained = zip(*(found[name] for found in peaks), strict=True)
        entry["gflops"][name] = [max(one), max(all_threads), median(sustained)]
    return entry


def describe(workload: Workload) -> dict[str, Any]:
    """Return a workload's entry before anything is measured."""
    spec = workload.spec
    units = [spec.n_features, *spec.hidden, spec.n_outputs]
    return {
        "name": spec.name,
        "source": workload.source,
        "rows": len(workload.X),
        "features": spec.n_features,
        "hidden": list(spec.hidden),
        "outputs": spec.n_outputs,
        "batch": spec.batch_size,
        "epochs": workload.n_epochs,
        "weights": sum(a * b for a, b in pairwise(units)),
        "operations_per_sample": workload.operations_per_sample,
        "gflops": {},
        "sides": {},
        "wrong": {},
        "failed": {},
    }


def _peaks(
    peak: Peak | None, families: Iterable[str], n_threads: int, seconds: float
) -> dict[str, list[float]]:
    """Return each family's multiply-add peak now, on one thread and on all."""
    found: dict[str, list[float]] = {}
    for family in families if peak else ():
        found |= peak.measure(n_threads, seconds, family)["gflops"] if peak else {}
    return found
