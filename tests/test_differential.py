# SPDX-License-Identifier: BSD-3-Clause
"""The same numbers as scikit-learn: random configurations, trained by both in float64.

A case is drawn from its number alone, and named in the test's id. It is a sequence of calls on one
estimator of each library; after every call all fitted attributes, warnings and predictions are
compared. Where the long run finds a difference, scikit-learn is compared with itself, with X moved
in the last bits: a few trainings are that sensitive.
"""

from __future__ import annotations

import copy
import math
import re
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import since_scikit_learn
from sessions import (
    CLASSIFICATION,
    SEQUENCES,
    Case,
    all_classes,
    draw_case,
    lacks_classes,
    make_data,
    move_last_bits,
)
from sklearn.datasets import load_diabetes, load_digits
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor
from fastbp._base import BaseBackprop

pytestmark = since_scikit_learn("1.9", "has other numbers, and less to compare")

N_QUICK, N_EXHAUSTIVE = 320, 4000
N_PERTURBED = 5  # trainings on a slightly moved X, where a difference is judged


def make(estimator: Any, case: Case) -> Any:
    """Set an estimator's parameters."""
    estimator.set_params(**case.params)
    if case.seed % 3 == 0:  # an instance goes on from call to call, a number begins anew
        estimator.random_state = np.random.RandomState(case.params["random_state"])
    return estimator


def call(
    estimator: Any, method: str, X: Any, y: Any, weight: Any, classes: Any
) -> list[str] | None:
    """Call fit or partial_fit; return its warnings, or None if the training diverges."""
    options = {} if classes is None or method == "fit" else {"classes": classes}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            getattr(estimator, method)(X, y, sample_weight=weight, **options)
        except ValueError as error:
            assert str(error).startswith("Solver produced non-finite")
            return None
    if not (np.isfinite(estimator.loss_) or isinstance(estimator, BaseBackprop)):
        return None
    return [f"{w.category.__name__}: {w.message}"[:70] for w in caught]


def is_unimproved(before: Any, after: Any) -> bool:
    """Tell whether a warm refit's early stopping found no better score than the fit before.

    scikit-learn then keeps the last weights; we restore the best, those it began with.
    """
    best = getattr(before, "best_validation_score_", None)
    return after.warm_start and best is not None and best == after.best_validation_score_


def compare(ours: Any, theirs: Any, scale: float) -> None:
    """Assert that two fitted estimators agree, but for the weights; ``scale`` is of tolerances."""
    assert ours.n_iter_ == theirs.n_iter_
    for name in ("t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, name) == getattr(theirs, name), name
    np.testing.assert_array_equal(
        getattr(ours, "classes_", None), getattr(theirs, "classes_", None)
    )
    if ours.solver == "lbfgs":
        assert ours.loss_ == pytest.approx(theirs.loss_, rel=1e-6 * scale)
        return
    assert len(ours.loss_curve_) == len(theirs.loss_curve_)
    np.testing.assert_allclose(
        ours.loss_curve_[:50], theirs.loss_curve_[:50], 1e-9 * scale, 1e-12 * scale
    )
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6 * scale)
    assert ours.loss_ == ours.loss_curve_[-1]
    for name in ("best_loss_", "validation_scores_", "best_validation_score_"):
        mine, other = getattr(ours, name), getattr(theirs, name)
        assert (mine is None) == (other is None), name
        if mine is not None:
            np.testing.assert_allclose(mine, other, 1e-7, 1e-9, err_msg=name)
    assert ours._no_improvement_count == theirs._no_improvement_count
    assert ours._optimizer.learning_rate == pytest.approx(theirs._optimizer.learning_rate)


def compare_weights(ours: Any, theirs: Any, scale: float) -> None:
    """Assert that the weights agree."""
    for mine, other in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(mine, other, 1e-6 * scale, 1e-6 * scale)
    for mine, other in zip(ours.intercepts_, theirs.intercepts_, strict=True):
        np.testing.assert_allclose(mine, other, 1e-6 * scale, 1e-6 * scale)


def compare_predictions(ours: Any, theirs: Any, X: Any) -> None:
    """Assert that predictions agree, in type too."""
    for method in ("predict_proba", "predict_log_proba"):
        if hasattr(ours, method):
            with np.errstate(divide="ignore"):
                expected = getattr(theirs, method)(X)
            predicted = getattr(ours, method)(X)
            assert predicted.dtype == np.float64
            exact = expected > -20  # scikit-learn's log(1 - p) has few digits beyond
            np.testing.assert_allclose(predicted[exact], expected[exact], 1e-5, 1e-6)
    predicted, expected = ours.predict(X), theirs.predict(X)
    assert type(predicted) is type(expected)
    assert predicted.dtype == expected.dtype
    if sp.issparse(predicted):
        predicted, expected = predicted.toarray(), expected.toarray()
    if predicted.dtype.kind == "f":
        np.testing.assert_allclose(predicted, expected, 1e-5, 1e-5)
    else:
        np.testing.assert_array_equal(predicted, expected)


