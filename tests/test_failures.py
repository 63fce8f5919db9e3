# SPDX-License-Identifier: BSD-3-Clause
"""A ``fit`` or ``partial_fit`` that fails leaves the estimator as it was, bit for bit: a table.

Failures × estimators × solvers × kinds of calls. tests/jobs/failures.py fails at every line.
"""

from __future__ import annotations

import copy
import functools
import signal
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from faults import Planted, digest_of_all, failing_net
from models import ESTIMATORS, SOLVERS, draw, since_scikit_learn

from fastbp import BackpropClassifier, _core

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore:Training interrupted by user"
)

KINDS = ("first fit", "fit", "warm fit", "warm optimizer", "first partial_fit", "partial_fit")


def make(estimator: type, solver: str, kind: str) -> Any:
    """Return an estimator before a call of that kind."""
    model = estimator(
        hidden_layer_sizes=(8,), solver=solver, max_iter=2, batch_size=20, random_state=0
    )
    X, y = draw()
    if not kind.startswith("first"):
        model.fit(X, y)
    model.warm_start = {"warm fit": True, "warm optimizer": "optimizer"}.get(kind, False)
    return model.set_params(random_state=np.random.RandomState(1))


def call(model: Any, kind: str, X: Any, y: Any, *args: Any, **options: Any) -> Any:
    if not kind.endswith("partial_fit"):
        return model.fit(X, y, *args, **options)
    if kind.startswith("first") and isinstance(model, BackpropClassifier):
        options["classes"] = [0, 1]
    return model.partial_fit(X, y, *args, **options)


def kinds_of(solver: str) -> tuple[str, ...]:
    return KINDS if solver != "lbfgs" else KINDS[:3]


Fail = Callable[[Any, str], None]  # makes a call of a model fail, by its kind


def with_params(**params: Any) -> Fail:
    def fail(model: Any, kind: str) -> None:
        call(model.set_params(**params), kind, *draw())

    return fail


def with_data(change: Callable[..., tuple[Any, ...]]) -> Fail:
    def fail(model: Any, kind: str) -> None:
        call(model, kind, *change(*draw()))

    return fail


def with_net(stochastic: str, lbfgs: str, error: type[BaseException], at: int = 1) -> Fail:
    """Fail in a method of the core's networks."""

    def fail(model: Any, kind: str) -> None:
        method = lbfgs if model.solver == "lbfgs" else stochastic
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(_core, "Net", failing_net(method, error, at))
            call(model, kind, *draw())

    return fail


def diverge(model: Any, kind: str) -> None:
    X, y = draw()
    most = 1e308 if model.solver == "lbfgs" else 3e38
    call(model, kind, X / np.abs(X).max() * most, y)


def warn(model: Any, kind: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        call(model.set_params(batch_size=1000), kind, *draw())


def handle_a_signal(model: Any, kind: str) -> None:
    def handler(*args: Any) -> None:
        raise Planted

    def raise_signal(*args: Any, **options: Any) -> Any:
        signal.raise_signal(signal.SIGINT)

    previous = signal.signal(signal.SIGINT, handler)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(model), "_make_net", raise_signal)
            call(model, kind, *draw())
    finally:
        signal.signal(signal.SIGINT, previous)


