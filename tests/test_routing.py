# SPDX-License-Identifier: BSD-3-Clause
"""What scikit-learn's tools pass on to ``fit``, row by row, with metadata routing on and off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS
from sklearn import config_context
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_breast_cancer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    cross_validate,
    learning_curve,
    validation_curve,
)
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_breast_cancer(return_X_y=True)
X = StandardScaler().fit_transform(X)
GRID = {"alpha": [1e-4, 1.0]}

Tool = Callable[..., Any]


class Call:
    """A call of ``fit``."""

    def __init__(self, X: Any, weight: Any, X_val: Any, y_val: Any) -> None:
        self.X, self.weight, self.X_val, self.y_val = X, weight, X_val, y_val


def watched(estimator: type, calls: list[Call]) -> Any:
    """Return an estimator that notes what its ``fit``, and its clones', were given."""

    class Watched(estimator):  # type: ignore[misc, valid-type]
        def fit(
            self, X: Any, y: Any, sample_weight: Any = None, *, X_val: Any = None, y_val: Any = None
        ) -> Any:
            calls.append(Call(X, sample_weight, X_val, y_val))
            return super().fit(X, y, sample_weight, X_val=X_val, y_val=y_val)

    return Watched(hidden_layer_sizes=2, max_iter=2, random_state=0)


def weights_of(X: Any) -> Any:
    return 0.1 + X[:, 0] ** 2


SEARCHES: dict[str, tuple[Tool, int]] = {
    "grid": (lambda model, grid: GridSearchCV(model, grid, cv=2, error_score="raise"), 5),
    "random": (
        lambda model, grid: RandomizedSearchCV(model, grid, n_iter=2, cv=2, error_score="raise"),
        5,
    ),
    "halving": (
        lambda model, grid: HalvingGridSearchCV(
            model, grid, cv=2, factor=2, random_state=0, error_score="raise"
        ),
        7,
    ),
}
WITH_WEIGHTS: dict[str, tuple[Tool, int, list[type]]] = {
    **{
        name: (
            lambda model, weight, make=make: make(model, GRID).fit(X, Y, sample_weight=weight),
            n_calls,
            ESTIMATORS,
        )
        for name, (make, n_calls) in SEARCHES.items()
    },
    "calibration": (
        lambda model, weight: CalibratedClassifierCV(model, cv=3).fit(X, Y, sample_weight=weight),
        3,
        [BackpropClassifier],
    ),
    "transformed target": (
        lambda model, weight: TransformedTargetRegressor(model, transformer=StandardScaler()).fit(
            X, Y, sample_weight=weight
        ),
        1,
        [BackpropRegressor],
    ),
    "learning curve": (
        lambda model, weight: learning_curve(
            model,
            X,
            Y,
            cv=2,
            train_sizes=[0.5, 1.0],
            shuffle=True,
            random_state=0,
            params={"sample_weight": weight},
            error_score="raise",
        ),
        4,
        ESTIMATORS,
    ),
    "validation curve": (
        lambda model, weight: validation_curve(
            model,
            X,
            Y,
            param_name="alpha",
            param_range=[1e-4, 1.0],
            cv=2,
            params={"sample_weight": weight},
            error_score="raise",
        ),
        4,
        ESTIMATORS,
    ),
}
CASES = [(tool, each) for tool, (_, _, kinds) in WITH_WEIGHTS.items() for each in kinds]


@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize(("tool", "estimator"), CASES)
def test_each_row_arrives_with_its_weight(tool: str, estimator: type, routing: bool) -> None:
    use, n_calls, _ = WITH_WEIGHTS[tool]
    calls: list[Call] = []
    model = watched(estimator, calls)
    with config_context(enable_metadata_routing=routing):
        if routing:
            model.set_fit_request(sample_weight=True).set_score_request(sample_weight=False)
            model.set_partial_fit_request(sample_weight=False)  # a learning curve asks
        use(model, weights_of(X))
    assert len(calls) == n_calls
    for call in calls:
        np.testing.assert_array_equal(call.weight, weights_of(call.X))


@pytest.mark.parametrize("tool", [*SEARCHES, "cross_validate"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_validation_data_reach_a_network_behind_a_transformer(estimator: type, tool: str) -> None:
    """Through a pipeline that transforms them like X, within what splits X."""
    calls: list[Call] = []
    given = {"X_val": X[:100], "y_val": Y[:100]}
    with config_context(enable_metadata_routing=True):
        model = watched(estimator, calls).set_fit_request(X_val=True, y_val=True)
        steps = [("negate", FunctionTransformer(np.negative)), ("model", model)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        if tool == "cross_validate":
            n_calls = 3
            cross_validate(pipeline, X, Y, cv=3, params=given, error_score="raise")
        else:
            make, n_calls = SEARCHES[tool]
            search = make(pipeline, {"model__alpha": GRID["alpha"]}).fit(X, Y, **given)
            assert len(search.best_estimator_[-1].validation_scores_) == 2
    assert len(calls) == n_calls
    for call in calls:
        np.testing.assert_array_equal(call.X_val, -given["X_val"])
        np.testing.assert_array_equal(call.y_val, given["y_val"])
