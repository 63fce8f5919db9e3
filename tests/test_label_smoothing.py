# SPDX-License-Identifier: BSD-3-Clause
"""``label_smoothing``: what it means for each task, and what it is good for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from models import draw
from sklearn.datasets import load_digits
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from fastbp import BackpropClassifier

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TASKS = {
    "binary": lambda y, rng: y,
    "multiclass": lambda y, rng: np.where(rng.random(len(y)) < 0.4, 2, y),
    "multilabel": lambda y, rng: np.c_[y, 1 - y, rng.integers(2, size=len(y))],
}


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
def test_loss_is_the_cross_entropy_with_smoothed_labels(solver: str, task: str) -> None:
    X, y = draw()
    y = TASKS[task](y, np.random.default_rng(0))
    s = 0.2
    params: dict[str, Any] = {"alpha": 0, "dtype": "float64", "random_state": 0}
    model = BackpropClassifier(5, solver=solver, label_smoothing=s, max_iter=5, **params)
    model.set_params(batch_size=len(X), warm_start=True)
    if solver == "lbfgs":
        probabilities = model.fit(X, y).predict_proba(X)
    else:  # the loss of the next epoch is that of the weights now
        probabilities = model.fit(X, y).predict_proba(X)
        model.set_params(max_iter=1).fit(X, y)
    labels = y if task == "multilabel" else np.eye(len(model.classes_))[y]
    k = labels.shape[1] if task == "multiclass" else 2
    t = labels * (1 - s) + s / k
    expected = -(t * np.log(probabilities))
    if task == "multilabel":
        expected -= (1 - t) * np.log(1 - probabilities)
    assert model.loss_ == pytest.approx(expected.sum(axis=1).mean(), rel=1e-9)


@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
def test_none_is_none(solver: str) -> None:
    X, y = draw()
    params: dict[str, Any] = {"solver": solver, "max_iter": 5, "random_state": 0}
    plain = BackpropClassifier(5, **params).fit(X, y)
    unsmoothed = BackpropClassifier(5, label_smoothing=0, **params).fit(X, y)
    smoothed = BackpropClassifier(5, label_smoothing=0.1, **params).fit(X, y)
    np.testing.assert_array_equal(plain.coefs_[0], unsmoothed.coefs_[0])
    assert not np.array_equal(plain.coefs_[0], smoothed.coefs_[0])


def test_partial_fit_smooths() -> None:
    X, y = draw()
    plain, smoothed = (
        BackpropClassifier(5, label_smoothing=s, random_state=0).partial_fit(X, y, classes=[0, 1])
        for s in (0, 0.3)
    )
    assert not np.array_equal(plain.coefs_[0], smoothed.coefs_[0])


@pytest.mark.parametrize("n_classes", [2, 10])
def test_it_helps_where_labels_are_wrong(n_classes: int) -> None:
    """A quarter of the labels are drawn at random, as raters err, also those to be predicted."""
    X, y = load_digits(return_X_y=True)
    y = y if n_classes == 10 else (y > 4).astype(int)
    rng = np.random.default_rng(0)
    y = np.where(rng.random(len(y)) < 0.25, rng.integers(n_classes, size=len(y)), y)
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    losses, confidence = [], []
    for s in (0.0, 0.2):
        model = BackpropClassifier(label_smoothing=s, max_iter=300, random_state=0)
        probabilities = model.fit(X_train, y_train).predict_proba(X_test)
        losses.append(log_loss(y_test, probabilities))
        confidence.append(probabilities.max(axis=1).mean())
    assert losses[1] < 0.96 * losses[0]
    assert confidence[1] < confidence[0] - 0.05


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, np.nan, "a", None], ids=str)
def test_bad_values(value: Any) -> None:
    X, y = draw()
    with pytest.raises(ValueError, match=r"label_smoothing.*\[0.0, 1.0\)|label_smoothing"):
        BackpropClassifier(label_smoothing=value).fit(X, y)
