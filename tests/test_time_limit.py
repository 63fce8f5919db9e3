# SPDX-License-Identifier: BSD-3-Clause
"""``max_time``: what a fit leaves that its time ended. Tests set the clock themselves."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS, SOLVERS, digest, draw, fitted
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropClassifier, BackpropRegressor, _core, _time_limit
from fastbp._time_limit import TimeLimit

NET = _core.Net


class Clock:
    """Stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_time_limit, "clock", clock)
    return clock


def during_call(number: int, method: str, act: Callable[[], None], updates: int = 1) -> type:
    """Return a class of networks: in that call of a method, something happens on the way.

    Training stops after some updates, if it is told to when it asks then, as the core does.
    """

    class Net:
        def __init__(self, *args: Any, **options: Any) -> None:
            self.net, self.n_calls = NET(*args, **options), 0

        def __getattr__(self, name: str) -> Any:
            if name == method:
                self.n_calls += 1
                if self.n_calls == number:
                    return getattr(self, f"_{method}")
            return getattr(self.net, name)

        def _train(self, X: Any, y: Any, order: Any, batch_rows: int, **options: Any) -> Any:
            act()
            poll = options.pop("poll")
            if poll():
                order = order[: updates * batch_rows]
            return self.net.train(X, y, order, batch_rows, **options)

        def _loss_gradient(self, *args: Any, poll: Any, **options: Any) -> Any:
            act()
            if poll():
                raise InterruptedError
            return self.net.loss_gradient(*args, **options)

        def _predict(self, *args: Any, **options: Any) -> Any:
            act()
            return self.net.predict(*args, **options)

    return Net


@pytest.fixture
def advance(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that lets the clock jump in a call of a network's method."""

    def plan(number: int, method: str = "train", seconds: float = 60, updates: int = 1) -> None:
        def act() -> None:
            clock.now += seconds

        monkeypatch.setattr(_core, "Net", during_call(number, method, act, updates))

    return plan


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_ends_between_updates_of_an_epoch(estimator: type, advance: Any) -> None:
    X, y = draw(100)
    params = {"batch_size": 20, "max_iter": 10, "random_state": 0}
    advance(3, updates=2)
    model = estimator(max_time=50, **params)
    with pytest.warns(ConvergenceWarning, match="max_time=50 seconds were over after 2 iterations"):
        model.fit(X, y)
    assert model.interrupted_
    assert (model.n_iter_, len(model.loss_curve_), model.t_) == (2, 2, 240)
    assert model._optimizer.step_count == 12
    assert model.loss_ == model.loss_curve_[-1]
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.filterwarnings("error")
def test_the_last_epoch_needs_no_time_after_it(advance: Any) -> None:
    X, y = draw(100)
    params = {"batch_size": 20, "n_iter_no_change": 1, "tol": 1e9, "random_state": 0}
    advance(3, updates=5)  # the third epoch is done as time is over, and training has converged
    model = BackpropRegressor(max_time=50, **params).fit(X, y)
    assert (model.n_iter_, model.interrupted_) == (3, False)
    classifier = BackpropClassifier(max_time=50, batch_size=20)
    advance(1, updates=5)
    classifier.partial_fit(X, y, classes=[0, 1])
    assert (classifier.n_iter_, classifier.interrupted_) == (1, False)


def test_time_spent_on_a_score_ends_training_after_it(advance: Any) -> None:
    X, y = draw(100)
    params = {"early_stopping": True, "learning_rate_init": 0.1, "random_state": 0}
    advance(4, "predict")
    model = BackpropRegressor(max_time=50, max_iter=100, **params)
    with pytest.warns(ConvergenceWarning, match="over after 4 iterations"):
        model.fit(X, y)
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_ == 4
    assert model.t_ == 360
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        best = BackpropRegressor(max_iter=model.best_n_iter_, **params).fit(X, y)
    assert np.array_equal(model.coefs_[0], best.coefs_[0])


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_too_little_time_changes_nothing(estimator: type, solver: str, advance: Any) -> None:
    X, y = draw()
    model = fitted(estimator, solver=solver)
    model.set_params(max_time=50, batch_size=20)
    state = digest(model)
    calls = [model.fit] if solver == "lbfgs" else [model.fit, model.partial_fit]
    for call in calls:
        advance(1, "loss_gradient" if solver == "lbfgs" else "train")
        with pytest.raises(ValueError, match="max_time=50 seconds were over before the first"):
            call(X, y)
        assert digest(model) == state


def test_checks_of_the_data_take_time_too(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    def slowly(*args: Any) -> bool:
        clock.now += 60
        return False

    monkeypatch.setattr(_core, "are_within", slowly)
    for solver in SOLVERS:
        with pytest.raises(ValueError, match="max_time=50 seconds were over before the first"):
            BackpropRegressor(solver=solver, max_time=50).fit(*draw())


@pytest.mark.parametrize("at", [12, 20])
def test_lbfgs_keeps_the_last_iteration(at: int, advance: Any, clock: Clock) -> None:
    X, y = draw()
    advance(at, "loss_gradient")
    model = BackpropClassifier(5, solver="lbfgs", max_time=50, random_state=0)
    with pytest.warns(ConvergenceWarning, match=r"lbfgs: max_time=50 seconds .* after \d+ iter"):
        model.fit(X, y)
    assert model.interrupted_
    assert 3 < model.n_iter_ < at
    limited = BackpropClassifier(5, solver="lbfgs", max_iter=model.n_iter_, random_state=0)
    with pytest.warns(ConvergenceWarning):
        limited.fit(X, y)
    assert np.array_equal(model.coefs_[0], limited.coefs_[0])
    assert (model.loss_, limited.interrupted_) == (limited.loss_, False)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_enough_time_changes_nothing(solver: str) -> None:
    params = {"solver": solver, "max_iter": 5, "random_state": 0}
    X, y = draw()
    plain = BackpropRegressor(**params).fit(X, y)
    for max_time in (3600, math.inf):
        timed = BackpropRegressor(max_time=max_time, **params).fit(X, y)
        assert not timed.interrupted_
        assert np.array_equal(plain.coefs_[0], timed.coefs_[0])


def test_the_core_asks_and_stops_within_an_epoch(clock: Clock) -> None:
    # An epoch of many times the 20 ms between two questions; time is over from the third on.
    X, y = load_digits(return_X_y=True)
    X, y = np.tile(X, (100, 1)), np.tile(y, 100)
    model = BackpropClassifier((256, 256), max_time=50, random_state=0)
    answers = []

    def is_over(limit: TimeLimit) -> bool:
        answers.append(len(answers) > 3)
        return answers[-1]

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="first whole"):
        patch.setattr(TimeLimit, "is_over", is_over)
        model.fit(X, y)
    assert answers == [False] * 4 + [True] * 2
    assert not hasattr(model, "coefs_")


def test_without_a_limit_nobody_asks_for_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> float:
        raise AssertionError

    monkeypatch.setattr(_time_limit, "clock", refuse)
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        BackpropRegressor(max_iter=2).fit(*draw())
