# SPDX-License-Identifier: BSD-3-Clause
"""The contestants: one row each. A side is a function of a module, run in a process of its own.

To add a peer, write a module with `load(folder)` and `fit(record, **arguments)`, as peer_jax.py is,
and give it a row in `all_sides`. All start from the same weights and see the rows in the same
order, as scikit-learn draws them; a peer that draws otherwise cannot be verified, and so not be
timed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from inspect import signature
from typing import Any

import numpy as np

#: Epochs in which rounding has not yet parted two runs.
EARLY = 10

# Largest relative differences from the reference's loss allowed: in the first EARLY epochs, and in
# all. Float32's rounding can wake a relu unit that lay dead, and then the losses part for a while.
# scikit-learn's own float32 loss is less exact, for want of float64 sums; Adam's epsilon stands
# elsewhere in PyTorch.
EXACT = (1e-8, 1e-8)
SINGLE = (1e-3, 0.05)
LOOSE = (0.05, 0.05)
HALF = (0.1, 0.3)


@dataclass(frozen=True)
class Side:
    """One contestant: what to call, where, and how close its losses must come."""

    name: str
    module: str
    tolerances: tuple[float, float]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def process(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """What sides that share a process have in common."""
        return self.module, frozenset(self.environment.items())


#: How PyTorch is held to a family: its own kernels, oneDNN's, MKL's and the compiler's.
HELD = {
    "avx512": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
    },
    "avx2": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    },
}


def all_sides(
    families: list[str], *, compiled: bool = True, held: bool = True, quick: bool = False
) -> tuple[list[Side], list[str]]:
    """Return the contestants, and lines about those left out.

    The first is the reference, the last is fastbp's default. Families pinned are those among
    `families` that PyTorch can be held to. A quick run has float32 and float64 only, and JAX
    compiles the form with the penalty's loss alone, and is timed in it.
    """
    pinned = [family for family in HELD if family in families] if held else []
    sides, left_out = [*_sklearn()], []
    if find_spec("torch") is None:
        left_out.append("PyTorch is not installed: pip install -e '.[bench]'")
    else:
        sides += _torch(compiled, pinned, lower=not quick)
        if not compiled:
            left_out.append("compiled PyTorch: compiling takes minutes, so not in a quick run")
    if find_spec("jax") is None:
        left_out.append("JAX is not installed: pip install -e '.[bench]'")
    else:
        sides.append(Side("jax", "peer_jax", SINGLE, {"compile_once": quick}))
    ours, missing = _fastbp(pinned, lower=not quick)
    return sides + ours, left_out + missing


def _sklearn() -> list[Side]:
    return [
        Side("sklearn", "peer_estimators", EXACT, {"library": "sklearn"}),
        Side("sklearn f32", "peer_estimators", LOOSE, {"library": "sklearn", "x_dtype": "float32"}),
    ]


def _torch(compiled: bool, pinned: list[str], lower: bool) -> list[Side]:
    """Return PyTorch's sides: float32 and (lower) bfloat16, eager and compiled, free and held."""
    sides = []
    for form, argument in [("", False), (" compiled", True)][: 2 if compiled else 1]:
        sides.append(Side(f"torch{form}", "peer_torch", SINGLE, {"compiled": argument}))
        if lower:
            half = {"compiled": argument, "bfloat16": True}
            sides.append(Side(f"torch bf16{form}", "peer_torch", HALF, half))
        sides += [
            Side(f"torch{form} {isa}", "peer_torch", SINGLE, {"compiled": argument}, HELD[isa])
            for isa in pinned
        ]
    return sides


def _fastbp(pinned: list[str], lower: bool) -> tuple[list[Side], list[str]]:
    """Return fastbp's sides: float64, the lower precisions it has, pinned families, default."""

    def side(name: str, tolerances: tuple[float, float], **arguments: str) -> Side:
        return Side(name, "peer_estimators", tolerances, {"library": "fastbp", **arguments})

    sides, left_out = [side("fastbp f64", EXACT, dtype="float64")], []
    if not lower:
        left_out.append("bfloat16 and the lower precisions: not in a quick run")
    elif has_matmul_precision():
        sides.append(side("fastbp high", SINGLE, matmul_precision="high"))
        sides.append(side("fastbp medium", HALF, matmul_precision="medium"))
    else:
        left_out.append("fastbp high, medium: this version has no matmul_precision")
    for isa in pinned:
        arguments = {"library": "fastbp"}
        environment = {"FASTBP_ISA": isa}
        sides.append(Side(f"fastbp {isa}", "peer_estimators", SINGLE, arguments, environment))
    return [*sides, side("fastbp", SINGLE)], left_out


def has_matmul_precision() -> bool:
    """Tell whether the estimators have the parameter."""
    from fastbp import BackpropClassifier

    return "matmul_precision" in signature(BackpropClassifier).parameters


def deviation(losses: list[float], reference: list[float]) -> float:
    """Return the largest relative difference of two loss curves."""
    if len(losses) != len(reference):
        return float("inf")
    ours, theirs = np.array(losses), np.array(reference)
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def agrees(side: Side, losses: list[float], reference: list[float]) -> bool:
    """Tell whether a side's losses are the reference's, to its tolerances."""
    early, late = side.tolerances
    start = deviation(losses[:EARLY], reference[:EARLY])
    return start <= early and deviation(losses, reference) <= late
