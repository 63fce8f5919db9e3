# SPDX-License-Identifier: BSD-3-Clause
"""What an estimator holds: after failures, divergence, refits, edits and pickling."""

from __future__ import annotations

import copy
import math
import pickle
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS, SOLVERS, digest, draw, fitted
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fastbp import BackpropClassifier, BackpropRegressor
from fastbp._weights import pack, unpack

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Failures


def failing_calls() -> Iterator[tuple[str, dict[str, Any], tuple[Any, ...]]]:
    """Give a name, parameters, and X, y, sample_weight that fail to fit."""
    X, y = draw()
    yield "parameter", {"alpha": -1}, (X, y)
    yield "sizes", {"hidden_layer_sizes": (3, 0)}, (X, y)
    yield "nan", {}, (np.where(X > 2, np.nan, X), y)
    yield "shape", {}, (X[:, :2], y[:-1])
    yield "one_dimension", {}, (X[:, 0], y)
    yield "weights", {}, (X, y, -np.ones(len(y)))
    yield "divergence", {"solver": "sgd", "learning_rate_init": 1e200}, (X[:, :3], y)
    yield "huge", {"hidden_layer_sizes": (10**7, 10**7)}, (X, y)
    split = {"solver": "adam", "early_stopping": True, "validation_fraction": 0.01}
    yield "validation", split, (X, y)
    yield "float32", {"dtype": "float32"}, (1e300 * X, y)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("call", list(failing_calls()), ids=lambda call: call[0])
def test_failed_fit_changes_nothing(estimator: type, call: Any) -> None:
    _, params, data = call
    for before in (estimator(), fitted(estimator), fitted(estimator, solver="lbfgs")):
        before.set_params(**params)
        state = digest(before)
        with pytest.raises((ValueError, MemoryError)):
            before.fit(*data)
        assert digest(before) == state


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_failed_partial_fit_changes_nothing(estimator: type) -> None:
    X, y = draw()
    first = {"classes": [0, 1]} if estimator is BackpropClassifier else {}
    model = estimator(random_state=0)
    with pytest.raises(ValueError):
        model.partial_fit(np.where(X > 2, np.nan, X), y, **first)
    assert vars(model) == vars(estimator(random_state=0))
    model.partial_fit(X, y, **first)
    state = digest(model)
    with pytest.raises(ValueError, match="features"):
        model.partial_fit(X[:, :2], y)
    model.early_stopping = True
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        model.partial_fit(X, y)
    model.early_stopping = False
    assert digest(model) == state


@pytest.mark.parametrize("solver", SOLVERS)
def test_warnings_turned_into_errors_change_nothing(solver: str) -> None:
    model = fitted(BackpropClassifier, solver=solver)
    state = digest(model)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ConvergenceWarning):
            model.fit(*draw())
    assert digest(model) == state


def test_unfitted_raises() -> None:
    X, _ = draw()
    with pytest.raises(NotFittedError):
        BackpropClassifier().predict(X)
    with pytest.raises(NotFittedError):
        BackpropRegressor().predict(X)


# Divergence

RUNAWAY = {"solver": "sgd", "activation": "identity", "momentum": 0.9, "max_iter": 50}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_divergence_raises(estimator: type, dtype: str) -> None:
    model = estimator(learning_rate_init=1e30, dtype=dtype, random_state=0, **RUNAWAY)
    with pytest.raises(ValueError, match=r"^Solver produced non-finite parameter weights"):
        model.fit(*draw())
    assert not hasattr(model, "coefs_")


def test_divergence_in_the_last_update_raises() -> None:
    model = BackpropRegressor(solver="sgd", learning_rate_init=1e308, max_iter=1, dtype="float64")
    X, y = draw()
    with pytest.raises(ValueError, match=r"^Solver produced non-finite parameter weights"):
        model.fit(X, 1e3 * y)


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_a_loss_beyond_float64_raises(solver: str) -> None:
    model = BackpropRegressor(
        solver=solver, learning_rate_init=1e-300, dtype="float64", max_iter=2, random_state=0
    )
    X, y = draw()
    with pytest.raises(ValueError, match=r"^Solver produced non-finite parameter weights"):
        model.fit(X, 1e200 * y)
    assert not hasattr(model, "coefs_")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_diverging_early_stopping_restores_the_best(dtype: str) -> None:
    X, y = draw(200)
    model = BackpropRegressor(
        learning_rate_init=1, early_stopping=True, dtype=dtype, random_state=0, **RUNAWAY
    )
    with pytest.warns(ConvergenceWarning, match="diverged; the weights of epoch 1,"):
        model.fit(X, y)
    scores = model.validation_scores_
    assert math.isnan(scores[-1])
    assert len(scores) == len(model.loss_curve_) == model.n_iter_ < 50
    assert model.best_validation_score_ == np.nanmax(scores)
    assert np.isfinite(model.predict(X)).all()
    model.learning_rate_init = 1e200  # not one finite score now
    state = digest(model)
    with pytest.raises(ValueError, match=r"^Solver produced non-finite parameter weights"):
        model.fit(X, y)
    assert digest(model) == state


