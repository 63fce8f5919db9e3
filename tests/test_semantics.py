# SPDX-License-Identifier: BSD-3-Clause
"""What scikit-learn's MLP does beside its numbers, each thing by itself: the order of calls, random
numbers, ties; test_differential has the numbers.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, digest, draw, fitted, since_scikit_learn
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils import check_random_state

from fastbp import BackpropClassifier, BackpropRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PAIRS = [(BackpropClassifier, MLPClassifier), (BackpropRegressor, MLPRegressor)]


def make_pair(pair: Any, **params: Any) -> tuple[Any, Any]:
    ours, theirs = pair
    return ours(dtype="float64", **params), theirs(**params)


def assert_same(ours: Any, theirs: Any) -> None:
    """Assert that two estimators stand at the same place of the same training."""
    assert (ours.n_iter_, ours.t_) == (theirs.n_iter_, theirs.t_)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-9)


# Orders of calls


ORDERS = [
    ("partial_fit", "fit", "partial_fit"),
    ("fit", "partial_fit", "fit", "partial_fit", "partial_fit"),
    ("partial_fit", "partial_fit", "fit", "fit", "partial_fit"),
]


@since_scikit_learn("1.7", "rounds elsewhere")
@pytest.mark.parametrize("pair", PAIRS, ids=["classifier", "regressor"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("warm_start", [False, True])
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_calls_in_any_order(order: Any, warm_start: bool, solver: str, pair: Any) -> None:
    """Each on another kind of X: dense, CSR, CSC, columns first."""
    X, y = load_breast_cancer(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    X[np.abs(X) < 0.4] = 0
    containers = [np.asarray, sp.csr_matrix, np.asfortranarray, sp.csc_array]
    params = {"max_iter": 3, "hidden_layer_sizes": 7, "random_state": 0, "batch_size": 50}
    ours, theirs = make_pair(pair, solver=solver, warm_start=warm_start, **params)
    for i, method in enumerate(order):
        rows = slice(None, None, 1 + i % 2)
        kind = containers[i % len(containers)]
        for model in (ours, theirs):
            classes = (
                [0, 1] if method == "partial_fit" and hasattr(model, "predict_proba") else None
            )
            options = {} if classes is None else {"classes": classes}
            getattr(model, method)(kind(X[rows]), y[rows], **options)
        assert_same(ours, theirs)


@pytest.mark.parametrize("n_features", [20, 400])
def test_sparse_and_dense_parts_by_turns(n_features: int) -> None:
    """400 sparse columns are trained on by their stored values alone; the bits are the same."""
    rng = np.random.default_rng(0)
    X = sp.random(90, n_features, 0.05, format="csr", random_state=rng)
    Y = rng.integers(0, 2, size=(90, 3))
    by_turns = BackpropClassifier(hidden_layer_sizes=9, random_state=0)
    dense = BackpropClassifier(hidden_layer_sizes=9, random_state=0)
    for i in range(6):
        rows = slice(15 * i, 15 * i + 15)
        part = X[rows] if i % 2 else X[rows].toarray()
        target = sp.csr_matrix(Y[rows]) if i % 3 else Y[rows]
        by_turns.partial_fit(part, target, classes=[0, 1, 2])
        dense.partial_fit(X[rows].toarray(), Y[rows], classes=[0, 1, 2])
    np.testing.assert_array_equal(by_turns.coefs_[0], dense.coefs_[0])
    np.testing.assert_array_equal(by_turns.predict_proba(X), dense.predict_proba(X.toarray()))


# Random numbers


@since_scikit_learn("1.7", "stratifies early stopping otherwise")
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("pair", PAIRS, ids=["classifier", "regressor"])
def test_as_many_random_numbers_are_drawn(pair: Any, solver: str, early_stopping: bool) -> None:
    X, y = draw(100)
    states = []
    for model in make_pair(pair, solver=solver, early_stopping=early_stopping, max_iter=4):
        model.random_state = np.random.RandomState(3)
        model.fit(X, y).predict(X)
        states.append(model.random_state.randint(2**31, size=5))
    np.testing.assert_array_equal(*states)


@pytest.mark.parametrize("pair", PAIRS, ids=["classifier", "regressor"])
def test_the_global_random_state(pair: Any) -> None:
    """It is drawn from without a random_state only, and never seeded."""
    X, y = draw(100)
    curves, states = [], []
    for model in make_pair(pair, max_iter=4):
        shared = check_random_state(None)
        shared.seed(7)
        curves.append(model.fit(X, y).loss_curve_)
        states.append(shared.randint(2**31))
        expected = shared.get_state()[1].copy()
        model.set_params(random_state=5).fit(X, y).partial_fit(X, y).predict(X)
        np.testing.assert_array_equal(shared.get_state()[1], expected)
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-9)
    assert states[0] == states[1]


# Early stopping


@since_scikit_learn("1.7", "stratifies otherwise")
@pytest.mark.parametrize(("tol", "n_iter"), [(0.0, 12), (1e-4, 5)])
def test_ties_keep_the_first_best(tol: float, n_iter: int) -> None:
    """Steps too small to change a prediction: every epoch has the same score."""
    X, y = load_digits(n_class=2, return_X_y=True)
    params = {"learning_rate_init": 1e-12, "n_iter_no_change": 3, "max_iter": 12, "tol": tol}
    ours, theirs = make_pair(PAIRS[0], early_stopping=True, random_state=0, **params)
    for model in (ours, theirs):
        model.fit(X, y)
        assert len(set(model.validation_scores_)) == 1
        assert model.n_iter_ == n_iter
    assert ours.best_n_iter_ == 1
    assert ours.best_validation_score_ == theirs.best_validation_score_
    once = BackpropClassifier(early_stopping=True, dtype="float64", random_state=0)
    once.set_params(**{**params, "max_iter": 1}).fit(X, y)
    np.testing.assert_array_equal(ours.coefs_[0], once.coefs_[0])
    assert_same(ours, theirs)


@since_scikit_learn("1.9", "says it otherwise")
@pytest.mark.parametrize("pair", PAIRS, ids=["classifier", "regressor"])
def test_messages_are_scikit_learns(pair: Any) -> None:
    X, y = draw(100)
    calls = [
        ({"max_iter": 2}, (X, y)),
        ({"max_iter": 2, "solver": "lbfgs"}, (X, y)),
        ({"batch_size": 1000, "max_iter": 2}, (X, y)),
        ({"early_stopping": True, "validation_fraction": 0.01}, (X, y)),
        ({"hidden_layer_sizes": (3, -1)}, (X, y)),
        ({"solver": "newton"}, (X, y)),
        ({}, (X, y[:-1])),
        ({}, (X[:, 0], y)),
        ({}, (X, y.reshape(-1, 1))),
        ({}, (np.empty((0, 3)), y[:0])),
    ]
    for params, data in calls:
        said = [what_is_said(model, data) for model in make_pair(pair, random_state=0, **params)]
        # ours says first what the sizes of a split come from
        split = "early_stopping with validation_fraction=0.01 of 100 samples: "
        assert [text.removeprefix(split) for text in said[0]] == said[1]
        assert said[0]


def what_is_said(model: Any, data: Any) -> list[str]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            model.fit(*data)
        except Exception as error:
            return [type(error).__name__, str(error).replace(type(model).__name__, "")]
    messages = (f"{each.category.__name__}: {each.message}" for each in caught)
    return [message.split("\n")[0] for message in messages]  # SciPy's own words follow


# What a fit must leave alone


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_data_and_parameters_are_left_alone(estimator: type) -> None:
    X, y = draw()
    weight = np.linspace(0.1, 1, len(y))
    sizes = [5, 4]
    model = estimator(hidden_layer_sizes=sizes, max_iter=2, early_stopping=True, random_state=0)
    params, copies = model.get_params(), [X.copy(), y.copy(), weight.copy()]
    model.fit(X, y, weight).predict(X)
    assert model.get_params() == params
    assert model.hidden_layer_sizes is sizes and sizes == [5, 4]
    for now, then in zip((X, y, weight), copies, strict=True):
        np.testing.assert_array_equal(now, then)


def test_the_activation_may_change_after_a_fit() -> None:
    """scikit-learn would predict with the new one."""
    X, _ = draw()
    for estimator in ESTIMATORS:
        model = fitted(estimator, activation="tanh")
        state = digest(model)
        expected = model.predict(X)
        model.set_params(activation="relu")
        np.testing.assert_array_equal(model.predict(X), expected)
        assert digest(model.set_params(activation="tanh")) == state
