# SPDX-License-Identifier: BSD-3-Clause
"""What the raw times of a report mean: speeds, ratios, the best of several peers.

A report is the JSON that run.py writes, in memory or read back; nothing here measures anything.
"""

from __future__ import annotations

from collections.abc import Iterable
from statistics import geometric_mean, median
from typing import Any

Entry = dict[str, Any]  # one workload of a report
Report = dict[str, Any]

#: Peers that compute in float32, in their freest form.
FLOAT32_PEERS = ("sklearn f32", "torch", "torch compiled", "jax")
BFLOAT16_PEERS = ("torch bf16", "torch bf16 compiled")


def entries(report: Report, names: Iterable[str] | None = None) -> list[Entry]:
    """Return a report's workloads, all or those named."""
    found = report.get("workloads", [])
    return found if names is None else [entry for entry in found if entry["name"] in names]


def seconds(entry: Entry, side: str) -> float:
    """Return the median time of one fit."""
    return median(entry["sides"][side]["seconds"])


def speed(entry: Entry, side: str) -> float:
    """Return samples per second, by the median of the rounds."""
    return entry["rows"] * entry["epochs"] / seconds(entry, side)


def gflops(entry: Entry, side: str) -> float:
    """Return the products' arithmetic over all the time that a fit takes."""
    return 1e-9 * speed(entry, side) * entry["operations_per_sample"]


def ratios(entry: Entry, ours: str, theirs: str) -> list[float]:
    """Return how many times sooner `ours` was than `theirs`, in each round."""
    sides = entry["sides"]
    pairs = zip(sides[theirs]["seconds"], sides[ours]["seconds"], strict=True)
    return [slow / fast for slow, fast in pairs]


def fastest(entry: Entry, names: Iterable[str]) -> str | None:
    """Return the fastest of some sides by their medians; None if none of them was timed."""
    timed = [name for name in names if name in entry["sides"]]
    return min(timed, key=lambda name: seconds(entry, name)) if timed else None


def share_of_peak(entry: Entry, side: str, family: str, sustained: bool = False) -> float | None:
    """Return a side's arithmetic as a share of the multiply-add peak in the same minutes.

    The peak is the best of many short runs; what the machine sustained is their mean, which its
    neighbours and its clock lower as they lower the fits.
    """
    peak = entry.get("gflops", {}).get(family)
    if peak is None or side not in entry["sides"]:
        return None
    return gflops(entry, side) / peak[2 if sustained else 1]


def spread(values: list[float]) -> str:
    """Return a median with the least and the greatest."""
    return f"{number(median(values))} ({number(min(values))} to {number(max(values))})"


def number(value: float) -> str:
    """Return a number with two or three digits that count."""
    return f"{value:.2f}" if value < 10 else f"{value:,.1f}" if value < 100 else f"{value:,.0f}"


def mean(values: Iterable[float]) -> float:
    """Return the geometric mean, the one mean of ratios that their direction does not change."""
    return geometric_mean(list(values))