# Refits


def test_warm_refit_restores_the_true_best() -> None:
    X, y = draw(100)
    model = BackpropRegressor(early_stopping=True, warm_start=True, max_iter=20, random_state=0)
    model.fit(X, y)
    best = copy.deepcopy((model.coefs_, model.best_validation_score_, model.best_n_iter_))
    model.set_params(shuffle=False, max_iter=3, learning_rate_init=1.0, solver="sgd").fit(X, y)
    assert len(model.validation_scores_) == len(model.loss_curve_) > model.n_iter_
    assert (model.best_validation_score_, model.best_n_iter_) == best[1:]
    for now, then in zip(model.coefs_, best[0], strict=True):
        np.testing.assert_array_equal(now, then)


def test_early_stopping_may_be_switched_between_calls() -> None:
    X, y = draw(100)
    model = BackpropRegressor(warm_start=True, max_iter=3, random_state=0).fit(X, y)
    model.set_params(early_stopping=True).fit(X, y)
    assert model.best_loss_ is None
    assert len(model.validation_scores_) == 3
    assert model.best_n_iter_ <= 3
    model.set_params(early_stopping=False).partial_fit(X, y)
    assert model.validation_scores_ is None
    assert model.best_loss_ == model.loss_curve_[-1]
    assert len(model.loss_curve_) == 7


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_changed_shapes_raise(estimator: type) -> None:
    X, y = draw()
    for solver in SOLVERS:
        model = fitted(estimator, hidden_layer_sizes=(5, 4), solver=solver, warm_start=True)
        model.set_params(hidden_layer_sizes=(5, 3))
        with pytest.raises(ValueError, match=r"hidden_layer_sizes=\(5, 3\) differs .* \(5, 4\)"):
            model.fit(X, y)
        if solver != "lbfgs":
            with pytest.raises(ValueError, match="hidden_layer_sizes"):
                model.partial_fit(X, y)
        model.set_params(warm_start=False).fit(X, y)


def test_attributes_of_another_solver_are_removed() -> None:
    X, y = draw()
    model = BackpropClassifier(early_stopping=True, max_iter=3, random_state=0).fit(X, y)
    model.set_params(solver="lbfgs").fit(X, y)
    expected = BackpropClassifier(solver="lbfgs", max_iter=3, random_state=0).fit(X, y)
    assert set(vars(model)) == set(vars(expected))
    assert not hasattr(model, "loss_curve_")
    model.set_params(solver="sgd", early_stopping=False).partial_fit(X, y)
    assert len(model.loss_curve_) == 1


def test_feature_names_of_the_last_fit() -> None:
    pd = pytest.importorskip("pandas")
    X, y = draw()
    model = BackpropRegressor(max_iter=2).fit(pd.DataFrame(X, columns=list("abcd")), y)
    assert list(model.feature_names_in_) == list("abcd")
    with pytest.warns(UserWarning, match="feature names"):
        model.fit(X, y).predict(pd.DataFrame(X, columns=list("abcd")))
    assert not hasattr(model, "feature_names_in_")


def test_partial_fit_goes_on_with_the_solver_it_has() -> None:
    X, y = draw()
    model = BackpropRegressor(solver="sgd", random_state=0).partial_fit(X, y)
    model.set_params(solver="adam", learning_rate_init=0.5).partial_fit(X, y)
    same = BackpropRegressor(solver="sgd", random_state=0).partial_fit(X, y).partial_fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], same.coefs_[0])


def test_type_may_change_between_calls() -> None:
    X, y = draw()
    model = BackpropRegressor(dtype="float32", random_state=0).partial_fit(X, y)
    model.set_params(dtype="float64").partial_fit(X, y)
    assert model.coefs_[0].dtype == model._optimizer.moments[0].coefs[0].dtype == np.float64


def test_predict_beside_fit_sees_one_model() -> None:
    X, y = draw()
    model = BackpropClassifier(max_iter=1, n_jobs=1)
    expected = {}
    for width, labels in ((3, ["a", "b"]), (90, ["c", "d", "e"])):
        model.set_params(hidden_layer_sizes=width, random_state=width)
        expected[len(labels)] = model.fit(X, np.resize(labels, len(y))).predict_proba(X)
    stop = threading.Event()

    def refit() -> None:
        while not stop.is_set():
            for width, labels in ((3, ["a", "b"]), (90, ["c", "d", "e"])):
                model.set_params(hidden_layer_sizes=width, random_state=width)
                model.fit(X, np.resize(labels, len(y)))

    thread = threading.Thread(target=refit)
    thread.start()
    try:
        for _ in range(300):
            seen = model.predict_proba(X)
            np.testing.assert_array_equal(seen, expected[seen.shape[1]])
    finally:
        stop.set()
        thread.join()


