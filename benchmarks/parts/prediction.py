# SPDX-License-Identifier: BSD-3-Clause
"""Prediction: one row of digits' shape through the estimator, and all rows of each workload.

Both sides hold the same weights, those that scikit-learn starts with, each in a process of its own
(predictors.py). Their outputs are compared before anything is timed.
"""

from __future__ import annotations

import tempfile
from functools import partial
from statistics import median
from typing import Any

from figures import number, spread
from turns import in_turns, times_sooner

TITLE = "Prediction: times sooner than scikit-learn on float64 X"

SIDES = ("sklearn", "fastbp")
N_CALLS = 2000  # of one row, a round; scikit-learn a tenth
CALLED_ROWS = 20_000  # small X is predicted for several times, up to so many rows
QUICKER = 4  # both are so many times less in a quick run,
QUICK_WORKLOADS = 3  # and so many workloads are enough
COMPARED_ROWS = 1000


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Verify and time both sides."""
    from workers import Worker

    less, n_rounds = QUICKER if settings["quick"] else 1, settings["rounds"]
    found: dict[str, Any] = {"bulk": {}, "bulk_rounds": {}, "rows_per_second": {}}
    with Worker("predictors") as theirs, Worker("predictors") as ours:
        workers = dict(zip(SIDES, (theirs, ours), strict=True))
        for name in settings["workloads"][: QUICK_WORKLOADS if settings["quick"] else None]:
            n_rows = give(workers, name, settings["quick"], settings["download"])
            n_calls = 1 + CALLED_ROWS // less // n_rows
            seconds = in_turns(
                {
                    side: partial(worker.call, "bulk", n_calls=n_calls)
                    for side, worker in workers.items()
                },
                n_rounds,
            )
            found["bulk_rounds"][name] = times_sooner(seconds, "fastbp", "sklearn")
            found["bulk"][name] = median(found["bulk_rounds"][name])
            found["rows_per_second"][name] = n_rows / median(seconds["fastbp"])
        give(workers, "digits")
        calls = {"fastbp": N_CALLS // less, "sklearn": N_CALLS // less // 10}
        seconds = in_turns(
            {side: partial(workers[side].call, "one_row", n_calls=n) for side, n in calls.items()},
            n_rounds,
        )
    found["one_row_us"] = {"": 1e6 * median(seconds["fastbp"])}
    found["sklearn_one_row_us"] = 1e6 * median(seconds["sklearn"])
    found["one_row_rounds"] = times_sooner(seconds, "fastbp", "sklearn")
    return found


def give(workers: dict[str, Any], name: str, quick: bool = False, download: bool = True) -> int:
    """Have both sides take a workload; raise unless they predict the same; return its rows."""
    import numpy as np
    from problem import Problem
    from workloads import load

    workload = load(name, quick=quick, download=download)
    with tempfile.TemporaryDirectory() as folder:
        Problem.of(workload).write(folder)
        for side, worker in workers.items():
            worker.call("load", folder=folder, library=side)
    theirs, ours = (worker.call("outputs", n_rows=COMPARED_ROWS) for worker in workers.values())
    np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-5)
    return len(workload.X)


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    table = [["", "times sooner", "fastbp"]]
    for name, values in found["bulk_rounds"].items():
        rate = found["rows_per_second"][name]
        table.append([name, spread(values), f"{rate / 1e6:,.2f} million rows/s"])
    ours = number(found["one_row_us"][""])
    theirs = number(found["sklearn_one_row_us"])
    table.append(
        ["one row, digits", spread(found["one_row_rounds"]), f"{ours} µs (sklearn {theirs} µs)"]
    )
    return table