def check_case(case: Case, perturbation: int | None = None) -> None:
    """Make a session's calls on both and compare.

    With a ``perturbation``, scikit-learn's own is trained in place of ours, on an X that differs in
    the last bits, and more exactness is asked for: such an X brings in rounding errors once, other
    arithmetic does everywhere.
    """
    rng = np.random.default_rng([case.seed, 1])
    X, y, weight = make_data(case, rng)
    classes = all_classes(case.task, y)
    classify = case.task in CLASSIFICATION
    theirs = make(MLPClassifier() if classify else MLPRegressor(), case)
    if perturbation is None:
        ours, our_X = make(BackpropClassifier() if classify else BackpropRegressor(), case), X
        ours.set_params(dtype="float64")
        scale = 1.0
    else:
        ours = copy.deepcopy(theirs)
        our_X = move_last_bits(X, np.random.default_rng([case.seed, 2, perturbation]))
        scale = 0.01
    for i, method in enumerate(SEQUENCES[case.sequence][0]):
        rows = np.arange(X.shape[0])
        if method == "partial_fit":  # on a part of the rows, where some classes may be missing
            rows = np.sort(rng.choice(rows, len(rows) // 2, replace=False))
            if case.params["warm_start"] and lacks_classes(y[rows], y):
                continue  # warm_start asks for all of them
        if i == 2 and "learning_rate_init" in case.params:  # seen by fit, not by partial_fit
            for estimator in (ours, theirs):
                estimator.set_params(learning_rate_init=case.params["learning_rate_init"] / 2)
        before = copy.copy(ours)
        rest = y[rows], None if weight is None else weight[rows], classes
        expected = call(theirs, method, X[rows], *rest)
        fit = partial(call, ours, method, our_X[rows], *rest)
        if expected is None:
            if perturbation is None:
                check_divergence(ours, theirs, fit)
            return
        assert fit() == expected
        compare(ours, theirs, scale)
        if is_unimproved(before, ours):
            if perturbation is None:
                np.testing.assert_array_equal(ours.coefs_[0], before.coefs_[0])
            return
        if ours.solver != "lbfgs":
            compare_weights(ours, theirs, scale)
            if perturbation is None:
                compare_predictions(ours, theirs, X)


def check_divergence(ours: Any, theirs: Any, fit: Callable[[], list[str] | None]) -> None:
    """Where scikit-learn's training ran away, ours says so, and early stopping ends it."""
    before = dict(vars(ours))
    caught = fit()
    if caught is None:
        assert vars(ours) == before
        return
    assert ours.early_stopping
    assert any("diverged" in message for message in caught)
    assert math.isnan(ours.validation_scores_[-1])
    shared = np.isfinite(ours.loss_curve_)
    np.testing.assert_allclose(
        np.array(ours.loss_curve_)[shared], theirs.loss_curve_[: len(shared)][shared], 1e-6
    )


@pytest.mark.parametrize("seed", range(N_QUICK), ids=lambda seed: str(draw_case(seed)))
def test_same_numbers_as_scikit_learn(seed: int) -> None:
    check_case(draw_case(seed))


@pytest.mark.exhaustive
@pytest.mark.parametrize("block", range(N_EXHAUSTIVE // 100))
def test_same_numbers_as_scikit_learn_exhaustive(block: int) -> None:
    excused = []
    for seed in range(N_QUICK + 100 * block, N_QUICK + 100 * (block + 1)):
        case = draw_case(seed)
        try:
            check_case(case)
        except AssertionError as error:
            if agrees_with_itself(case):
                raise AssertionError(f"case {case}") from error
            excused.append(str(case))
    assert len(excused) <= 2, excused


def agrees_with_itself(case: Case) -> bool:
    """Tell whether the last bits of X make no difference to scikit-learn's own numbers."""
    try:
        for perturbation in range(N_PERTURBED):
            check_case(case, perturbation)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adam", "tol": 0.1, "n_iter_no_change": 2},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "n_iter_no_change": 1},
        {"solver": "sgd", "early_stopping": True, "tol": 0.1, "n_iter_no_change": 1},
    ],
    ids=lambda params: params["solver"] + "-" + str(params.get("learning_rate")),
)
def test_prints_what_scikit_learn_prints(
    params: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = np.random.default_rng(0).normal(size=(60, 5)), np.arange(60) % 2
    common = {"verbose": True, "max_iter": 60, "random_state": 0, **params}
    MLPClassifier(**common).fit(X, y)
    expected = capsys.readouterr().out
    BackpropClassifier(dtype="float64", **common).fit(X, y)
    printed = capsys.readouterr().out
    rate = r", [\d,.]+ samples/s(, at most [\d:]+ left)?$"
    assert re.sub(rf"(?m)^(Iteration \d+, loss = [\d.]+){rate}", r"\1", printed) == expected
    assert len(re.findall(rf"(?m){rate}", printed)) == expected.count("Iteration")
    assert "Stopping" in expected


@pytest.mark.parametrize("tol", [0.0, 1e-4])
def test_a_loss_that_stands_still(tol: float) -> None:
    X, y = np.eye(4), np.arange(4.0)
    params = {"learning_rate_init": 1e-300, "n_iter_no_change": 2, "max_iter": 9, "tol": tol}
    ours = BackpropRegressor(shuffle=False, dtype="float64", random_state=0, **params)
    theirs = MLPRegressor(shuffle=False, random_state=0, **params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert ours.fit(X, y).n_iter_ == theirs.fit(X, y).n_iter_ == (9 if tol == 0 else 4)


@pytest.mark.parametrize(("dtype", "rtol"), [("float64", 1e-9), ("float32", 1e-4)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_same_curve_on_real_data(solver: str, activation: str, dtype: str, rtol: float) -> None:
    pairs = [
        (BackpropClassifier(dtype=dtype), MLPClassifier(), load_digits(return_X_y=True)),
        (BackpropRegressor(dtype=dtype), MLPRegressor(), load_diabetes(return_X_y=True)),
    ]
    params = {"solver": solver, "activation": activation, "random_state": 0, "max_iter": 8}
    for ours, theirs, (X, y) in pairs:
        X, y = StandardScaler().fit_transform(X)[:500], y[:500]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ours.set_params(**params).fit(X, y)
            theirs.set_params(**params).fit(X, y)
        np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol)
        assert ours.score(X, y) == pytest.approx(theirs.score(X, y), abs=0.01)
