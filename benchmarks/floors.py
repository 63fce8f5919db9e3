# SPDX-License-Identifier: BSD-3-Clause
"""The least time that a training step can take, from its operations and its bytes.

Operations: those of the products, over the measured peak of the units that compute them. Bytes: the
batch's rows once from where X lies, and per weight and step W and Wᵀ read by the products, W and
two moments read and written and Wᵀ written by the update (36 bytes), over the measured bandwidth of
the level that holds X, and of the level that holds all weights and moments. The floor is the larger
of the two sums, as if one were wholly hidden behind the other; barriers, losses, Adam's divisions
and Python come on top.
"""

from __future__ import annotations

from math import ceil
from typing import Any, NamedTuple

from figures import Entry, Report, seconds

BYTES_PER_WEIGHT = 36  # read and written in a step
STATE_PER_WEIGHT = 16  # W, Wᵀ and two moments
#: Tile products that make one product, where the family has tiles.
TILE_PRODUCTS = {"fastbp": 6, "fastbp high": 3, "fastbp medium": 1}


class Floor(NamedTuple):
    """Microseconds of one step."""

    operations: float
    bytes: float
    measured: float

    @property
    def least(self) -> float:
        """The floor itself."""
        return max(self.operations, self.bytes)


def floor(report: Report, entry: Entry, side: str, family: str) -> Floor | None:
    """Return a side's floor on a workload and the step measured; None without the peaks."""
    peak = best_gflops(report, entry, side, family)
    limits = report.get("peaks", {})
    if peak is None or "memory_gbs" not in limits or side not in entry["sides"]:
        return None
    n_steps = ceil(entry["rows"] / entry["batch"])
    operations = entry["operations_per_sample"] * entry["rows"] / n_steps / (1e3 * peak)
    x_bytes = 8 * entry["features"] * entry["rows"]
    state_bytes = STATE_PER_WEIGHT * entry["weights"]
    moved = x_bytes / n_steps / (1e3 * bandwidth(report, x_bytes))
    moved += BYTES_PER_WEIGHT * entry["weights"] / (1e3 * bandwidth(report, state_bytes))
    measured = 1e6 * seconds(entry, side) / (n_steps * entry["epochs"])
    return Floor(operations, moved, measured)


def best_gflops(report: Report, entry: Entry, side: str, family: str) -> float | None:
    """Return the peak that bounds a side's products, on all threads, in float32 operations."""
    limits = report.get("peaks", {}).get("gflops", {})
    if family == "amx" and side in TILE_PRODUCTS:
        tiles = limits.get("amx")
        return tiles and tiles[1] / TILE_PRODUCTS[side]
    if side == "fastbp medium" and "avx512bf16" in report["environment"]["isas"]:
        pairs = limits.get("avx512bf16")
        return pairs and pairs[1]
    fma = entry.get("gflops", {}).get("avx512" if family == "amx" else family)
    return fma and fma[1] * (0.5 if side == "fastbp f64" else 1.0)


def bandwidth(report: Report, n_bytes: float) -> float:
    """Return GB/s, all threads, from the level that holds so many bytes; the L2s count as free."""
    caches: dict[str, Any] = report["environment"].get("caches", {})
    n_threads = report["environment"]["threads"]
    if n_bytes <= n_threads * caches.get("L2", 0):
        return float("inf")
    level = "l3_gbs" if n_bytes <= caches.get("L3", 0) else "memory_gbs"
    return float(report["peaks"][level][1])
