# SPDX-License-Identifier: BSD-3-Clause
"""Own validation data, and the loss of validation data of either kind."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, digest, draw, fitted
from sklearn import config_context
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.model_selection import GridSearchCV, cross_validate, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor, _validation

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CURVES = ("validation_scores_", "validation_loss_curve_", "best_validation_score_")


def draw_two(n: int = 90, n_val: int = 40) -> tuple[Any, Any, Any, Any]:
    """Draw X, y, X_val, y_val."""
    X, y = draw(n + n_val)
    return X[:n], y[:n], X[n:], y[n:]


def same_model(a: Any, b: Any) -> bool:
    pairs = zip([*a.coefs_, *a.intercepts_], [*b.coefs_, *b.intercepts_], strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


# What it does


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("params", [{}, {"solver": "sgd", "tol": 0.1, "n_iter_no_change": 2}])
def test_without_early_stopping_it_only_watches(estimator: type, params: Any) -> None:
    X, y, X_val, y_val = draw_two()
    params = {"max_iter": 20, "random_state": 0, **params}
    plain = estimator(**params).fit(X, y)
    watched = estimator(**params).fit(X, y, X_val=X_val, y_val=y_val)
    assert same_model(plain, watched)
    assert plain.loss_curve_ == watched.loss_curve_
    assert plain.best_loss_ == watched.best_loss_
    assert [getattr(plain, name) for name in CURVES] == [None] * 3
    n_epochs = watched.n_iter_
    assert len(watched.validation_scores_) == len(watched.validation_loss_curve_) == n_epochs
    assert watched.best_validation_score_ == max(watched.validation_scores_)
    assert watched.best_n_iter_ is None
    assert watched.validation_scores_[-1] == pytest.approx(watched.score(X_val, y_val), rel=1e-5)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_with_early_stopping_it_replaces_the_split(
    estimator: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y, X_val, y_val = draw_two()
    params = {"learning_rate_init": 0.05, "early_stopping": True, "random_state": 0}
    given = {"X_val": X_val, "y_val": y_val}
    # validation_fraction=0 cannot be split off.
    model = estimator(validation_fraction=0, n_iter_no_change=3, **params).fit(X, y, **given)
    assert model.n_iter_ < 200
    scores = model.validation_scores_
    assert model.best_validation_score_ == max(scores)
    assert model.best_n_iter_ == scores.index(max(scores)) + 1
    assert model.best_loss_ is None
    assert model.score(X_val, y_val) == pytest.approx(max(scores), rel=1e-5)
    assert model.t_ == model.n_iter_ * len(X)
    # All of X is trained on, in the order that no split would give: an ordinary fit until then.
    del params["early_stopping"]
    plain = estimator(max_iter=model.best_n_iter_, **params).fit(X, y)
    assert same_model(plain, model)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_the_split_by_hand_gives_the_same(
    early_stopping: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = draw(120)
    weight = np.random.default_rng(2).uniform(0.5, 2, len(y))
    rows = []
    split_rows = _validation.split_rows

    def remember(*args: Any) -> Any:
        rows.append(split_rows(*args))
        return rows[0]

    monkeypatch.setattr(_validation, "split_rows", remember)
    params = {"max_iter": 12, "shuffle": False, "random_state": 0, "scoring": "loss"}
    split = BackpropRegressor(early_stopping=True, **params).fit(X, y, weight)
    train, held = rows[0][0], rows[0][1].rows
    model = BackpropRegressor(early_stopping=early_stopping, **params)
    model.fit(
        X[train],
        y[train],
        weight[train],
        X_val=X[held],
        y_val=y[held],
        sample_weight_val=weight[held],
    )
    assert split.loss_curve_ == model.loss_curve_
    for name in CURVES:
        assert getattr(split, name) == getattr(model, name)
    assert split.validation_scores_ == [-loss for loss in split.validation_loss_curve_]


@pytest.mark.parametrize("same", [False, True])
def test_x_itself_may_be_its_own_validation_data(same: bool) -> None:
    X, y = draw()
    before = X.copy()
    model = BackpropClassifier(max_iter=5, alpha=0, batch_size=60, random_state=0)
    model.fit(X, y, X_val=X if same else X.copy(), y_val=y if same else y.copy())
    np.testing.assert_array_equal(X, before)
    # A batch of all: the loss before an update is the validation loss after the one before.
    expected = model.loss_curve_[1:]
    assert model.validation_loss_curve_[:-1] == pytest.approx(expected, rel=1e-6)


# The validation loss


def data_terms() -> list[Any]:
    X, y = draw(80)
    three = (2 * X[:, 1]).round().clip(-1, 1)
    many = np.column_stack([y, 1 - y, X[:, 2] > 0]).astype(int)
    counts = np.round(np.exp(X[:, 0].clip(-1, 1)))

    def squared(model: Any, X: Any, y: Any) -> Any:
        return ((model.predict(X) - y) ** 2 / 2).reshape(len(y), -1).mean(axis=1)

    def deviance(model: Any, X: Any, y: Any) -> Any:
        rate = model.predict(X)
        return np.where(y > 0, y * np.log(np.maximum(y, 1) / rate), 0) - y + rate

    def log_loss_rows(model: Any, X: Any, y: Any) -> Any:
        p = model.predict_proba(X)
        if y.ndim == 2:
            return -np.log(np.where(y > 0, p, 1 - p)).sum(axis=1)
        return -np.log(p[np.arange(len(y)), np.searchsorted(model.classes_, y)])

    def pinball(model: Any, X: Any, y: Any) -> Any:
        below = y - model.predict(X)
        return np.maximum(model.quantile * below, (model.quantile - 1) * below)

    def huber(model: Any, X: Any, y: Any) -> Any:
        error = abs(model.predict(X) - y)
        return np.where(error < 0.1, error**2 / 2, 0.1 * (error - 0.05))

    smooth = BackpropClassifier(label_smoothing=0.3)
    return [
        pytest.param(smooth, three, log_loss_rows, id="smoothing"),
        pytest.param(BackpropClassifier(dropout=0.5), three, log_loss_rows, id="dropout"),
        pytest.param(BackpropRegressor("quantile", quantile=0.2), X[:, 3], pinball, id="quantile"),
        pytest.param(BackpropRegressor("huber", huber_delta=0.1), X[:, 3], huber, id="huber"),
        pytest.param(BackpropClassifier(), y, log_loss_rows, id="binary"),
        pytest.param(BackpropClassifier(), three, log_loss_rows, id="multiclass"),
        pytest.param(BackpropClassifier(), many, log_loss_rows, id="multilabel"),
        pytest.param(BackpropRegressor(), X[:, 3], squared, id="regression"),
        pytest.param(BackpropRegressor(), X[:, 2:], squared, id="multioutput"),
        pytest.param(BackpropRegressor("poisson"), counts, deviance, id="poisson"),
    ]


@pytest.mark.parametrize(("model", "y", "rows_losses"), data_terms())
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_validation_loss_is_the_data_term(
    model: Any, y: Any, rows_losses: Any, weighted: bool, dtype: str
) -> None:
    X, _ = draw(80)
    weight = np.random.default_rng(0).uniform(0, 2, 30) if weighted else None
    model.set_params(max_iter=4, alpha=10, dtype=dtype, random_state=0)
    model.fit(X[30:], y[30:], X_val=X[:30], y_val=y[:30], sample_weight_val=weight)
    expected = np.average(rows_losses(model, X[:30], y[:30]), weights=weight)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    assert model.validation_loss_curve_[-1] == pytest.approx(expected, rel=tolerance)


def test_validation_loss_of_digits_finds_where_to_stop() -> None:
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X / 16, y, test_size=0.3, random_state=0)
    X, X_val, y, y_val = train_test_split(X, y, test_size=0.3, random_state=0)
    params = {"alpha": 0, "learning_rate_init": 0.02, "random_state": 0, "max_iter": 150}
    last = BackpropClassifier(**params).fit(X, y, X_val=X_val, y_val=y_val)
    curve = np.array(last.validation_loss_curve_)
    assert curve[-1] == pytest.approx(log_loss(y_val, last.predict_proba(X_val)), rel=1e-3)
    assert curve.min() < curve[-1]  # it overfits
    best = BackpropClassifier(early_stopping=True, scoring="loss", **params)
    best.fit(X, y, X_val=X_val, y_val=y_val)
    assert best.n_iter_ < last.n_iter_
    losses = [log_loss(y_test, model.predict_proba(X_test)) for model in (best, last)]
    assert losses[0] < losses[1]


def test_lbfgs_leaves_no_validation_curve() -> None:
    model = fitted(BackpropRegressor, early_stopping=True)
    assert len(model.validation_loss_curve_) == 3
    model.set_params(solver="lbfgs").fit(*draw())
    assert not any(hasattr(model, name) for name in CURVES)


def test_partial_fit_measures_nothing() -> None:
    X, y = draw()
    model = fitted(BackpropRegressor, early_stopping=True)
    model.set_params(early_stopping=False).partial_fit(X, y)
    assert [getattr(model, name) for name in CURVES] == [None] * 3


# Refits


def test_warm_refits_lengthen_the_curves() -> None:
    X, y, X_val, y_val = draw_two()
    given = {"X_val": X_val, "y_val": y_val}
    model = BackpropRegressor(max_iter=3, warm_start=True, random_state=0)
    first = model.fit(X, y, **given).validation_loss_curve_
    assert model.fit(X, y, **given).validation_loss_curve_[:3] == first
    assert len(model.validation_scores_) == len(model.loss_curve_) == 6
    model.fit(X, y)
    assert model.validation_scores_ is None
    model.fit(X, y, **given)
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 3


def test_early_stopping_after_a_fit_that_only_watched() -> None:
    X, y, X_val, y_val = draw_two()
    given = {"X_val": X_val, "y_val": y_val}
    model = BackpropRegressor(
        solver="sgd", learning_rate_init=0.05, max_iter=4, warm_start=True, random_state=0
    )
    model.fit(X, y, **given)
    model.set_params(early_stopping=True).fit(X, y, **given)
    # Weights of an epoch that was only watched are not to be had: the best is one of this call's.
    assert len(model.validation_scores_) == 8
    assert model.best_n_iter_ > 4
    assert model.best_validation_score_ == max(model.validation_scores_[4:])
    assert model.score(X_val, y_val) == pytest.approx(model.best_validation_score_, rel=1e-5)


def test_another_scoring_begins_anew() -> None:
    X, y, X_val, y_val = draw_two()
    given = {"X_val": X_val, "y_val": y_val}
    params = {"early_stopping": True, "max_iter": 4, "warm_start": True, "random_state": 0}
    model = BackpropClassifier(**params).fit(X, y, **given)
    assert model.best_validation_score_ > 0
    model.set_params(scoring="loss").fit(X, y, **given)
    assert model.best_validation_score_ == max(model.validation_scores_) < 0
    assert len(model.validation_scores_) == len(model.validation_loss_curve_) == 4


# What it may be


@pytest.mark.parametrize("shape", ["list", "pandas", "polars", "fortran", "csr", "csc", "coo"])
def test_containers(shape: str) -> None:
    X, y, X_val, y_val = draw_two()
    params = {"max_iter": 3, "random_state": 0}
    expected = BackpropClassifier(**params).fit(X, y, X_val=X_val, y_val=y_val)
    names = list("abcd")
    convert = {
        "list": lambda a: a.tolist(),
        "pandas": lambda a: pd.DataFrame(a, columns=names),
        "polars": lambda a: pl.DataFrame(a, schema=names),
        "fortran": np.asfortranarray,
        "csr": sp.csr_matrix,
        "csc": sp.csc_array,
        "coo": sp.coo_array,
    }[shape]
    framed = shape in ("pandas", "polars")
    model = BackpropClassifier(**params)
    model.fit(convert(X) if framed else X, y, X_val=convert(X_val), y_val=y_val.tolist())
    assert model.validation_loss_curve_ == pytest.approx(expected.validation_loss_curve_, rel=1e-6)


@pytest.mark.parametrize("train", ["sparse", "dense"])
@pytest.mark.parametrize("validation", ["sparser", "fuller", "dense"])
def test_sparse_x_of_many_columns(train: str, validation: str) -> None:
    rng = np.random.default_rng(0)
    X = sp.random(80, 300, 0.03, format="csr", random_state=rng)
    X_val = sp.random(
        30, 300, 0.5 if validation == "fuller" else 0.01, format="csr", random_state=rng
    )
    y, y_val = rng.integers(3, size=80), rng.integers(3, size=30)
    params = {"max_iter": 3, "random_state": 0, "early_stopping": True}
    expected = BackpropClassifier(**params)
    expected.fit(X.toarray(), y, X_val=X_val.toarray(), y_val=y_val)
    model = BackpropClassifier(**params)
    model.fit(
        X if train == "sparse" else X.toarray(),
        y,
        X_val=X_val.toarray() if validation == "dense" else X_val,
        y_val=y_val,
    )
    assert model.validation_scores_ == expected.validation_scores_
    assert model.validation_loss_curve_ == pytest.approx(expected.validation_loss_curve_, rel=1e-5)


def test_fewer_labels_and_one_row_do() -> None:
    X, _ = draw()
    y = np.arange(60) % 3
    model = BackpropClassifier(max_iter=2, warm_start=True, random_state=0)
    for _ in range(2):
        model.fit(X, y, X_val=X[:1], y_val=y[:1])
    assert model.validation_scores_[0] in (0, 1)
    assert math.isfinite(model.validation_loss_curve_[0])


def test_strings_and_multilabel() -> None:
    X, y = draw()
    names = np.array(["no", "yes"])[y]
    many = np.column_stack([y, 1 - y])
    for labels in (names, many, sp.csr_matrix(many)):
        model = BackpropClassifier(max_iter=3, random_state=0)
        model.fit(X, labels, X_val=X[:20], y_val=labels[:20])
        expected = accuracy_score(labels[:20], model.predict(X[:20]))
        assert model.validation_scores_[-1] == expected


def invalid_data() -> list[Any]:
    X, y = draw()
    masked = np.ma.masked_array(X, X > 2)
    frame = pd.DataFrame(X, columns=list("abdc"))
    weights = {"sample_weight_val": -np.ones(60)}
    cases = [
        ("no_y", "X_val is given without y_val", {"X_val": X}),
        ("no_X", "y_val is given without X_val", {"y_val": y}),
        ("weights_only", "sample_weight_val is given without X_val", weights),
        ("features", "X has 2 features", {"X_val": X[:, :2], "y_val": y}),
        ("names", "feature names should match", {"X_val": frame, "y_val": y}),
        ("nan", "NaN", {"X_val": np.where(X > 2, np.nan, X), "y_val": y}),
        ("masked", "masked array", {"X_val": masked, "y_val": y}),
        ("float32", "beyond the range of float32", {"X_val": 1e300 * X, "y_val": y}),
        ("length", "inconsistent numbers", {"X_val": X, "y_val": y[1:]}),
        ("empty", "0 sample", {"X_val": X[:0], "y_val": y[:0]}),
        ("y_nan", "NaN", {"X_val": X, "y_val": np.where(X[:, 0] > 1, np.nan, y)}),
        ("outputs", "multilabel|outputs", {"X_val": X, "y_val": np.column_stack([y, y])}),
        ("negative", "Negative values", {"X_val": X, "y_val": y, **weights}),
        (
            "zero",
            "at least one non-zero",
            {"X_val": X, "y_val": y, "sample_weight_val": np.zeros(60)},
        ),
        ("weights", "shape", {"X_val": X, "y_val": y, "sample_weight_val": np.ones(3)}),
    ]
    return [pytest.param(message, given, id=name) for name, message, given in cases]


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(("message", "given"), invalid_data())
def test_what_cannot_be_used_raises(estimator: type, message: str, given: Any) -> None:
    X, y = draw()
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = estimator(max_iter=2, random_state=0).fit(X, y)
    state = digest(model)
    with pytest.raises(ValueError, match=message) as error:
        model.fit(frame if isinstance(given.get("X_val"), pd.DataFrame) else X, y, **given)
    assert "_val" in str(error.value)
    assert digest(model) == state


@pytest.mark.parametrize(
    ("y", "y_val"),
    [
        ([0, 1], [0, 2]),
        (["a", "b"], ["a", "c"]),
        ([0, 1], ["0", "1"]),
        ([[0, 1], [1, 1]], [0, 1]),
        ([[0, 1], [1, 1]], [[0, 1, 1], [1, 1, 0]]),
    ],
)
def test_labels_unseen_in_y_raise(y: Any, y_val: Any) -> None:
    X, _ = draw()
    y, y_val = np.array(y * 30), np.array(y_val * 30)
    with pytest.raises(ValueError, match="In X_val, y_val or sample_weight_val: "):
        BackpropClassifier(max_iter=2).fit(X, y, X_val=X, y_val=y_val)


def test_poisson_refuses_negative_validation_targets() -> None:
    X, y = draw()
    with pytest.raises(ValueError, match=r"X_val, y_val .*negative.*poisson"):
        BackpropRegressor("poisson").fit(X, y, X_val=X, y_val=y - 1)


# Metadata


@pytest.mark.parametrize("routing", [False, True])
def test_a_search_slices_validation_data_as_long_as_x(routing: bool) -> None:
    X, y = draw(60)
    lengths = []

    class Watching(BackpropRegressor):
        def fit(self, X: Any, y: Any, *, X_val: Any = None, y_val: Any = None) -> Any:
            lengths.append((len(X), len(X_val), len(y_val)))
            return super().fit(X, y, X_val=X_val, y_val=y_val)

    with config_context(enable_metadata_routing=routing):
        model = Watching(max_iter=2, random_state=0)
        if routing:
            model.set_fit_request(X_val=True, y_val=True)
        for n_val, cut in ((60, 40), (25, 25)):
            given = {"X_val": X[:n_val], "y_val": y[:n_val]}
            search = GridSearchCV(model, {"alpha": [0.1]}, cv=3, error_score="raise")
            search.fit(X, y, **given)
            assert lengths == [(40, cut, cut)] * 3 + [(60, n_val, n_val)]
            lengths.clear()
            cross_validate(model, X, y, cv=3, params=given, error_score="raise")
            assert lengths == [(40, cut, cut)] * 3
            lengths.clear()


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_pipeline_transforms_it_too(estimator: type) -> None:
    X, y, X_val, y_val = draw_two()
    X, X_val = 100 * X + 7, 100 * X_val + 7
    weight = np.random.default_rng(1).uniform(0.1, 2, len(y_val))
    model = estimator(early_stopping=True, max_iter=10, random_state=0)
    scaler = StandardScaler().fit(X)
    expected = estimator(**model.get_params()).fit(
        scaler.transform(X),
        y,
        X_val=scaler.transform(X_val),
        y_val=y_val,
        sample_weight_val=weight,
    )
    with config_context(enable_metadata_routing=True):
        model.set_fit_request(X_val=True, y_val=True, sample_weight_val=True)
        steps = [("scale", StandardScaler()), ("model", model)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        pipeline.fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    assert model.validation_loss_curve_ == expected.validation_loss_curve_
    assert same_model(model, expected)
    score = r2_score if estimator is BackpropRegressor else accuracy_score
    predictions = model.predict(scaler.transform(X_val))
    expected_score = score(y_val, predictions, sample_weight=weight)
    assert model.best_validation_score_ == pytest.approx(expected_score, rel=1e-5)