FAILURES: dict[str, tuple[Fail, Any]] = {
    "parameter": (with_params(alpha="much"), TypeError),
    "sizes": (with_params(hidden_layer_sizes=(8, 0)), ValueError),
    "time": (with_params(max_time=1e-9), ValueError),
    "nan": (with_data(lambda X, y: (np.where(X > 2, np.nan, X), y)), ValueError),
    "lengths": (with_data(lambda X, y: (X, y[:-1])), ValueError),
    "weights": (with_data(lambda X, y: (X, y, -np.ones(len(y)))), ValueError),
    "targets": (with_data(lambda X, y: (X, np.full(len(y), np.nan))), ValueError),
    "mask": (with_data(lambda X, y: (np.ma.masked_array(X), y)), ValueError),
    "divergence": (diverge, ValueError),
    "memory for more than there is": (
        with_params(hidden_layer_sizes=(10**7, 10**7)),
        (MemoryError, ValueError),  # a warm fit refuses any other size
    ),
    "memory for a network": (with_net("", "", MemoryError), MemoryError),
    "memory in training": (with_net("train", "loss_gradient", MemoryError), MemoryError),
    "memory at the end": (with_net("dismantle", "loss_gradient", MemoryError), MemoryError),
    "interrupt before training": (
        with_net("set_weights", "set_weights", KeyboardInterrupt),
        KeyboardInterrupt,
    ),
    "interrupt in training": (
        with_net("train", "loss_gradient", KeyboardInterrupt),
        KeyboardInterrupt,
    ),
    "interrupt at the end": (
        with_net("dismantle", "loss_gradient", KeyboardInterrupt),
        KeyboardInterrupt,
    ),
    "signal": (handle_a_signal, Planted),
    "warning": (warn, UserWarning),
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("failure", FAILURES)
def test_a_failure_changes_nothing(estimator: type, failure: str) -> None:
    fail, error = FAILURES[failure]
    for solver in SOLVERS:
        for kind in kinds_of(solver):
            model = make(estimator, solver, kind)
            params = model.get_params()
            state = digest_of_all(model)
            with pytest.raises(error):
                fail(model, kind)
            model.set_params(**params)  # but for those that made the call fail
            assert digest_of_all(model) == state, f"{solver}, {kind}"


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_the_call_after_a_failure_is_as_without(estimator: type, solver: str) -> None:
    for kind in kinds_of(solver):
        model, untouched = (make(estimator, solver, kind) for _ in range(2))
        with pytest.raises(MemoryError):
            FAILURES["memory at the end"][0](model, kind)
        for one in (model, untouched):
            call(one, kind, *draw())
        assert digest_of_all(model) == digest_of_all(untouched)


# Users' own functions


def raising(*args: Any, **options: Any) -> Any:
    raise Planted


def interrupting(*args: Any, **options: Any) -> Any:
    raise KeyboardInterrupt


def worded(*args: Any) -> str:
    return "high"


def undefined(*args: Any) -> float:
    return np.nan


FAILING_SCORINGS = {
    raising: Planted,
    interrupting: KeyboardInterrupt,  # in the first epoch
    worded: ValueError,
    undefined: ValueError,
}


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("solver", ("adam", "sgd"))
def test_a_failing_scorer_changes_nothing(estimator: type, solver: str) -> None:
    for kind in KINDS[:4]:
        for scoring, error in FAILING_SCORINGS.items():
            model = make(estimator, solver, kind)
            model.set_params(early_stopping=True, scoring=scoring)
            state = digest_of_all(model.set_params(random_state=0))
            with pytest.raises(error):
                model.fit(*draw())
            assert digest_of_all(model) == state


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_failing_validation_data_change_nothing(estimator: type) -> None:
    X, y = draw()
    for kind in KINDS[:4]:
        for X_val in (X[:, :2], np.full_like(X, np.nan), X[:-1]):
            model = make(estimator, "adam", kind)
            state = digest_of_all(model)
            with pytest.raises(ValueError, match="X_val"):
                model.fit(X, y, X_val=X_val, y_val=y)
            assert digest_of_all(model) == state


HOOKS = ("setup", "on_fit_task_begin", "on_fit_task_end", "teardown")


@since_scikit_learn("1.9", "has no callbacks")
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("hook", HOOKS)
def test_a_failing_callback_changes_nothing(estimator: type, solver: str, hook: str) -> None:
    class Callback:
        def __getattr__(self, name: str) -> Any:
            if name not in HOOKS:
                raise AttributeError(name)
            return raising if name == hook else lambda *args, **options: None

    for kind in kinds_of(solver)[:3]:
        model = make(estimator, solver, kind)
        before = vars(model).copy()
        try:
            model.set_callbacks(Callback())
        except TypeError:
            pytest.fail("the callback lacks a part of scikit-learn's protocol")
        state = digest_without_callbacks(model)
        with pytest.raises(Planted):
            model.fit(*draw())
        assert digest_without_callbacks(model) == state
        assert vars(model).keys() == before.keys() | {"_skl_callbacks"}


def digest_without_callbacks(model: Any) -> str:
    same = copy.copy(model)
    vars(same).pop("_skl_callbacks", None)
    return digest_of_all(same)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_a_second_interrupt_raises(estimator: type, solver: str) -> None:
    method, at = ("loss_gradient", 3) if solver == "lbfgs" else ("train", 2)
    for kind in kinds_of(solver)[:4]:
        model = make(estimator, solver, kind)
        state = digest_of_all(model)
        with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
            patch.setattr(_core, "Net", failing_net(method, KeyboardInterrupt, at))
            patch.setattr(warnings, "showwarning", interrupting)
            warnings.simplefilter("always")
            with pytest.raises(KeyboardInterrupt):
                model.fit(*draw())
        assert digest_of_all(model) == state


def test_the_table_names_each_failure_it_plants() -> None:
    """The digest tells: a fit that fails late, having changed something, is caught."""

    def careless(fit: Any) -> Any:
        @functools.wraps(fit)
        def wrapped(self: Any, *args: Any, **options: Any) -> Any:
            fit(self, *args, **options)
            raise ValueError("too late")

        return wrapped

    for estimator in ESTIMATORS:
        model = make(estimator, "adam", "warm fit")
        state = digest_of_all(model)
        with pytest.raises(ValueError, match="too late"):
            careless(estimator.fit)(model, *draw())
        assert digest_of_all(model) != state
