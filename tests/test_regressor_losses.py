# SPDX-License-Identifier: BSD-3-Clause
"""The regressor's losses: what they minimise, quantiles as columns, scores, what they refuse."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.special
from models import digest
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.metrics import (
    d2_pinball_score,
    mean_absolute_error,
    mean_gamma_deviance,
    mean_pinball_loss,
    mean_poisson_deviance,
    r2_score,
)
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LEVELS = [0.1, 0.5, 0.9]
X, Y = load_diabetes(return_X_y=True)  # y: 25 to 346, its mean 152, skewed to the right
X = StandardScaler().fit_transform(X)


def small(**params: Any) -> BackpropRegressor:
    params = {"max_iter": 20, "random_state": 0, "hidden_layer_sizes": 8} | params
    return BackpropRegressor(**params)


# What is minimised


@pytest.mark.parametrize(
    ("params", "metric"),
    [
        ({"loss": "absolute_error"}, mean_absolute_error),
        (
            {"loss": "quantile", "quantile": 0.3},
            lambda y, o: mean_pinball_loss(y, o, alpha=0.3),
        ),
        (
            {"loss": "quantile", "quantile": LEVELS},
            lambda y, o: sum(
                mean_pinball_loss(y, column, alpha=level)
                for level, column in zip(LEVELS, o.T, strict=True)
            ),
        ),
        (
            {"loss": "huber", "huber_delta": 0.5},
            lambda y, o: scipy.special.huber(0.5, y - o).mean(),
        ),
        ({"loss": "gamma"}, lambda y, o: mean_gamma_deviance(y, o) / 2),
        ({"loss": "poisson"}, lambda y, o: mean_poisson_deviance(y, o) / 2),
    ],
    ids=["absolute_error", "quantile", "quantiles", "huber", "gamma", "poisson"],
)
def test_loss_is_the_metric(params: dict[str, Any], metric: Callable[..., float]) -> None:
    y = Y / 100
    model = small(solver="lbfgs", alpha=0, **params).fit(X, y)
    outputs = model._outputs(X)  # before rearrangement
    predicted = outputs if outputs.shape[1] > 1 else outputs.ravel()
    assert model.loss_ == pytest.approx(metric(y, predicted), rel=1e-9)
    before = small(solver="lbfgs", alpha=0, **{**params, "max_iter": 1}).fit(X, y)
    assert model.loss_ < before.loss_


@pytest.mark.parametrize("loss", ["absolute_error", "huber", "quantile", "gamma"])
def test_losses_are_summed_over_outputs(loss: str) -> None:
    y = np.c_[Y, 2 * Y[::-1], Y + 50] / 100
    model = small(loss=loss, solver="lbfgs", alpha=0, hidden_layer_sizes=()).fit(X, y)
    alone = [clone(model).set_params(max_iter=1).fit(X, column).loss_ for column in y.T]
    assert len(alone) == 3 and model.n_outputs_ == 3
    together = small(loss=loss, alpha=0, hidden_layer_sizes=(), max_iter=1, batch_size=len(y))
    together.fit(X, y)
    parts = []
    for i, column in enumerate(y.T):
        one = clone(together).set_params(warm_start=True)
        one.fit(X, column)
        one.coefs_ = [together.coefs_[0][:, i : i + 1].copy()]
        one.intercepts_ = [together.intercepts_[0][i : i + 1].copy()]
        parts.append(one.fit(X, column).loss_)
    again = clone(together).set_params(warm_start=True)
    again.fit(X, y)
    again.coefs_, again.intercepts_ = together.coefs_, together.intercepts_
    assert again.fit(X, y).loss_ == pytest.approx(sum(parts), rel=1e-5)


def test_a_wide_huber_is_the_squared_error() -> None:
    wide = small(loss="huber", huber_delta=1e6).fit(X, Y)
    squared = small().fit(X, Y)
    assert wide.loss_curve_ == squared.loss_curve_
    for ours, theirs in zip(wide.coefs_, squared.coefs_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gamma_and_poisson_predict_positive_numbers() -> None:
    for loss in ("gamma", "poisson"):
        model = small(loss=loss).fit(X, Y / 100)
        assert model.out_activation_ == "exp"
        assert (model.predict(X) > 0).all()


# Real data


def regressor(**params: Any) -> Any:
    """Small, and held back, since there are few rows."""
    params = {"hidden_layer_sizes": 10, "alpha": 10, "max_iter": 300, "random_state": 0} | params
    return BackpropRegressor(learning_rate_init=0.01, **params)


def test_quantiles_cover_their_share_of_unseen_targets() -> None:
    model = regressor(loss="quantile", quantile=LEVELS)
    folds = KFold(5, shuffle=True, random_state=0)
    predicted = 100 * cross_val_predict(model, X, Y / 100, cv=folds)
    coverage = (Y[:, None] <= predicted).mean(axis=0)
    np.testing.assert_allclose(coverage, LEVELS, atol=0.05)
    constant = np.quantile(Y, LEVELS)
    for i, level in enumerate(LEVELS):
        ours = mean_pinball_loss(Y, predicted[:, i], alpha=level)
        assert ours < 0.93 * mean_pinball_loss(Y, np.full_like(Y, constant[i]), alpha=level)


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_outliers_pull_less(loss: str) -> None:
    """A tenth of the training targets are off by a factor of ten, as by a wrong unit."""
    X_train, X_test, y_train, y_test = train_test_split(X, Y / 100, random_state=0)
    wrong = np.random.default_rng(0).random(len(y_train)) < 0.1
    y_train = np.where(wrong, 10 * y_train, y_train)
    squared = regressor().fit(X_train, y_train).score(X_test, y_test)
    robust = regressor(loss=loss).fit(X_train, y_train).score(X_test, y_test)
    assert squared < 0
    assert robust > 0.3


def test_gamma_fits_what_spreads_with_its_mean() -> None:
    y, folds, deviance = Y / 100, KFold(5, shuffle=True, random_state=0), {}
    for loss in ("gamma", "squared_error"):
        predicted = cross_val_predict(regressor(loss=loss, alpha=1), X, y, cv=folds)
        deviance[loss] = mean_gamma_deviance(y, np.maximum(predicted, 0.1))
    assert deviance["gamma"] < 0.95 * deviance["squared_error"]
    assert deviance["gamma"] < 0.6 * mean_gamma_deviance(y, np.full_like(y, y.mean()))


# Quantiles


@pytest.mark.parametrize("n_rows", [1, 100])
def test_columns_follow_the_list(n_rows: int) -> None:
    quantile = [0.9, 0.1, 0.5]
    model = small(loss="quantile", quantile=quantile).fit(X, Y)
    predicted = model.predict(X[:n_rows])
    assert predicted.shape == (n_rows, 3)
    assert model.n_outputs_ == 3
    assert (np.diff(predicted[:, [1, 2, 0]]) >= 0).all()
    outputs = model._outputs(X[:n_rows])
    np.testing.assert_array_equal(np.sort(predicted), np.sort(outputs))


def test_crossing_predictions_are_rearranged() -> None:
    model = small(loss="quantile", quantile=[0.2, 0.8]).fit(X, Y)
    model.coefs_[-1][:] = 0
    model.intercepts_[-1][:] = [7, 3]
    np.testing.assert_array_equal(model.predict(X[:2]), [[3, 7], [3, 7]])


def test_one_level_gives_a_vector_a_list_columns() -> None:
    number = small(loss="quantile", quantile=0.7).fit(X, Y)
    one = small(loss="quantile", quantile=[0.7]).fit(X, Y)
    assert number.predict(X).shape == (len(X),)
    assert one.predict(X).shape == (len(X), 1)
    np.testing.assert_array_equal(number.predict(X), one.predict(X)[:, 0])
    assert number.score(X, Y) == one.score(X, Y)
    array = small(loss="quantile", quantile=np.array([0.7])).fit(X, Y)
    np.testing.assert_array_equal(array.predict(X), one.predict(X))
    assert one.predict(X.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize("weighted", [False, True])
def test_score_is_the_mean_d2(weighted: bool) -> None:
    weight = np.random.default_rng(0).uniform(0, 2, len(Y)) if weighted else None
    model = small(loss="quantile", quantile=LEVELS).fit(X, Y, weight)
    columns = zip(LEVELS, model.predict(X).T, strict=True)
    each = [d2_pinball_score(Y, c, sample_weight=weight, alpha=level) for level, c in columns]
    assert model.score(X, Y, weight) == pytest.approx(np.mean(each), rel=1e-12)

    two = small(loss="quantile", quantile=0.2).fit(X, np.c_[Y, -Y])
    expected = d2_pinball_score(np.c_[Y, -Y], two.predict(X), alpha=0.2)
    assert two.score(X, np.c_[Y, -Y]) == pytest.approx(expected, rel=1e-12)

    for loss in ("absolute_error", "huber", "gamma"):
        other = small(loss=loss).fit(X, Y / 100)
        assert other.score(X, Y) == r2_score(Y, other.predict(X))


@pytest.mark.parametrize("quantile", [0.3, LEVELS], ids=str)
def test_early_stopping_watches_the_score(quantile: Any) -> None:
    params = {"loss": "quantile", "quantile": quantile, "early_stopping": True, "dtype": "float64"}
    model = small(**params).fit(X, Y)
    _, X_val, _, y_val = train_test_split(X, Y, test_size=0.1, random_state=state_after_weights())
    assert max(model.validation_scores_) == model.best_validation_score_
    if quantile == 0.3:
        assert model.score(X_val, y_val) == pytest.approx(model.best_validation_score_, rel=1e-9)
    assert model.best_validation_score_ < 1


def state_after_weights() -> np.random.RandomState:
    """The random numbers that are left once weights of 10-8-1 are drawn."""
    random_state = np.random.RandomState(0)
    for fan_in, fan_out in ((10, 8), (8, 1)):
        random_state.uniform(size=fan_in * fan_out)
        random_state.uniform(size=fan_out)
    return random_state


def test_levels_of_the_fit_count_until_the_next() -> None:
    model = small(loss="quantile", quantile=LEVELS).fit(X, Y)
    expected = model.predict(X)
    model.set_params(quantile=0.5, loss="squared_error")
    np.testing.assert_array_equal(model.predict(X), expected)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(X), expected)
    assert model.fit(X, Y).predict(X).shape == (len(X),)


def test_a_search_over_quantiles() -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), small(loss="quantile", quantile=LEVELS)),
        {"backpropregressor__hidden_layer_sizes": [4, 8]},
        cv=2,
    )
    assert np.isfinite(search.fit(X, Y).cv_results_["mean_test_score"]).all()
    assert search.predict(X).shape == (len(X), 3)


# What is refused, and leaves the model as it was


@pytest.mark.parametrize(
    "quantile",
    [
        0,
        1,
        -0.1,
        1.5,
        np.nan,
        "median",
        None,
        [],
        [0.1, 0.1],
        [0.5, 1],
        [[0.5]],
        [0.5, "a"],
        [None],
    ],
    ids=str,
)
def test_bad_quantiles(quantile: Any) -> None:
    for loss in ("quantile", "squared_error"):
        with pytest.raises(ValueError, match=r"quantile.*Got") as error:
            small(loss=loss, quantile=quantile).fit(X, Y)
        assert repr(quantile) in str(error.value)


def test_a_list_of_quantiles_needs_one_dimension() -> None:
    with pytest.raises(ValueError, match="Give one quantile, or a y of one dimension"):
        small(loss="quantile", quantile=LEVELS).fit(X, np.c_[Y, Y])


@pytest.mark.parametrize("method", ["partial_fit", "fit"])
@pytest.mark.parametrize("quantile", [0.5, [0.5], [0.2, 0.8]], ids=str)
def test_another_number_of_levels_cannot_go_on(method: str, quantile: Any) -> None:
    model = small(loss="quantile", quantile=LEVELS, warm_start=True).fit(X, Y)
    model.set_params(quantile=[0.2, 0.5, 0.8])
    getattr(model, method)(X, Y)  # other levels can
    model.set_params(quantile=quantile)
    before = digest(model)
    with pytest.raises(ValueError, match=r"quantile=.*from has 3"):
        getattr(model, method)(X, Y)
    assert digest(model) == before
    assert model.predict(X).shape == (len(X), 3)


@pytest.mark.parametrize("huber_delta", [0, -1, np.nan, np.inf, "a", None], ids=str)
def test_bad_huber_deltas(huber_delta: Any) -> None:
    with pytest.raises(ValueError, match="huber_delta"):
        small(loss="huber", huber_delta=huber_delta).fit(X, Y)


def test_numbers_that_float32_cannot_hold() -> None:
    for params in (
        {"loss": "huber", "huber_delta": 1e300},
        {"loss": "huber", "huber_delta": 1e-300},
        {"loss": "quantile", "quantile": 1 - 1e-12},
    ):
        with pytest.raises(ValueError, match=r"float32.*dtype='float64'"):
            small(**params).fit(X, Y)
        small(dtype="float64", **params).fit(X, Y)


def test_targets_that_a_loss_does_not_take() -> None:
    for bad, words in ((0, "not positive.* y > 0"), (-3, "negative.* y > 0")):
        with pytest.raises(ValueError, match=words):
            small(loss="gamma").fit(X, np.r_[Y[1:], bad])
    with pytest.raises(ValueError, match=r"negative.* y >= 0"):
        small(loss="poisson").fit(X, np.r_[Y[1:], -3])
    small(loss="poisson").fit(X, np.r_[Y[1:], 0])
    with pytest.raises(ValueError, match=r"1e-50, which is 0 as float32.*dtype='float64'"):
        small(loss="gamma").fit(X, np.r_[Y[1:], 1e-50])
    small(loss="gamma", dtype="float64").fit(X, np.r_[Y[1:], 1e-50])


def test_tags() -> None:
    for loss, positive in (("gamma", True), ("poisson", True), ("huber", False)):
        assert BackpropRegressor(loss).__sklearn_tags__().target_tags.positive_only is positive
    for quantile, several in ((0.5, True), (LEVELS, False), ([0.5], False)):
        tags = BackpropRegressor("quantile", quantile=quantile).__sklearn_tags__()
        assert tags.target_tags.multi_output is several
    assert BackpropRegressor("huber", quantile=LEVELS).__sklearn_tags__().target_tags.multi_output


def test_the_classifier_has_no_such_parameters() -> None:
    with pytest.raises(TypeError):
        BackpropClassifier(quantile=0.5)
