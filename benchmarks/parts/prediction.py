# SPDX-License-Identifier: BSD-3-Clause
"""Prediction: one row of digits' shape through the estimator, and all rows of each workload.

Both sides hold the same weights: those that scikit-learn starts with. Their outputs are compared
before anything is timed.
"""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

from figures import number, spread
from turns import in_turns, seconds_of, times_sooner

TITLE = "Prediction: times sooner than scikit-learn on float64 X"

N_CALLS = 2000  # of one row, a round; scikit-learn a tenth
CALLED_ROWS = 20_000  # small X is predicted for several times, up to so many rows
QUICKER = 4  # both are so many times less in a quick run,
QUICK_WORKLOADS = 3  # and so many workloads are enough


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Verify and time both sides."""
    from problem import Problem
    from workloads import load

    found: dict[str, Any] = {"bulk": {}, "bulk_rounds": {}, "rows_per_second": {}, "one_row_us": {}}
    for name in settings["workloads"][: QUICK_WORKLOADS if settings["quick"] else None]:
        workload = load(name, quick=settings["quick"], download=settings["download"])
        theirs, ours = models(Problem.of(workload))
        verify(theirs, ours, workload.X[:1000])
        n_calls = 1 + CALLED_ROWS // (QUICKER if settings["quick"] else 1) // len(workload.X)
        sides = {
            name: partial(repeat, predictor(model), workload.X, n_calls)
            for name, model in (("sklearn", theirs), ("fastbp", ours))
        }
        seconds = in_turns(sides, settings["rounds"])
        found["bulk_rounds"][name] = times_sooner(seconds, "fastbp", "sklearn")
        found["bulk"][name] = median(found["bulk_rounds"][name])
        found["rows_per_second"][name] = len(workload.X) / median(seconds["fastbp"])
    digits = load("digits")
    theirs, ours = models(Problem.of(digits))
    n_calls = N_CALLS // (QUICKER if settings["quick"] else 1)
    one = {
        "fastbp": lambda: one_row(ours.predict_proba, digits.X, n_calls),
        "sklearn": lambda: one_row(theirs.predict_proba, digits.X, n_calls // 10),
    }
    seconds = in_turns(one, settings["rounds"])
    found["one_row_us"] = {"": 1e6 * median(seconds["fastbp"])}
    found["sklearn_one_row_us"] = 1e6 * median(seconds["sklearn"])
    found["one_row_rounds"] = times_sooner(seconds, "fastbp", "sklearn")
    return found


def models(problem: Any) -> tuple[Any, Any]:
    """Return scikit-learn's model and fastbp's, fitted to a few rows, with the same weights."""
    import warnings

    import numpy as np
    from peer_estimators import estimator

    # Rows that hold every class.
    firsts = np.arange(1)
    if problem.task == "classification":
        firsts = np.unique(problem.y, return_index=True)[1]
    some = np.union1d(firsts, np.arange(min(200, len(problem.X))))
    fitted = []
    for library in ("sklearn", "fastbp"):
        model = estimator(library, problem.task)(
            hidden_layer_sizes=tuple(problem.hidden), max_iter=1, random_state=0
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted.append(model.fit(problem.X[some], problem.y[some]))
    theirs, ours = fitted
    ours.coefs_ = [coef.astype(np.float32) for coef in theirs.coefs_]
    ours.intercepts_ = [intercept.astype(np.float32) for intercept in theirs.intercepts_]
    return theirs, ours


def predictor(model: Any) -> Any:
    """Return the method that gives the outputs: probabilities, or values."""
    return getattr(model, "predict_proba", None) or model.predict


def verify(theirs: Any, ours: Any, X: Any) -> None:
    """Raise unless both give the same."""
    import numpy as np

    np.testing.assert_allclose(predictor(ours)(X), predictor(theirs)(X), rtol=1e-3, atol=1e-5)


def repeat(function: Any, X: Any, n_calls: int) -> float:
    """Return the mean seconds of a call."""
    return seconds_of(lambda: [function(X) for _ in range(n_calls)]) / n_calls


def one_row(function: Any, X: Any, n_calls: int) -> float:
    """Return the median seconds of a call with one row, another one each time."""
    import time

    samples = [X[i : i + 1] for i in range(min(n_calls, len(X)))]
    times = []
    for i in range(n_calls):
        sample = samples[i % len(samples)]
        start = time.perf_counter_ns()
        function(sample)
        times.append(time.perf_counter_ns() - start)
    return 1e-9 * median(times)


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
