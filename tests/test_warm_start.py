# SPDX-License-Identifier: BSD-3-Clause
"""``warm_start='optimizer'``: fits that go on with the solver's own state too."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS, digest, draw, fitted

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SETTINGS: list[dict[str, Any]] = [
    {"solver": "adam"},
    {"solver": "sgd"},
    {"solver": "sgd", "nesterovs_momentum": False, "learning_rate": "invscaling"},
    {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 2},
]


def assert_same(a: Any, b: Any) -> None:
    assert a.t_ == b.t_
    assert a._optimizer.step_count == b._optimizer.step_count
    assert a._optimizer.learning_rate == b._optimizer.learning_rate
    for name in ("coefs_", "intercepts_"):
        for x, y in zip(getattr(a, name), getattr(b, name), strict=True):
            assert np.array_equal(x, y)


@pytest.mark.parametrize("params", SETTINGS, ids=str)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fits_in_a_row_equal_one_longer(estimator: type, params: dict[str, Any]) -> None:
    X, y = draw()
    params = {"batch_size": 16, "random_state": 0, "shuffle": False, **params}
    whole = estimator(max_iter=12, **params).fit(X, y)
    parts = estimator(max_iter=4, warm_start="optimizer", **params)
    for _ in range(3):
        parts.fit(X, y)
    assert_same(parts, whole)
    assert parts.loss_curve_ == whole.loss_curve_
    anew = estimator(max_iter=4, warm_start=True, **params)
    for _ in range(3):
        anew.fit(X, y)
    assert not np.array_equal(anew.coefs_[0], whole.coefs_[0])


@pytest.mark.parametrize("params", SETTINGS[:3], ids=str)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_fits_of_one_epoch_equal_partial_fits(estimator: type, params: dict[str, Any]) -> None:
    X, y = draw()
    fits = estimator(max_iter=1, warm_start="optimizer", batch_size=16, **params)
    partials = estimator(batch_size=16, **params)
    fits.random_state = np.random.RandomState(3)
    partials.random_state = np.random.RandomState(3)
    classes = {"classes": [0, 1]} if estimator is BackpropClassifier else {}
    for _ in range(4):
        fits.fit(X, y)
        partials.partial_fit(X, y, **classes)
        assert_same(fits, partials)


def test_the_parameters_of_the_solver_stay() -> None:
    X, y = draw()
    model = BackpropRegressor(max_iter=2, warm_start="optimizer", random_state=0).fit(X, y)
    model.set_params(learning_rate_init=0.5, beta_1=0.1).fit(X, y)
    assert (model._optimizer.learning_rate_init, model._optimizer.beta_1) == (0.001, 0.9)
    assert model._optimizer.step_count == 4
    model.set_params(warm_start=True).fit(X, y)
    assert (model._optimizer.learning_rate_init, model._optimizer.beta_1) == (0.5, 0.1)
    assert model._optimizer.step_count == 2


@pytest.mark.parametrize(("last", "solver"), [("adam", "sgd"), ("sgd", "adam")])
def test_another_solver_raises(last: str, solver: str) -> None:
    model = fitted(BackpropRegressor, solver=last, warm_start="optimizer")
    model.solver = solver
    state = digest(model)
    with pytest.raises(ValueError, match=rf"warm_start='optimizer'.*solver='{solver}'"):
        model.fit(*draw())
    assert digest(model) == state
    model.warm_start = True
    assert model.fit(*draw()).n_iter_ == 3


def test_a_fit_after_lbfgs_begins_a_solver() -> None:
    model = fitted(BackpropRegressor, solver="lbfgs", warm_start=True)
    loss = model.loss_
    model.set_params(solver="adam", warm_start="optimizer").fit(*draw())
    assert model._optimizer.step_count == 3
    assert model.loss_curve_[0] < 2 * loss


@pytest.mark.parametrize("schedule", [{"learning_rate": "cosine"}, {"warmup": 1.5}])
def test_each_fit_has_a_schedule_of_its_own(schedule: dict[str, Any]) -> None:
    X, y = draw()
    # Without momentum there is nothing to keep but the rate, which the schedule begins with.
    params = {"solver": "sgd", "momentum": 0, "max_iter": 4, "batch_size": 16, "random_state": 0}
    models = [
        BackpropRegressor(warm_start=warm_start, **params, **schedule)
        for warm_start in (True, "optimizer")
    ]
    for _ in range(2):
        for model in models:
            model.fit(X, y)
        assert models[0].loss_curve_ == models[1].loss_curve_
    assert models[1]._optimizer.step_count == 2 * models[0]._optimizer.step_count


def test_a_solver_without_state_counts_its_steps() -> None:
    X, y = draw()
    model = BackpropRegressor(solver="sgd", momentum=0, batch_size=16, random_state=0)
    for n_calls in (1, 2, 3):
        model.partial_fit(X, y)
        assert model._optimizer.step_count == 4 * n_calls  # which the masks of dropout follow


@pytest.mark.parametrize(
    ("first", "then", "compared"),
    [
        ({"scoring": "loss"}, {"loss": "absolute_error"}, False),
        ({"scoring": "loss", "loss": "huber"}, {"huber_delta": 0.1}, False),
        ({"scoring": "loss", "loss": "huber"}, {"alpha": 0.01}, True),
        ({"loss": "quantile"}, {"quantile": 0.9}, False),
        ({"loss": "quantile"}, {"loss": "absolute_error"}, False),
        ({}, {"loss": "absolute_error"}, True),  # both are scored by R²
    ],
)
def test_only_scores_of_one_kind_are_compared(
    first: dict[str, Any], then: dict[str, Any], compared: bool
) -> None:
    X, y = draw()
    model = BackpropRegressor(early_stopping=True, warm_start=True, random_state=0, **first)
    model.set_params(max_iter=3)
    earlier = model.fit(X, y).validation_scores_
    model.set_params(**then).fit(X, y)
    assert (model.validation_scores_[:3] == earlier) == compared
    assert len(model.validation_scores_) == (6 if compared else 3)
