# SPDX-License-Identifier: BSD-3-Clause
"""Interrupts: what they leave, how soon they are answered; and when networks end."""

from __future__ import annotations

import gc
import signal
import time
import weakref
from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS, SOLVERS, digest, draw, fitted
from sklearn.model_selection import GridSearchCV

from fastbp import BackpropClassifier, BackpropRegressor, _core, _interrupts
from fastbp._optimizer import Optimizer
from fastbp._progress import Progress

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class InterruptedNet:
    """A network whose call number ``at`` is interrupted; training after ``batches`` updates."""

    at, batches, method = 3, 2, "train"

    def __init__(self, *args: Any, **options: Any) -> None:
        self.net = NET(*args, **options)
        self.n_calls = 0

    def __getattr__(self, name: str) -> Any:
        if name == self.method:
            self.n_calls += 1
            if self.n_calls == self.at:
                return self.interrupt
        return getattr(self.net, name)

    def interrupt(self, *args: Any, **options: Any) -> Any:
        if self.method == "train":
            X, y, order, batch_rows = args
            self.net.train(X, y, order[: self.batches * batch_rows], batch_rows, **options)
        raise KeyboardInterrupt


NET = _core.Net


@pytest.fixture
def interrupt(monkeypatch: pytest.MonkeyPatch) -> type[InterruptedNet]:
    """Return a class of networks, to be configured, that stands in for the core's."""
    net_class = type("Net", (InterruptedNet,), {})
    monkeypatch.setattr(_core, "Net", net_class)
    return net_class


