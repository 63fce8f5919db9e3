# SPDX-License-Identifier: BSD-3-Clause
"""Where the time of a fit goes: the core's epochs, and Python before, between and after them."""

from __future__ import annotations

from math import ceil
from statistics import median
from typing import Any

TITLE = "Where a fit's time goes (median, all threads)"


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time whole fits, and inside them the core's calls."""
    import tempfile
    import time

    import peer_estimators
    from problem import Problem
    from workloads import load

    from fastbp import _core

    class TimedNet(_core.Net):
        """A network that adds up the time spent in `train`, and the time of its last return."""

        spent = 0.0

        def train(self, *args: Any, **kwargs: Any) -> Any:
            start = time.perf_counter()
            progress = super().train(*args, **kwargs)
            TimedNet.spent += time.perf_counter() - start
            return progress

    _core.Net = TimedNet  # type: ignore[misc]
    found = {}
    for name in settings["workloads"]:
        problem = Problem.of(load(name, quick=settings["quick"], download=settings["download"]))
        with tempfile.TemporaryDirectory() as folder:
            problem.write(folder)
            peer_estimators.load(folder)
        fits, cores = [], []
        for _ in range(settings["rounds"] + 1):
            TimedNet.spent = 0.0
            fits.append(peer_estimators.fit("fastbp")["seconds"])
            cores.append(TimedNet.spent)
        # The first warms up.
        outside = [fit - core for fit, core in zip(fits[1:], cores[1:], strict=True)]
        n_steps = problem.n_epochs * ceil(len(problem.X) / problem.batch_size)
        found[name] = {
            "step_us": 1e6 * median(fits[1:]) / n_steps,
            "core_step_us": 1e6 * median(cores[1:]) / n_steps,
            "outside_us_per_epoch": 1e6 * median(outside) / problem.n_epochs,
            "aim_us_per_epoch": 50 + 0.015 * len(problem.X),
            "epochs": problem.n_epochs,
        }
    return found


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    table = [["", "step µs", "in the core", "outside, µs an epoch", "aim for many epochs"]]
    for name, values in found.items():
        table.append(
            [
                f"{name} ({values['epochs']} epochs)",
                f"{values['step_us']:,.1f}",
                f"{values['core_step_us']:,.1f}",
                f"{values['outside_us_per_epoch']:,.0f}",
                f"{values['aim_us_per_epoch']:,.0f}",
            ]
        )
    return table
