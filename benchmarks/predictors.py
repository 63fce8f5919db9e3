# SPDX-License-Identifier: BSD-3-Clause
"""A fitted estimator, scikit-learn's or fastbp's, that predicts on request, in its own process."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from peer_estimators import estimator
from problem import Problem
from start import draw

Array = np.ndarray[Any, Any]

_X: Array
_predict: Callable[[Array], Array]


def load(folder: str, library: str) -> None:
    """Take the data of a workload, and a model that holds the weights scikit-learn starts with."""
    global _X, _predict
    problem = Problem.read(folder)
    model = fitted(library, problem)
    _X, _predict = problem.X, getattr(model, "predict_proba", model.predict)


def fitted(library: str, problem: Problem) -> Any:
    """Return a library's model, fitted to a few rows, with the weights of `start.draw`."""
    rows = np.arange(min(200, len(problem.X)))
    if problem.task == "classification":  # rows that hold every class
        rows = np.union1d(rows, np.unique(problem.y, return_index=True)[1])
    model = estimator(library, problem.task)(
        hidden_layer_sizes=tuple(problem.hidden), max_iter=1, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(problem.X[rows], problem.y[rows])
    layers, _ = draw(problem.units, 0, 0)
    dtype = model.coefs_[0].dtype
    model.coefs_ = [coef.astype(dtype) for coef, _ in layers]
    model.intercepts_ = [intercept.astype(dtype) for _, intercept in layers]
    return model


def outputs(n_rows: int) -> Any:
    """Return the first rows' probabilities, or values."""
    return _predict(_X[:n_rows]).tolist()


def bulk(n_calls: int) -> float:
    """Return the mean seconds of a call with all rows."""
    start = time.perf_counter()
    for _ in range(n_calls):
        _predict(_X)
    return (time.perf_counter() - start) / n_calls


def one_row(n_calls: int) -> float:
    """Return the median seconds of a call with one row, another one each time."""
    samples = [_X[i : i + 1] for i in range(min(n_calls, len(_X)))]
    times = []
    for i in range(n_calls):
        sample = samples[i % len(samples)]
        start = time.perf_counter_ns()
        _predict(sample)
        times.append(time.perf_counter_ns() - start)
    return 1e-9 * median(times)
