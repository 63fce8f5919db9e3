# SPDX-License-Identifier: BSD-3-Clause
"""``class_weight``: what it means, where it reaches, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import digest, draw
from sklearn.datasets import load_digits
from sklearn.metrics import balanced_accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

from fastbp import BackpropClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def draw_classes(labels: Any, n: int = 90) -> tuple[np.ndarray, np.ndarray]:
    """Draw X and a y of these classes, each rarer than the one before."""
    rng = np.random.default_rng(1)
    codes = np.sort(rng.geometric(0.6, n) - 1).clip(max=len(labels) - 1)
    X = rng.normal(size=(n, 4)) + codes[:, None] * [1, 0.5, -1, 0]
    order = rng.permutation(n)
    return X[order], np.asarray(labels)[codes[order]]


@pytest.mark.parametrize("labels", [[0, 1], ["a", "b", "c"]], ids=["binary", "multiclass"])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_equals_repeated_rows_in_one_batch(labels: Any, solver: str) -> None:
    X, y = draw_classes(labels)
    times = dict(zip(labels, (1, 3, 2), strict=False))
    repeats = [times[label] for label in y.tolist()]
    params = {"solver": solver, "dtype": "float64", "max_iter": 20, "random_state": 0}
    weighted = BackpropClassifier(5, class_weight=times, **params, batch_size=len(X)).fit(X, y)
    rows = np.repeat(np.arange(len(X)), repeats)
    repeated = BackpropClassifier(5, **params, batch_size=len(rows)).fit(X[rows], y[rows])
    if solver != "lbfgs":
        np.testing.assert_allclose(weighted.loss_curve_, repeated.loss_curve_, rtol=1e-9)
    np.testing.assert_allclose(weighted.loss_, repeated.loss_, rtol=1e-6)
    tolerance = 1e-3 if solver == "lbfgs" else 1e-7
    for ours, theirs in zip(weighted.coefs_, repeated.coefs_, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("class_weight", ["balanced", {"a": 0.5, "b": 2, "c": 3}, {"a": 0.5}])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_is_sample_weight_computed_from_all_of_y(class_weight: Any, early_stopping: bool) -> None:
    X, y = draw_classes(["a", "b", "c"])
    own = np.random.default_rng(0).uniform(0.5, 2, len(y))
    params = {"early_stopping": early_stopping, "max_iter": 8, "random_state": 0}
    ours = BackpropClassifier(5, class_weight=class_weight, **params).fit(X, y, own)
    factors = compute_sample_weight(class_weight, y)
    expected = BackpropClassifier(5, **params).fit(X, y, own * factors)
    assert ours.loss_curve_ == expected.loss_curve_
    assert ours.validation_scores_ == expected.validation_scores_
    assert np.array_equal(ours.predict_proba(X), expected.predict_proba(X))
    if not has_fit_parameter(MLPClassifier(), "sample_weight"):  # before scikit-learn 1.7
        return
    codes = np.unique(y, return_inverse=True)[1]  # before 1.9 early stopping fails on strings
    theirs = MLPClassifier(5, **params).fit(X, codes, own * factors)
    assert ours.loss_curve_ == pytest.approx(theirs.loss_curve_, rel=1e-4)


@pytest.mark.parametrize(
    "labels",
    [[False, True], [-1, 1], [-5, -4, 3], [1.0, 2.0], np.array(["n", "p"], object), ["", "ä", "z"]],
)
def test_labels_of_any_type(labels: Any) -> None:
    X, y = draw_classes(labels)
    class_weight = {label: 1 + place for place, label in reversed(list(enumerate(labels)))}
    weight = [class_weight[label] for label in y.tolist()]
    ours = BackpropClassifier(5, class_weight=class_weight, max_iter=2, random_state=0).fit(X, y)
    expected = BackpropClassifier(5, max_iter=2, random_state=0).fit(X, y, weight)
    assert ours.loss_curve_ == expected.loss_curve_


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_data_of_ones_own_keep_their_weights(
    weighted: bool, early_stopping: bool
) -> None:
    X, y = draw()
    weight = np.random.default_rng(1).random(len(y)) if weighted else None
    model = BackpropClassifier(
        class_weight={0: 1, 1: 5}, early_stopping=early_stopping, max_iter=1, random_state=0
    )
    model.fit(X, y, X_val=X, y_val=y, sample_weight_val=weight)
    score = model.score(X, y, sample_weight=weight)
    assert model.validation_scores_ == [pytest.approx(score, rel=1e-6)]
    loss = log_loss(y, model.predict_proba(X), sample_weight=weight)
    assert model.validation_loss_curve_ == [pytest.approx(loss, rel=1e-5)]


def test_weights_of_one_change_no_bit() -> None:
    X, y = draw()
    plain = BackpropClassifier(max_iter=3, random_state=0).fit(X, y)
    ones = BackpropClassifier(max_iter=3, random_state=0, class_weight={0: 1, 1: 1}).fit(X, y)
    assert np.array_equal(plain.coefs_[0], ones.coefs_[0])


def test_helps_where_a_class_is_rare() -> None:
    X, digit = load_digits(return_X_y=True)
    y = digit == 8
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, stratify=y, random_state=0)
    scores = {}
    for class_weight in (None, "balanced"):
        model = BackpropClassifier(5, max_iter=30, random_state=0, class_weight=class_weight)
        model.fit(X_train, y_train)
        scores[class_weight] = balanced_accuracy_score(y_test, model.predict(X_test))
    assert scores["balanced"] > scores[None] + 0.1


def test_partial_fit_takes_a_dict_also_where_a_batch_lacks_classes() -> None:
    X, y = draw_classes([0, 1, 2])
    class_weight = {2: 5.0}
    ours = BackpropClassifier(5, class_weight=class_weight, random_state=0)
    expected = BackpropClassifier(5, random_state=0)
    for label in (0, 2, 1):
        rows = y == label
        ours.partial_fit(X[rows], y[rows], classes=[0, 1, 2])
        weight = np.full(rows.sum(), class_weight.get(label, 1))
        expected.partial_fit(X[rows], y[rows], weight, classes=[0, 1, 2])
    assert np.array_equal(ours.coefs_[0], expected.coefs_[0])


@pytest.mark.parametrize(
    ("class_weight", "message"),
    [
        ({0: 1, 5: 2}, "classes, .1., are not in class_weight"),  # scikit-learn's
        ({0: -1, 1: 1}, "class_weight must be numbers that are finite and at least 0"),
        ({0: np.nan, 1: 1}, "class_weight must be numbers that are finite and at least 0"),
        ({0: np.inf, 1: 1}, "class_weight must be numbers that are finite and at least 0"),
        ({0: 10**400, 1: 1}, "class_weight must be numbers that are finite and at least 0"),
        ({0: "twice", 1: 1}, "class_weight must be numbers that are finite and at least 0"),
        ({0: None, 1: 1}, "class_weight must be numbers that are finite and at least 0"),
        ({0: 0, 1: 0}, "at least one non-zero"),
        ({0: 1e300, 1: 1}, "beyond the range of float32"),
        ("even", "'class_weight' parameter"),
        ([1, 2], "'class_weight' parameter"),
    ],
)
def test_what_cannot_be_used_raises(class_weight: Any, message: str) -> None:
    X, y = draw()
    model = BackpropClassifier(class_weight=class_weight)
    state = digest(model)
    with pytest.raises(ValueError, match=message):
        model.fit(X, y)
    assert digest(model) == state


@pytest.mark.parametrize("class_weight", ["balanced", {0: 2}])
def test_multilabel_raises(class_weight: Any) -> None:
    X, y = draw()
    with pytest.raises(ValueError, match=r"class_weight=.*multilabel.*sample_weight"):
        BackpropClassifier(class_weight=class_weight).fit(X, np.column_stack([y, 1 - y, y]))


def test_balanced_raises_in_partial_fit() -> None:
    X, y = draw()
    model = BackpropClassifier(class_weight="balanced")
    with pytest.raises(ValueError, match="'balanced' does not work with partial_fit"):
        model.partial_fit(X, y, classes=[0, 1])
    model.fit(X, y)
    with pytest.raises(ValueError, match="'balanced' does not work with partial_fit"):
        model.partial_fit(X, y)
