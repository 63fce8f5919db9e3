# SPDX-License-Identifier: BSD-3-Clause
"""Data too small for normal numbers: how many times slower a fit becomes.

A multiply-add with a subnormal operand can cost two hundred times a normal one; fastbp's core takes
them as zeros.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from figures import spread
from turns import in_turns, seconds_of, times_sooner

TITLE = "Subnormal data: times slower than normal data"


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time fits of the same network on normal and on subnormal values, in turns."""
    import warnings

    import numpy as np
    from peer_estimators import estimator

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    n_rows = 2_000 if settings["quick"] else 10_000
    X = rng.uniform(0.5, 1.0, (n_rows, 64))
    y = rng.integers(0, 10, n_rows)
    data: dict[str, tuple[Any, Any]] = {
        "float32": (X.astype(np.float32), (X * 1e-39).astype(np.float32)),
        "float64": (X, X * 1e-309),
    }
    found: dict[str, Any] = {"slowdown": {}, "rounds": {}}
    for dtype, (normal, tiny) in data.items():
        if not 0 < tiny.max() < np.finfo(dtype).tiny:
            raise AssertionError("the data are not subnormal")
        for library in ("fastbp", "sklearn"):
            own = {"dtype": dtype} if library == "fastbp" else {}

            def fit(X: Any, library: str = library, own: dict[str, str] = own) -> float:
                model = estimator(library, "classification")(max_iter=5, random_state=0, **own)
                return seconds_of(lambda: model.fit(X, y))

            sides = {
                "normal": lambda fit=fit, X=normal: fit(X),
                "subnormal": lambda fit=fit, X=tiny: fit(X),
            }
            slower = times_sooner(in_turns(sides, settings["rounds"]), "normal", "subnormal")
            found["rounds"][f"{library}, {dtype}"] = slower
            found["slowdown"][f"{library}, {dtype}"] = median(slower)
    return found


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    return [
        ["", "times slower"],
        *([name, spread(values)] for name, values in found["rounds"].items()),
    ]