# Edits, copies and pickles


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_use_the_weights_as_they_are(dtype: str) -> None:
    X, _ = draw()
    model = fitted(BackpropRegressor, hidden_layer_sizes=(3,), dtype=dtype)
    model.coefs_[0][:, 1] = 0
    model.intercepts_[0][1] = 0
    pruned = clone(model)
    vars(pruned).update(vars(model))
    kept = [0, 2]
    pruned.coefs_ = [np.asfortranarray(model.coefs_[0][:, kept]), model.coefs_[1][kept]]
    pruned.intercepts_ = [model.intercepts_[0][kept], model.intercepts_[1]]
    np.testing.assert_allclose(model.predict(X), pruned.predict(X), rtol=1e-6)
    for array in (*model.coefs_, *model.intercepts_):
        array.setflags(write=False)
    model.predict(X)
    model.coefs_ = [coef.astype(np.float64) for coef in model.coefs_]
    np.testing.assert_allclose(model.predict(X), pruned.predict(X), rtol=1e-5)


@pytest.mark.parametrize(
    "coefs",
    [
        None,
        [],
        [np.zeros((4, 3))],
        [np.zeros((4, 3)), np.zeros((2, 1))],
        [np.zeros((3, 4)).T, np.zeros((3, 2))],
        [np.zeros((4, 3), dtype=int), np.zeros((3, 1))],
        [np.full((4, 3), np.nan), np.zeros((3, 1))],
        [np.zeros((4, 3)), np.full((3, 1), np.inf)],
        [np.zeros((4, 3)), None],
        [np.zeros((4, 3)), "weights"],
    ],
)
def test_unusable_weights_raise(coefs: Any) -> None:
    X, y = draw()
    model = fitted(BackpropRegressor, hidden_layer_sizes=(3,))
    model.coefs_ = coefs
    with pytest.raises(ValueError, match="coefs_"):
        model.predict(X)
    with pytest.raises(ValueError, match="coefs_"):
        model.partial_fit(X, y)


def test_predictions_use_the_fitted_activation() -> None:
    X, _ = draw()
    model = fitted(BackpropRegressor, activation="tanh")
    expected = model.predict(X)
    model.set_params(activation="relu", loss="poisson", hidden_layer_sizes=7, solver="lbfgs")
    np.testing.assert_array_equal(model.predict(X), expected)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_pickle_and_copy(estimator: type, solver: str) -> None:
    X, y = draw()
    model = fitted(estimator, solver=solver)
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert type(twin) is estimator
        np.testing.assert_array_equal(twin.predict(X), model.predict(X))
        if solver != "lbfgs":
            twin.partial_fit(X, y)
    if solver != "lbfgs":
        model.partial_fit(X, y)
        np.testing.assert_array_equal(twin.coefs_[0], model.coefs_[0])


def test_state_is_plain() -> None:
    state = fitted(BackpropClassifier).__getstate__()
    assert_plain(state)
    assert not any("Net" in type(value).__name__ for value in state.values())
    assert BackpropClassifier.__module__ == BackpropRegressor.__module__ == "fastbp"


def assert_plain(value: Any) -> None:
    if isinstance(value, dict):
        for item in value.values():
            assert_plain(item)
    elif isinstance(value, list | tuple):
        assert type(value) in (list, tuple)
        for item in value:
            assert_plain(item)
    else:
        assert value is None or isinstance(value, bool | int | float | str | np.ndarray)


def test_clone_drops_what_was_fitted() -> None:
    model = clone(fitted(BackpropClassifier, hidden_layer_sizes=(3,)))
    assert not hasattr(model, "coefs_")
    assert model.hidden_layer_sizes == (3,)


def test_attributes_of_the_user_survive_a_fit() -> None:
    model = BackpropRegressor(max_iter=2)
    model.note, model.note_ = "mine", "mine too"
    model.fit(*draw())
    assert (model.note, model.note_) == ("mine", "mine too")


def test_pack_and_unpack() -> None:
    model = fitted(BackpropRegressor, hidden_layer_sizes=(3, 2))
    parameters = np.concatenate([a.ravel() for a in (*model.coefs_, *model.intercepts_)])
    weights = unpack(parameters, [4, 3, 2, 1])
    np.testing.assert_array_equal(pack(weights), parameters)
    for mine, other in zip(weights.coefs, model.coefs_, strict=True):
        np.testing.assert_array_equal(mine, other)
