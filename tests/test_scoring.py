# SPDX-License-Identifier: BSD-3-Clause
"""``scoring``: what early stopping watches, and what a scorer gets to see."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, digest, draw, fitted
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    f1_score,
    get_scorer,
    make_scorer,
    max_error,
    mean_absolute_error,
)
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils.validation import check_is_fitted

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Recorder:
    """A scorer that notes what it got; the greater the later, or what it is told."""

    def __init__(self, *scores: Any) -> None:
        self.scores = scores
        self.calls: list[tuple[Any, Any, Any]] = []

    def __call__(self, estimator: Any, X: Any, y: Any) -> Any:
        self.calls.append((estimator, X, y))
        n_calls = len(self.calls)
        return self.scores[n_calls - 1] if self.scores else n_calls


class WeightedRecorder(Recorder):
    """The same, of weights."""

    def __call__(self, estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> Any:
        self.weight = sample_weight
        return super().__call__(estimator, X, y)


@pytest.mark.parametrize(
    ("estimator", "scoring"),
    [
        (BackpropClassifier, "roc_auc"),
        (BackpropClassifier, "neg_log_loss"),
        (BackpropClassifier, "neg_brier_score"),
        (BackpropClassifier, "f1"),
        (BackpropClassifier, make_scorer(f1_score, pos_label=0)),
        (BackpropRegressor, "neg_mean_absolute_error"),
        (BackpropRegressor, "neg_max_error"),
        (BackpropRegressor, lambda model, X, y: -abs(model.predict(X) - y).mean()),
    ],
)
def test_the_best_epoch_by_a_scorer_is_restored(estimator: type, scoring: Any) -> None:
    X, y = draw(160)
    given = {"X_val": X[100:], "y_val": y[100:]}
    params = {"learning_rate_init": 0.02, "max_iter": 40, "random_state": 0}
    model = estimator(early_stopping=True, scoring=scoring, **params)
    model.fit(X[:100], y[:100], **given)
    scorer = get_scorer(scoring) if isinstance(scoring, str) else scoring
    scores = model.validation_scores_
    assert model.best_n_iter_ == int(np.argmax(scores)) + 1
    assert scorer(model, X[100:], y[100:]) == model.best_validation_score_ == max(scores)
    watched = estimator(scoring=scoring, **params).fit(X[:100], y[:100], **given)
    n_both = min(len(scores), watched.n_iter_)
    assert watched.validation_scores_[:n_both] == scores[:n_both]
    assert watched.validation_scores_[-1] == scorer(watched, X[100:], y[100:])


@pytest.mark.parametrize(
    ("estimator", "name", "metric"),
    [
        (BackpropClassifier, "accuracy", accuracy_score),
        (BackpropRegressor, "r2", None),
    ],
)
def test_the_default_by_name_gives_the_same_fit(estimator: type, name: str, metric: Any) -> None:
    X, y = draw(200)
    weight = np.random.default_rng(0).uniform(0.5, 2, 200)
    params = {"early_stopping": True, "learning_rate_init": 0.01, "random_state": 0}
    for sample_weight in (None, weight):
        default = estimator(**params).fit(X, y, sample_weight)
        named = estimator(scoring=name, **params).fit(X, y, sample_weight)
        assert named.validation_scores_ == pytest.approx(default.validation_scores_, rel=1e-5)
        assert named.best_n_iter_ == default.best_n_iter_
        assert np.array_equal(named.coefs_[0], default.coefs_[0])


def test_loss_stops_by_the_validation_loss() -> None:
    X, y = draw(200)
    params = {"learning_rate_init": 0.05, "random_state": 0}
    model = BackpropClassifier(early_stopping=True, scoring="loss", **params).fit(X, y)
    assert model.validation_scores_ == [-loss for loss in model.validation_loss_curve_]
    assert model.best_n_iter_ == int(np.argmin(model.validation_loss_curve_)) + 1


def test_messages_are_scikit_learns(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = draw(100)
    recorder = Recorder(*[3.0, 2.0, 1.0])
    BackpropClassifier(
        early_stopping=True, scoring=recorder, n_iter_no_change=1, verbose=True, random_state=0
    ).fit(X, y)
    lines = capsys.readouterr().out
    assert "Validation score: 3.000000" in lines
    assert "Validation score did not improve more than tol=0.000100 for 1 consecutive" in lines


# What a scorer gets


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("shape", ["list", "pandas", "polars", "array", "csr", "coo"])
def test_rows_come_in_the_users_container(shape: str, own: bool) -> None:
    X, codes = draw(60)
    y = np.array(["no", "yes"])[codes]
    convert = {
        "list": (lambda a: a.tolist(), list, lambda y: y.tolist()),
        "pandas": (lambda a: pd.DataFrame(a, columns=list("abcd")), pd.DataFrame, pd.Series),
        "polars": (lambda a: pl.DataFrame(a, schema=list("abcd")), pl.DataFrame, pl.Series),
        "array": (np.asfortranarray, np.ndarray, np.asarray),
        "csr": (sp.csr_array, sp.csr_array, np.asarray),
        "coo": (sp.coo_matrix, sp.spmatrix, np.asarray),
    }
    convert_X, container, convert_y = convert[shape]
    recorder = Recorder()
    model = BackpropClassifier(
        early_stopping=True, scoring=recorder, max_iter=3, validation_fraction=0.25, random_state=0
    )
    given_X, given_y = convert_X(X), convert_y(y)
    validation = {"X_val": given_X, "y_val": given_y} if own else {}
    model.fit(given_X, given_y, **validation)
    assert len(recorder.calls) == 3
    for fitted_model, rows, labels in recorder.calls:
        assert isinstance(rows, container)
        assert {str(label) for label in labels} == {"no", "yes"}
        n_rows = rows.shape[0] if hasattr(rows, "shape") else len(rows)
        assert len(labels) == n_rows == (60 if own else 15)
        assert fitted_model.predict(rows).shape == (n_rows,)
        if own:
            assert rows is given_X
            assert labels is given_y
        else:  # each row with its own label
            dense = rows.toarray() if sp.issparse(rows) else np.asarray(rows)
            places = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in dense]
            assert list(labels) == y[places].tolist()


def test_the_estimator_is_fitted_with_the_present_weights() -> None:
    X, y = draw(80)
    recorder = Recorder()
    model = BackpropClassifier(scoring=recorder, max_iter=4, random_state=0)
    model.fit(X, y, X_val=X, y_val=y)
    for n_iter, (estimator, _, _) in enumerate(recorder.calls, start=1):
        check_is_fitted(estimator)
        expected = BackpropClassifier(max_iter=n_iter, random_state=0).fit(X, y)
        assert np.array_equal(estimator.predict_proba(X), expected.predict_proba(X))
        assert np.array_equal(estimator.predict_log_proba(X), expected.predict_log_proba(X))
        assert estimator.classes_.tolist() == [0, 1]
        assert (estimator.n_features_in_, estimator.n_layers_, estimator.t_) == (4, 3, 80 * n_iter)
        assert (estimator.n_iter_, estimator.loss_) == (n_iter, expected.loss_)
        assert estimator is not model
        assert clone(estimator).get_params()["max_iter"] == 4


def test_a_scorer_cannot_disturb_the_training() -> None:
    X, y = draw(80)

    def meddling(estimator: Any, X: Any, y: Any) -> float:
        estimator.coefs_[0] = np.zeros_like(estimator.coefs_[0])
        estimator.classes_, estimator.max_iter = None, 1
        return 1.0

    params = {"max_iter": 4, "random_state": 0}
    expected = BackpropClassifier(**params).fit(X, y)
    model = BackpropClassifier(scoring=meddling, **params).fit(X, y, X_val=X, y_val=y)
    assert np.array_equal(model.predict_proba(X), expected.predict_proba(X))
    best = BackpropClassifier(scoring=meddling, early_stopping=True, **params)
    best.fit(X, y, X_val=X, y_val=y)
    assert best.best_n_iter_ == 1
    assert best.coefs_[0].any()


@pytest.mark.parametrize("class_weight", [None, {0: 1, 1: 3}])
def test_weights_go_to_scorers_that_take_them(class_weight: Any) -> None:
    X, y = draw(80)
    weight = np.random.default_rng(0).uniform(0.5, 2, 80)
    params = {"early_stopping": True, "max_iter": 2, "random_state": 0}
    recorder = WeightedRecorder()
    model = BackpropClassifier(scoring=recorder, class_weight=class_weight, **params)
    model.fit(X, y, weight)
    _, rows, labels = recorder.calls[0]
    places = [int(np.flatnonzero((row == X).all(axis=1))[0]) for row in rows]
    factors = 1 if class_weight is None else np.where(labels == 1, 3, 1)
    np.testing.assert_allclose(recorder.weight, weight[places] * factors, rtol=1e-6)
    # Class weights are for training and for what is set aside, not for own validation data.
    given = {"X_val": X[:9], "y_val": y[:9], "sample_weight_val": weight[:9]}
    model.fit(X, y, **given)
    np.testing.assert_allclose(recorder.weight, weight[:9], rtol=1e-6)
    del given["sample_weight_val"]
    model.fit(X, y, weight, **given)
    assert recorder.weight is None
    for scoring in (Recorder(), make_scorer(max_error), "neg_max_error"):
        BackpropRegressor(scoring=scoring, **params).fit(X, y, weight)


def test_weights_go_to_scikit_learns_scorers() -> None:
    X, y = draw(80)
    weight = np.random.default_rng(0).uniform(0.5, 2, 80)
    model = BackpropRegressor(scoring="neg_mean_absolute_error", max_iter=3, random_state=0)
    model.fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    expected = -mean_absolute_error(y, model.predict(X), sample_weight=weight)
    assert model.validation_scores_[-1] == pytest.approx(expected, rel=1e-6)


# What goes wrong


class Failing(Recorder):
    """A scorer that fails in its third call."""

    def __call__(self, estimator: Any, X: Any, y: Any) -> Any:
        if len(self.calls) == 2:
            raise RuntimeError("no score today")
        return super().__call__(estimator, X, y)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_scorer_that_raises_changes_nothing(estimator: type, early_stopping: bool) -> None:
    X, y = draw()
    model = fitted(estimator)
    model.set_params(early_stopping=early_stopping, max_iter=10)
    state = digest(model)
    model.scoring = Failing()
    given = {} if early_stopping else {"X_val": X, "y_val": y}
    with pytest.raises(RuntimeError, match="no score today"):
        model.fit(X, y, **given)
    assert len(model.scoring.calls) == 2
    model.scoring = None
    assert digest(model) == state


def rmse(y_true: Any, y_pred: Any) -> float:
    return float(np.sqrt(np.mean((y_true - y_pred) ** 2)))


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("metric", [mean_absolute_error, rmse])
def test_a_metric_is_no_scorer(estimator: type, metric: Any) -> None:
    X, y = draw()
    model = fitted(estimator)
    model.scoring = metric
    state = digest(model)
    with pytest.raises(ValueError, match=r"'scoring' parameter .*scoring\(estimator, X, y\).*Got"):
        model.fit(X, y, X_val=X, y_val=y)
    assert digest(model) == state
    model.set_params(scoring=make_scorer(metric), max_iter=1).fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("value", ["high", None, [1.0, 2.0], 1j])
def test_a_score_must_be_a_number(value: Any) -> None:
    X, y = draw()
    with pytest.raises(ValueError, match=r"scoring=.* must return a number, got"):
        BackpropRegressor(scoring=lambda *args: value).fit(X, y, X_val=X, y_val=y)


@pytest.mark.parametrize("value", [np.float32(2), np.int64(2), np.array(2.0), True, 2])
def test_numbers_of_all_kinds_do(value: Any) -> None:
    X, y = draw()
    model = BackpropRegressor(scoring=lambda *args: value, max_iter=1)
    model.fit(X, y, X_val=X, y_val=y)
    assert model.validation_scores_ == [float(value)]
    assert type(model.validation_scores_[0]) is float


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_not_finite_do_not_count(bad: float) -> None:
    X, y = draw()
    params = {"early_stopping": True, "max_iter": 4, "random_state": 0}
    model = BackpropRegressor(scoring=Recorder(bad, 2.0, bad, 1.0), **params).fit(X, y)
    assert [math.isnan(score) for score in model.validation_scores_] == [True, False, True, False]
    assert (model.best_validation_score_, model.best_n_iter_) == (2.0, 2)
    weights = model.coefs_[0].copy()
    model.scoring = Recorder(*[bad] * 4)
    with pytest.raises(ValueError, match=r"scoring=.* gave no finite score"):
        model.fit(X, y)
    assert np.array_equal(model.coefs_[0], weights)
    assert (model.best_validation_score_, model.best_n_iter_) == (2.0, 2)


def test_divergence_does_not_reach_the_scorer() -> None:
    X, y = draw(200)
    recorder = Recorder()
    model = BackpropRegressor(
        solver="sgd",
        activation="identity",
        learning_rate_init=1,
        max_iter=50,
        early_stopping=True,
        scoring=recorder,
        random_state=0,
    )
    model.fit(X, y)
    assert math.isnan(model.validation_scores_[-1])
    assert math.isnan(model.validation_loss_curve_[-1])
    assert model.best_n_iter_ == len(recorder.calls) == model.n_iter_ - 1


# Real data


def test_balanced_accuracy_finds_better_weights_than_accuracy() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    rare = np.concatenate([np.flatnonzero(y == 0)[:40], np.flatnonzero(y == 1)])
    X, y = (X[rare] - X.mean(axis=0)) / X.std(axis=0), y[rare]
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
    params = {"early_stopping": True, "n_iter_no_change": 50, "random_state": 0}
    best = {}
    for scoring in ("accuracy", "balanced_accuracy"):
        model = BackpropClassifier(5, solver="sgd", scoring=scoring, **params)
        model.fit(X, y, X_val=X_val, y_val=y_val)
        best[scoring] = balanced_accuracy_score(y_val, model.predict(X_val))
    assert best["balanced_accuracy"] >= best["accuracy"]


def test_inside_a_search() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = BackpropRegressor(
        hidden_layer_sizes=20, learning_rate_init=0.05, early_stopping=True, max_iter=30
    )
    grid = {"scoring": [None, "loss", "neg_median_absolute_error"]}
    search = GridSearchCV(model, grid, cv=3, error_score="raise").fit(X, y / 100)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
