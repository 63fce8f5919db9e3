# SPDX-License-Identifier: BSD-3-Clause
"""The goals as data, and what a report says of each: figure, goal, measured, met or not.

A goal takes from the report a list of named values, and holds each of them to a bound. One whose
values the report does not have was not measured, and is neither met nor missed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Any, NamedTuple

from figures import Report, entries, fastest, mean, number, ratios, share_of_peak
from tables import peers

Values = dict[str, float]

GEOMETRIC_MEAN = "geometric mean"


class Verdict(NamedTuple):
    """A row of the table of goals."""

    figure: str
    goal: str
    measured: str
    met: bool | None  # None: not measured


@dataclass(frozen=True)
class Goal:
    """A figure and the bounds of its values; a name without a bound of its own has the general."""

    figure: str
    goal: str
    values: Callable[[Report], Values]
    bound: float
    bounds: dict[str, float]
    smaller_is_better: bool = False

    def judge(self, report: Report) -> Verdict:
        """Return what a report says of this goal."""
        values = self.values(report)
        if not values:
            return Verdict(self.figure, self.goal, "not measured", None)
        missed = [name for name, value in values.items() if not self._holds(name, value)]
        cells = [
            f"{name} {number(value)}{' ✗' if name in missed and len(values) > 1 else ''}".strip()
            for name, value in values.items()
        ]
        return Verdict(self.figure, self.goal, ", ".join(cells), not missed)

    def _holds(self, name: str, value: float) -> bool:
        bound = self.bounds.get(name, self.bound)
        return value <= bound if self.smaller_is_better else value >= bound


def training_ratios(ours: str, theirs: str, only: tuple[str, ...] = ()) -> Callable[..., Values]:
    """Return a function from a report to the median ratio on each workload."""

    def values(report: Report) -> Values:
        found = {}
        for entry in entries(report, only or None):
            rival = peers(entry, theirs)
            if ours in entry["sides"] and rival is not None:
                found[entry["name"]] = median(ratios(entry, ours, rival))
        return found

    return values


def with_mean(values: Callable[[Report], Values]) -> Callable[[Report], Values]:
    """Put the geometric mean in front of a function's values."""

    def extended(report: Report) -> Values:
        found = values(report)
        return {GEOMETRIC_MEAN: mean(found.values()), **found} if found else {}

    return extended


def held_ratios(report: Report) -> Values:
    """Return the ratios of pinned families to PyTorch held to the same."""
    found = {}
    for family in ("avx512", "avx2"):
        sides = (f"torch {family}", f"torch compiled {family}")
        for entry in entries(report):
            rival = fastest(entry, sides)
            ours = f"fastbp {family}"
            if rival and ours in entry["sides"]:
                found[f"{entry['name']} {family}"] = median(ratios(entry, ours, rival))
    return found


def peak_shares(report: Report) -> Values:
    """Return the avx512 family's share of its peak, in percent, where there is a goal for it."""
    found = {}
    for entry in entries(report, PEAK_GOALS):
        share = share_of_peak(entry, "fastbp avx512", "avx512")
        if share is not None:
            found[entry["name"]] = 100 * share
    return found


def part_values(part: str, key: str) -> Callable[[Report], Values]:
    """Return a function from a report to a part's values by name."""

    def values(report: Report) -> Values:
        found: Values = report.get("parts", {}).get(part, {}).get(key, {})
        return found

    return values


WIDE = ("fmnistw", "covtype", "wide", "photo")
PEAK_GOALS = {"wide": 80.0, "fmnistw": 70.0, "covtype": 70.0, "digits": 40.0}
SCALING = ("adult", "fmnist", "fmnistw", "covtype", "wide", "photo")


def _goal(
    figure: str,
    goal: str,
    values: Callable[[Report], Values],
    bound: float,
    bounds: dict[str, float] | None = None,
    **rest: Any,
) -> Goal:
    return Goal(figure, goal, values, bound, bounds or {}, **rest)


GOALS = [
    _goal(
        "default against scikit-learn, float64 X",
        "mean 10, none under 5",
        with_mean(training_ratios("fastbp", "sklearn")),
        5.0,
        {GEOMETRIC_MEAN: 10.0},
    ),
    _goal(
        "default against the best float32 peer",
        "2 on each",
        training_ratios("fastbp", "best f32 peer"),
        2.0,
    ),
    _goal(
        '"high" against the same',
        "3 on fmnistw, covtype, wide, photo",
        training_ratios("fastbp high", "best f32 peer", WIDE),
        3.0,
    ),
    _goal(
        '"medium" against PyTorch\'s best bfloat16',
        "1.5 on each",
        training_ratios("fastbp medium", "best bf16 peer"),
        1.5,
    ),
    _goal(
        "avx512: share of the measured FMA peak, %",
        "wide 80, fmnistw and covtype 70, digits 40",
        peak_shares,
        0.0,
        PEAK_GOALS,
    ),
    _goal("pinned family against PyTorch held to it", "1.1 on each", held_ratios, 1.1),
    _goal(
        "float64 against scikit-learn float64",
        "mean 3",
        with_mean(training_ratios("fastbp f64", "sklearn")),
        0.0,
        {GEOMETRIC_MEAN: 3.0},
    ),
    _goal(
        "second core",
        "1.7 on adult, fmnist, fmnistw, covtype, wide, photo; 1 on all",
        part_values("threads", "second_core"),
        1.0,
        dict.fromkeys(SCALING, 1.7),
    ),
    _goal(
        "a busy neighbour on one core: times slower",
        "at most 2.2",
        part_values("busy_neighbour", "slowdown"),
        2.2,
        smaller_is_better=True,
    ),
    _goal(
        "one row of predict_proba, digits' shape, µs",
        "at most 8",
        part_values("prediction", "one_row_us"),
        8.0,
        smaller_is_better=True,
    ),
    _goal(
        "bulk prediction against scikit-learn, float64 X",
        "mean 5, none under 3",
        with_mean(part_values("prediction", "bulk")),
        3.0,
        {GEOMETRIC_MEAN: 5.0},
    ),
    _goal(
        "grid search, n_jobs=2, workers warm",
        "10",
        part_values("grid_search", "times_sooner"),
        10.0,
    ),
    _goal("sparse X, 1 % dense, 10,000 columns", "5", part_values("sparse", "times_sooner"), 5.0),
    _goal(
        "import beyond sklearn.neural_network, ms",
        "at most 30",
        part_values("import_time", "milliseconds"),
        30.0,
        smaller_is_better=True,
    ),
    _goal(
        "peak memory of a fit beyond X, times the plan",
        "at most 1.2",
        part_values("peak_memory", "times_plan"),
        1.2,
        smaller_is_better=True,
    ),
]


def judge(report: Report) -> list[Verdict]:
    """Return every goal with what the report says of it."""
    return [goal.judge(report) for goal in GOALS]
