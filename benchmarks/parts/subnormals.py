# SPDX-License-Identifier: BSD-3-Clause
"""Numbers too small to be normal, in X or in the weights: how many times slower they make a fit.

A multiply-add with a subnormal operand can cost two hundred times a normal one; fastbp's core takes
them as zeros.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Any

from figures import spread
from turns import in_turns, seconds_of, times_sooner

TITLE = "Subnormal numbers: times slower than normal ones"

#: What makes normal numbers subnormal, by type.
FACTORS = {"float32": 1e-39, "float64": 1e-309}
#: So small that weights stay where they are.
NO_RATE = 1e-300


def fits(library: str, dtype: str, X: Any, y: Any) -> dict[str, Callable[[], Any]]:
    """Return fits on normal numbers, on subnormal data, and on subnormal weights.

    Those on weights go on from a model's, and leave them where they are: the normal ones, too.
    """
    from peer_estimators import estimator

    own = {"dtype": dtype} if library == "fastbp" else {}
    make = estimator(library, "classification")
    factor = X.dtype.type(FACTORS[dtype])
    tiny = X * factor
    _refuse_normal(tiny)

    def from_weights(weights_factor: Any) -> Callable[[], Any]:
        model = make(solver="sgd", max_iter=1, random_state=0, warm_start=True, **own).fit(X, y)
        model.set_params(learning_rate_init=NO_RATE, alpha=0.0, max_iter=5, tol=0.0)
        coefs = [(coef * weights_factor).astype(coef.dtype) for coef in model.coefs_]

        def fit() -> None:
            model.coefs_ = [coef.copy() for coef in coefs]
            model.fit(X, y)

        return fit

    return {
        "normal data": lambda: make(max_iter=5, random_state=0, **own).fit(X, y),
        "data": lambda: make(max_iter=5, random_state=0, **own).fit(tiny, y),
        "normal weights": from_weights(1.0),
        "weights": from_weights(factor),
    }


def _refuse_normal(values: Any) -> None:
    import numpy as np

    if not 0 < values.max() < np.finfo(values.dtype).tiny:
        raise AssertionError("the numbers are not subnormal")


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Time fits of the same network on normal and on subnormal values, in turns."""
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    n_rows = 2_000 if settings["quick"] else 10_000
    X = rng.uniform(0.5, 1.0, (n_rows, 64))
    y = rng.integers(0, 10, n_rows)
    found: dict[str, Any] = {"slowdown": {}, "rounds": {}}
    for dtype in FACTORS:
        for library in ("fastbp", "sklearn"):
            calls = fits(library, dtype, X.astype(dtype), y)
            sides = {name: lambda call=call: seconds_of(call) for name, call in calls.items()}
            times = in_turns(sides, settings["rounds"])
            for what in ("data", "weights"):
                slower = times_sooner(times, f"normal {what}", what)
                found["rounds"][f"{library}, {dtype}, {what}"] = slower
                found["slowdown"][f"{library}, {dtype}, {what}"] = median(slower)
    return found


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    return [
        ["", "times slower"],
        *([name, spread(values)] for name, values in found["rounds"].items()),
    ]
