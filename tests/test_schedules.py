# SPDX-License-Identifier: BSD-3-Clause
"""Schedules of the learning rate: their values, what solvers make of them, what excludes them."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from models import ESTIMATORS, draw
from problems import flat, make_problem
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp import _reference_net as twin
from fastbp._schedules import Schedule

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def factors(name: str, epochs: int, epoch_steps: int, warmup: float = 0.0) -> list[float]:
    """Return the factors of all steps of a fit."""
    schedule = Schedule(name, epoch_steps, epochs * epoch_steps, warmup * epoch_steps)
    return [float(f) for epoch in range(epochs) for f in schedule.factors(epoch)]


# Values


def test_cosine_by_hand() -> None:
    half = math.sqrt(0.5)
    expected = [1, (1 + half) / 2, 0.5, (1 - half) / 2]
    for epochs, epoch_steps in [(4, 1), (2, 2), (1, 4)]:
        assert factors("cosine", epochs, epoch_steps) == pytest.approx(expected, abs=1e-15)


def test_cosine_is_the_recurrence_of_chebyshev() -> None:
    """cos((t + 1)x) = 2 cos(x) cos(tx) - cos((t - 1)x): no cosine but the first is taken."""
    n = 60
    cosines = [1.0, math.cos(math.pi / n)]
    while len(cosines) < n:
        cosines.append(2 * cosines[1] * cosines[-1] - cosines[-2])
    expected = [(1 + c) / 2 for c in cosines]
    assert factors("cosine", 12, 5) == pytest.approx(expected, abs=1e-12)


def test_warmup_by_hand() -> None:
    assert factors("constant", 3, 4, warmup=1) == [0.25, 0.5, 0.75, 1.0] + [1.0] * 8
    assert factors("adaptive", 2, 4, warmup=0.5) == [0.5] + [1.0] * 7
    # Two and a half steps: the third is the first that is whole.
    assert factors("invscaling", 1, 5, warmup=0.5) == pytest.approx([0.4, 0.8, 1, 1, 1])
    assert factors("constant", 1, 5, warmup=0.1) == [1.0] * 5
    assert factors("constant", 1, 4, warmup=2) == [0.125, 0.25, 0.375, 0.5]  # never there


def test_cosine_begins_after_the_warmup() -> None:
    half = math.sqrt(0.5)
    expected = [0.5, 1, 1, (1 + half) / 2, 0.5, (1 - half) / 2]
    assert factors("cosine", 3, 2, warmup=1) == pytest.approx(expected, abs=1e-15)


def test_one_cycle_by_hand() -> None:
    # Ten steps: the peak is step 0.3 · 10 - 1 = 2, and seven steps lead down from it.
    down = [(1 + math.cos(math.pi * k / 7)) / 2 for k in range(8)]
    low, lowest = 1 / 25, 1 / 250_000
    expected = [low, (low + 1) / 2, *(lowest + (1 - lowest) * d for d in down)]
    assert factors("one_cycle", 5, 2) == pytest.approx(expected, rel=1e-13)
    assert factors("one_cycle", 5, 2)[-1] == lowest


@pytest.mark.parametrize("n", [5, 12, 37, 1000])
def test_one_cycle_in_two_phases(n: int) -> None:
    """The usual form: phases that end in steps 0.3 n - 1 and n - 1, each annealed by a cosine."""

    def anneal(start: float, end: float, share: float) -> float:
        return end + (start - end) / 2 * (1 + math.cos(math.pi * share))

    ends = 0.3 * n - 1, n - 1
    expected = [
        anneal(1 / 25, 1, step / ends[0])
        if step <= ends[0]
        else anneal(1, 1 / 25 / 1e4, (step - ends[0]) / (ends[1] - ends[0]))
        for step in range(n)
    ]
    assert factors("one_cycle", 1, n) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", range(1, 12))
def test_one_cycle_of_few_steps(n: int) -> None:
    values = factors("one_cycle", 1, n)
    assert all(1 / 250_000 <= value <= 1 for value in values)
    top = values.index(max(values))
    assert values[: top + 1] == sorted(values[: top + 1])
    assert values[top:] == sorted(values[top:], reverse=True)
    assert values[-1] == (1 / 250_000 if n > 1 else 1)


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
def test_the_cut_into_epochs_does_not_matter(name: str) -> None:
    assert factors(name, 6, 5) == factors(name, 1, 30) == factors(name, 30, 1)
    assert 0 < min(factors(name, 6, 5)) and max(factors(name, 100, 10)) <= 1


# In the core


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("solver", ["sgd", "nesterov", "adam"])
def test_a_rate_per_batch_is_the_twins(solver: str, dtype: str) -> None:
    p = make_problem((9, 20, 3), "tanh", n=70, dtype=dtype, weighted=True)
    assert p.sample_weight is not None
    p.sample_weight[32:48] = 0  # the third batch is skipped, and its rate with it
    rates = np.array([0.01, 0.0, 7.0, 0.03, 0.002])
    results = []
    for net_class in (_core.Net, twin.Net):
        net = p.net(net_class, solver=solver, max_rows=16)
        options = {"sample_weight": p.sample_weight, "momentum": 0.9, "epsilon": 1e-3}
        done = net.train(p.X, p.y, None, 16, learning_rates=rates, **options)
        assert done.n_steps == 4
        results.append(flat(net.get_weights()))
    rtol = 1e-12 if dtype == "float64" else 1e-4
    np.testing.assert_allclose(*results, rtol, rtol)


@pytest.mark.parametrize("solver", ["sgd", "nesterov", "adam"])
def test_equal_rates_have_the_bits_of_one(solver: str) -> None:
    p = make_problem((9, 20, 3), "relu", n=5000, dtype="float32")
    results = []
    for options in ({"learning_rate": 0.01}, {"learning_rates": np.full(313, 0.01)}):
        for n_threads in (1, 2):
            net = p.net(_core.Net, solver=solver, max_rows=16, n_threads=n_threads)
            net.train(p.X, p.y, None, 16, momentum=0.9, **options)
            results.append(flat(net.get_weights()).tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("net_class", [_core.Net, twin.Net])
@pytest.mark.parametrize(
    "rates", [np.ones(4), np.ones(6), np.ones(5, np.float32), np.ones(10)[::2]]
)
def test_bad_rates_raise(net_class: Any, rates: Any) -> None:
    p = make_problem((9, 3), n=70)
    net = p.net(net_class, solver="sgd", max_rows=16)
    with pytest.raises(ValueError, match="learning_rates"):
        net.train(p.X, p.y, None, 16, learning_rates=rates)


# In the estimators


def rates_used(monkeypatch: pytest.MonkeyPatch, model: Any, X: Any, y: Any) -> list[float]:
    """Fit; return the rates that the core was given, by epoch."""
    used: list[Any] = []

    class Spy(_core.Net):
        def train(self, *args: Any, **options: Any) -> Any:
            used.append(options.get("learning_rates", options["learning_rate"]))
            return super().train(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(_core, "Net", Spy)
        model.fit(X, y)
    return used


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_a_fit_uses_the_schedule_over_max_iter(
    monkeypatch: pytest.MonkeyPatch, solver: str, estimator: type
) -> None:
    X, y = draw(60)
    common = {"solver": solver, "batch_size": 16, "max_iter": 5, "learning_rate_init": 0.02}
    model = estimator(learning_rate="cosine", warmup=1.5, n_iter_no_change=9, **common)
    expected = 0.02 * np.array(factors("cosine", 5, 4, warmup=1.5))
    for _ in range(2):  # a warm start begins anew, too
        used = rates_used(monkeypatch, model.set_params(warm_start=True), X, y)
        np.testing.assert_allclose(np.concatenate(used), expected, rtol=1e-15)
    # With early stopping the steps are those of the rows that are left: 54 are 4 batches again.
    model = estimator(learning_rate="one_cycle", early_stopping=True, tol=0, **common)
    used = rates_used(monkeypatch, model.set_params(n_iter_no_change=np.inf), X, y)
    np.testing.assert_allclose(np.concatenate(used), 0.02 * np.array(factors("one_cycle", 5, 4)))
    assert rates_used(monkeypatch, estimator(**common), X, y) == [0.02] * 5


def test_warmup_multiplies_what_invscaling_and_adaptive_say(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    X, y = draw(64)
    common: dict[str, Any] = {"solver": "sgd", "batch_size": 16, "max_iter": 4, "warmup": 2}
    model = BackpropRegressor(learning_rate="invscaling", learning_rate_init=0.1, **common)
    used = rates_used(monkeypatch, model, X, y)
    bases = [0.1, *(0.1 / math.sqrt(64 * epoch + 1) for epoch in (1, 2, 3))]
    expected = np.repeat(bases, 4) * factors("constant", 4, 4, warmup=2)
    np.testing.assert_allclose(np.concatenate(used), expected, rtol=1e-15)
    assert model._optimizer.learning_rate == 0.1 / math.sqrt(4 * 64 + 1)

    model = BackpropRegressor(learning_rate="adaptive", tol=10, n_iter_no_change=1, **common)
    used = rates_used(monkeypatch, model, X, y)
    assert [float(rates[-1]) for rates in used] == pytest.approx([5e-4, 1e-3, 1e-3, 2e-4])


def test_adams_bias_correction_multiplies_the_scheduled_rate() -> None:
    """With one full batch, what fit does is what the core does with rates found by hand."""
    X, y = draw(40)
    model = BackpropRegressor(
        hidden_layer_sizes=5, learning_rate="one_cycle", max_iter=6, batch_size=40, shuffle=False,
        dtype="float64", learning_rate_init=0.05, alpha=0, random_state=0,
    )  # fmt: skip
    start = clone(model).set_params(learning_rate="constant", learning_rate_init=1e-300, max_iter=1)
    start.fit(X, y)
    net = twin.Net(
        [4, 5, 1], ["relu"], "squared_error", dtype="float64", solver="adam", max_rows=40
    )
    net.set_weights(start.coefs_, start.intercepts_)
    rates = 0.05 * np.array(factors("one_cycle", 6, 1))
    for rate in rates:
        net.train(X, y.reshape(-1, 1).astype(float), None, 40, learning_rate=float(rate))
    model.fit(X, y)
    weights = flat(net.get_weights())
    np.testing.assert_allclose(flat((model.coefs_, model.intercepts_)), weights, rtol=1e-9)


@pytest.mark.parametrize("params", [{"learning_rate": "cosine"}, {"learning_rate": "one_cycle"},
                                    {"warmup": 0.5}], ids=str)  # fmt: skip
def test_partial_fit_raises(params: dict[str, Any]) -> None:
    X, y = draw()
    ((name, value),) = params.items()
    model = BackpropRegressor(max_iter=2, **params)
    with pytest.raises(ValueError, match=f"partial_fit does not support {name}={value!r}"):
        model.partial_fit(X, y)
    assert not hasattr(model, "coefs_")
    model.fit(X, y)
    with pytest.raises(ValueError, match="partial_fit"):
        model.partial_fit(X, y)
    # With the parameter set back it goes on from there, at a constant rate.
    model.set_params(learning_rate="constant", warmup=0).partial_fit(X, y)
    assert len(model.loss_curve_) == 3


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_what_excludes_a_schedule(estimator: type) -> None:
    X, y = draw()
    for params, message in [
        ({"solver": "lbfgs", "warmup": 1}, r"warmup=1 needs solver='sgd' or 'adam'"),
        ({"learning_rate": "one_cycle", "warmup": 1}, r"learning_rate='one_cycle'.*warmup=0"),
        ({"learning_rate": "cosine", "warmup": 5, "max_iter": 5}, r"warmup=5.*max_iter=5"),
    ]:
        with pytest.raises(ValueError, match=message):
            estimator(**params).fit(X, y)
    estimator(solver="lbfgs", learning_rate="cosine", max_iter=2).fit(X, y)  # not used, in silence
    estimator(learning_rate="constant", warmup=9, max_iter=2).fit(X, y)


# On real data


@pytest.mark.parametrize("schedule", ["cosine", "one_cycle"])
@pytest.mark.parametrize(("solver", "rate"), [("sgd", 0.2), ("adam", 0.03)])
def test_a_schedule_ends_lower_than_a_constant_rate(
    solver: str, rate: float, schedule: str
) -> None:
    X, y = load_digits(return_X_y=True)
    losses = {}
    for name in ("constant", schedule):
        model = BackpropClassifier(
            32, solver=solver, learning_rate=name, learning_rate_init=rate, max_iter=12,
            batch_size=32, n_iter_no_change=np.inf, random_state=0, alpha=0,
        )  # fmt: skip
        losses[name] = model.fit(X / 16, y).loss_
    assert losses[schedule] < 0.7 * losses["constant"]


@pytest.mark.parametrize(
    ("params", "warns"),
    [
        ({"learning_rate": "constant"}, True),
        ({"learning_rate": "constant", "warmup": 1}, True),
        ({"learning_rate": "cosine"}, False),
        ({"learning_rate": "one_cycle"}, False),
    ],
)
def test_the_end_of_a_schedule_is_no_failure(params: dict[str, Any], warns: bool) -> None:
    X, y = draw(60)
    model = BackpropClassifier(4, max_iter=3, n_iter_no_change=np.inf, random_state=0, **params)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert [w.category for w in caught] == [ConvergenceWarning] * warns


def test_a_grid_over_schedules() -> None:
    X, y = draw(60)
    grid = {"learning_rate": ["constant", "cosine", "one_cycle"], "solver": ["sgd", "lbfgs"]}
    search = GridSearchCV(BackpropClassifier(4, max_iter=3), grid, cv=2, error_score="raise")
    assert np.isfinite(search.fit(X, y).cv_results_["mean_test_score"]).all()
