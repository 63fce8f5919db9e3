# SPDX-License-Identifier: BSD-3-Clause
"""scikit-learn's estimators and fastbp's, in a process of theirs."""

from __future__ import annotations

import time
import warnings
from typing import Any

from problem import Problem
from sklearn.exceptions import ConvergenceWarning
from start import SEED

_problem: Problem | None = None
_X: dict[str, Any] = {}


def load(folder: str) -> None:
    """Take the data of a workload."""
    global _problem
    _problem = Problem.read(folder)
    _X.clear()


def estimator(library: str, task: str) -> Any:
    """Return a library's class for a task; the other library is not even imported."""
    if library == "sklearn":
        from sklearn.neural_network import MLPClassifier, MLPRegressor

        return MLPClassifier if task == "classification" else MLPRegressor
    from fastbp import BackpropClassifier, BackpropRegressor

    return BackpropClassifier if task == "classification" else BackpropRegressor


def fit(
    library: str, x_dtype: str = "float64", record: bool = False, **parameters: Any
) -> dict[str, Any]:
    """Train a new model; return its loss curve and the seconds that `fit` took, all of it."""
    assert _problem is not None
    problem = _problem
    if x_dtype not in _X:
        _X[x_dtype] = problem.X.astype(x_dtype, copy=False)
    model = estimator(library, problem.task)(
        hidden_layer_sizes=tuple(problem.hidden),
        batch_size=problem.batch_size,
        max_iter=problem.n_epochs,
        n_iter_no_change=float("inf"),
        random_state=SEED,
        **parameters,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        start = time.perf_counter()
        model.fit(_X[x_dtype], problem.y)
        seconds = time.perf_counter() - start
    return {"losses": [float(loss) for loss in model.loss_curve_], "seconds": seconds}