def test_interrupt_keeps_whole_updates(interrupt: Any) -> None:
    X, y = draw(100)
    model = BackpropRegressor(batch_size=20, max_iter=10, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert model.interrupted_
    assert (model.n_iter_, len(model.loss_curve_), model.t_) == (2, 2, 240)
    assert model._optimizer.step_count == 12
    whole = BackpropRegressor(batch_size=20, max_iter=3, random_state=0)
    interrupt.at = 0
    whole.fit(X, y)
    assert not whole.interrupted_
    assert whole.loss_curve_[:2] == model.loss_curve_
    assert not np.array_equal(whole.coefs_[0], model.coefs_[0])


@pytest.mark.parametrize("early_stopping", [False, True])
def test_interrupt_between_epochs(early_stopping: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_rate(self: Optimizer, learning_rate: float, rows_seen: int) -> float:
        if rows_seen > 3 * 90:
            raise KeyboardInterrupt
        return learning_rate

    monkeypatch.setattr(Optimizer, "rate_after_epoch", interrupted_rate)
    X, y = draw(100 if early_stopping else 90)
    model = BackpropRegressor(early_stopping=early_stopping, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert (model.n_iter_, len(model.loss_curve_), model.t_) == (3, 3, 360)
    assert model.loss_ == model.loss_curve_[-1]
    if early_stopping:
        assert len(model.validation_scores_) == 3
        assert model.best_validation_score_ == max(model.validation_scores_)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("warm_start", [False, True])
def test_interrupt_before_the_first_epoch(
    interrupt: Any, warm_start: bool, estimator: type
) -> None:
    interrupt.at = 0
    model = fitted(estimator, warm_start=warm_start)
    state = digest(model)
    interrupt.at = 1
    for call in (model.fit, model.partial_fit):
        with pytest.raises(KeyboardInterrupt):
            call(*draw())
    assert digest(model) == state


@pytest.mark.parametrize("method", ["train", "predict"])
def test_interrupt_with_early_stopping_restores_the_best(interrupt: Any, method: str) -> None:
    X, y = draw(100)
    params = {"batch_size": 20, "early_stopping": True, "learning_rate_init": 0.1}
    interrupt.method, interrupt.at = method, 6
    model = BackpropRegressor(random_state=0, **params)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert len(model.validation_scores_) == len(model.loss_curve_) == model.n_iter_ == 5
    assert model.t_ == 450 + (40 if method == "train" else 90)
    interrupt.at = 0
    again = BackpropRegressor(max_iter=model.best_n_iter_, random_state=0, **params).fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    interrupt.at = 1
    with pytest.raises(KeyboardInterrupt):
        BackpropRegressor(random_state=0, **params).fit(X, y)


def test_interrupted_lbfgs_keeps_the_last_iteration(interrupt: Any) -> None:
    X, y = draw()
    interrupt.method, interrupt.at = "loss_gradient", 20
    model = BackpropClassifier(5, solver="lbfgs", random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(X, y)
    assert model.interrupted_
    assert 5 < model.n_iter_ < 20
    interrupt.at = 0
    limited = BackpropClassifier(5, solver="lbfgs", max_iter=model.n_iter_, random_state=0)
    limited.fit(X, y)
    np.testing.assert_array_equal(model.coefs_[0], limited.coefs_[0])
    assert (model.loss_, limited.interrupted_) == (limited.loss_, False)
    interrupt.at = 1
    with pytest.raises(KeyboardInterrupt):
        BackpropClassifier(solver="lbfgs").fit(X, y)


@pytest.mark.parametrize("solver", SOLVERS)
def test_an_interrupt_ends_a_whole_search(interrupt: Any, solver: str) -> None:
    interrupt.method, interrupt.at = ("loss_gradient", 4) if solver == "lbfgs" else ("train", 3)
    model = BackpropClassifier(5, solver=solver, max_iter=6, batch_size=20, random_state=0)
    search = GridSearchCV(model, {"alpha": [1e-4, 1e-3]}, cv=2, n_jobs=1)
    state = digest(model)
    with pytest.raises(KeyboardInterrupt):
        search.fit(*draw(100))
    assert digest(model) == state
    assert not hasattr(search, "cv_results_")


def test_an_interrupt_soon_after_another_raises(interrupt: Any) -> None:
    X, y = draw(100)
    first, second = (BackpropRegressor(batch_size=20, random_state=0) for _ in range(2))
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        first.fit(X, y)
    with pytest.raises(KeyboardInterrupt):
        second.fit(X, y)
    assert first.interrupted_
    assert not hasattr(second, "coefs_")
    _interrupts.forget()  # as after some seconds
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        second.fit(X, y)
    assert np.array_equal(first.coefs_[0], second.coefs_[0])


def test_an_interrupt_before_an_epoch_counts_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted_poll(self: Progress, *args: Any) -> None:
        polls.append(self)
        if len(polls) == 3:
            raise KeyboardInterrupt

    polls: list[Progress] = []
    monkeypatch.setattr(Progress, "poll", interrupted_poll)
    model = BackpropRegressor(batch_size=20, random_state=0)
    with pytest.warns(UserWarning, match="Training interrupted by user"):
        model.fit(*draw(100))
    assert (model.n_iter_, model.t_, model._optimizer.step_count) == (2, 200, 10)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs interval timers")
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_signal_ends_a_fit_soon(solver: str) -> None:
    X, y = draw(5000, 30)
    model = BackpropRegressor(
        hidden_layer_sizes=(64, 64),
        solver=solver,
        max_iter=10**6,
        max_fun=10**9,
        tol=0,
        n_iter_no_change=np.inf,
        learning_rate_init=1e-5,
        random_state=0,
    )
    previous = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 1.0)
        start = time.monotonic()
        with pytest.warns(UserWarning, match="Training interrupted by user"):
            model.fit(X, y)
        assert time.monotonic() - start < 5
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert model.interrupted_
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("params", [{"solver": "lbfgs"}, {"early_stopping": True}, {"tol": 0.1}])
def test_no_network_outlives_a_call(interrupt: Any, params: dict[str, Any]) -> None:
    networks: weakref.WeakSet[Any] = weakref.WeakSet()
    start = interrupt.__init__

    def remember(self: Any, *args: Any, **options: Any) -> None:
        start(self, *args, **options)
        networks.add(self)

    interrupt.__init__, interrupt.at = remember, 0
    gc.disable()  # a cycle would keep a network's memory until some later collection
    try:
        fitted(BackpropRegressor, **params).predict(draw()[0])
        assert len(networks) == 0
    finally:
        gc.enable()
