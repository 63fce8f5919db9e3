# SPDX-License-Identifier: BSD-3-Clause
"""What a step does with its gradient: weight decay, clipping by norm, descent without momentum."""

from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from models import ESTIMATORS, draw
from problems import flat, make_problem
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp import _reference_net as twin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SOLVERS = ("sgd", "nesterov", "adam")
DTYPES = ("float64", "float32")


def trained(p: Any, net_class: Any, *, batch_rows: int = 32, solver: str = "sgd", **options: Any):
    """Return the weights after two epochs, and the losses."""
    net_options = {
        name: options.pop(name) for name in ("n_threads", "isa", "precision") if name in options
    }
    if sp.issparse(p.X) and p.X.shape[1] >= 30:
        net_options |= {"max_row_nonzeros": 500, "max_batch_nonzeros": 500 * batch_rows}
    net = p.net(net_class, solver=solver, max_rows=batch_rows, clips=True, **net_options)
    step = {"learning_rate": 0.05, "momentum": 0.5, "epsilon": 1e-3, "alpha": 0.2, **options}
    done = [
        net.train(p.X, p.y, None, batch_rows, sample_weight=p.sample_weight, **step).loss_sum
        for _ in range(2)
    ]
    return flat(net.get_weights()), done


def assert_close(actual: Any, expected: Any, dtype: str) -> None:
    for mine, other in zip(actual, expected, strict=True):
        rtol = 1e-11 if dtype == "float64" else 2e-4
        np.testing.assert_allclose(mine, other, rtol, rtol * np.abs(other).max())


# In the core


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("units", [(6, 9, 1), (17, 70, 33, 2), (40, 1)], ids=str)
def test_decay_and_clipping_are_the_twins(units: Any, solver: str, dtype: str) -> None:
    p = make_problem(units, "tanh", n=75, dtype=dtype, weighted=True)
    for options in (
        {"weight_decay": 0.7},
        {"max_grad_norm": 0.3},
        {"weight_decay": 0.7, "max_grad_norm": 0.05},
        {"weight_decay": 0.7, "learning_rates": np.array([0.1, 0.01, 0.05])},
    ):
        expected = trained(p, twin.Net, solver=solver, **options)
        for isa in _core.available_isas():
            actual = trained(p, _core.Net, solver=solver, isa=isa, n_threads=2, **options)
            assert_close(actual, expected, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", ["dense", "csr32"])
@pytest.mark.parametrize(("units", "batch_rows"), [((50, 70, 3), 64), ((40, 1), 50),
                                                   ((9, 20, 2), 5000)], ids=str)  # fmt: skip
def test_bits_depend_on_neither_threads_nor_family(
    units: Any, batch_rows: int, layout: str, dtype: str
) -> None:
    p = make_problem(units, "relu", n=2 * batch_rows + 9, dtype=dtype, weighted=True, layout=layout)
    options = {"batch_rows": batch_rows, "weight_decay": 0.1, "max_grad_norm": 0.05}
    fused = _core.fused_isas(dtype)
    own = [[isa] for isa in _core.available_isas() if isa not in fused]
    for isas in (fused, *own):
        results = {
            (weights.tobytes(), *losses)
            for isa in isas
            for n_threads in ((1, 2, 3) if isa != "ref" else (2,))
            for weights, losses in [trained(p, _core.Net, isa=isa, n_threads=n_threads, **options)]
        }
        assert len(results) == 1, isas


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_split_products_clip_too(precision: str) -> None:
    p = make_problem((64, 96, 80, 3), "tanh", "log_loss", n=300, dtype="float32")
    options = {"weight_decay": 0.1, "max_grad_norm": 0.02, "precision": precision}
    expected = trained(p, twin.Net, batch_rows=100, **options)
    results = [
        trained(p, _core.Net, batch_rows=100, n_threads=n_threads, **options)
        for n_threads in (1, 2, 3)
    ]
    assert len({weights.tobytes() for weights, _ in results}) == 1
    np.testing.assert_allclose(results[0][0], expected[0], atol=0.02)


@pytest.mark.parametrize("layout", ["dense", "csr32"])
@pytest.mark.parametrize("solver", SOLVERS)
def test_neutral_values_change_no_bit(solver: str, layout: str) -> None:
    """A norm that is not reached, decay 0, and one that rounds to none at all."""
    for units in [(50, 20, 3), (33, 1)]:
        p = make_problem(units, "tanh", n=4500, dtype="float32", layout=layout)
        for batch_rows in (64, 4500):
            common = {"solver": solver, "batch_rows": batch_rows}
            expected = trained(p, _core.Net, **common)
            for options in ({"max_grad_norm": 1e6}, {"weight_decay": 0.0}, {"weight_decay": 1e-9}):
                weights, losses = trained(p, _core.Net, **common, **options)
                assert (weights.tobytes(), losses) == (expected[0].tobytes(), expected[1])


@pytest.mark.parametrize("net_class", [_core.Net, twin.Net])
@pytest.mark.parametrize("dtype", DTYPES)
def test_length_of_a_clipped_step(dtype: str, net_class: Any) -> None:
    p = make_problem((20, 40, 3), "tanh", n=60, dtype=dtype, weighted=True)
    start = p.parameters().astype(np.float64)

    def step(most: float) -> np.ndarray:
        net = p.net(net_class, solver="sgd", max_rows=60, clips=True)
        options = {"learning_rate": 0.5, "alpha": 3.0, "max_grad_norm": most}
        net.train(p.X, p.y, None, 60, sample_weight=p.sample_weight, **options)
        return flat(net.get_weights()) - start

    whole = step(0.0)
    norm = np.linalg.norm(whole) / 0.5
    for most in (0.9 * norm, 0.01 * norm):
        clipped = step(most)
        assert np.linalg.norm(clipped) == pytest.approx(0.5 * most, rel=1e-3)
        tolerance = 1e-12 if dtype == "float64" else 1e-6
        np.testing.assert_allclose(clipped, whole * most / norm, rtol=1e-4, atol=tolerance)
    assert np.array_equal(step(1.001 * norm), whole)


def test_decay_by_hand() -> None:
    """Without a gradient (the data fit), weights fall geometrically and intercepts stay."""
    p = make_problem((5, 4, 2), "identity", n=32)
    p.y = p.net(_core.Net).predict(p.X)
    for solver in SOLVERS:
        rates = np.array([0.5, 0.25])
        net = p.net(_core.Net, solver=solver, max_rows=32)
        before = [c.copy() for c in p.coefs]
        # Hardly any rate for the solver's move; weight_decay makes up for it.
        net.train(p.X, p.y, None, 32, learning_rates=rates[:1] * 1e-12, weight_decay=1e12)
        coefs, intercepts = net.get_weights()
        for coef, old in zip(coefs, before, strict=True):
            np.testing.assert_allclose(coef, 0.5 * old, rtol=1e-9)
        np.testing.assert_allclose(intercepts[0], p.intercepts[0], rtol=1e-9)


def test_a_gradient_that_is_not_finite_is_not_hidden() -> None:
    for net_class in (_core.Net, twin.Net):
        p = make_problem((3, 2), n=8)
        p.y[3] = 1e308  # its square, and the norm, overflow
        net = p.net(net_class, solver="sgd", max_rows=8, clips=True)
        with np.errstate(all="ignore"):
            net.train(p.X, p.y, None, 8, learning_rate=1e10, max_grad_norm=1.0)
        assert not np.isfinite(flat(net.get_weights())).all()


def test_a_net_that_does_not_clip_says_so() -> None:
    p = make_problem((3, 2), n=8)
    for net_class in (_core.Net, twin.Net):
        net = p.net(net_class, solver="sgd", max_rows=8)
        with pytest.raises(ValueError, match="clips=True"):
            net.train(p.X, p.y, None, 8, max_grad_norm=1.0)


# In the estimators


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_lbfgs_refuses(estimator: type) -> None:
    X, y = draw()
    for params in ({"weight_decay": 0.1}, {"max_grad_norm": 1.0}):
        ((name, value),) = params.items()
        message = f"{name}={value} needs solver='sgd' or 'adam'.* Set {name}="
        with pytest.raises(ValueError, match=message):
            estimator(solver="lbfgs", **params).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_partial_fit_decays_and_clips(solver: str) -> None:
    X, y = draw(64)
    common = {"solver": solver, "shuffle": False, "random_state": 0, "max_iter": 3, "tol": 0}
    params = {"weight_decay": 2.0, "max_grad_norm": 0.01}
    plain = BackpropRegressor(**common).fit(X, y)
    model = BackpropRegressor(**common, **params).fit(X, y)
    assert not np.array_equal(plain.coefs_[0], model.coefs_[0])
    steps = BackpropRegressor(**common, **params)
    for _ in range(3):
        steps.partial_fit(X, y)
    np.testing.assert_array_equal(steps.coefs_[0], model.coefs_[0])
    sparse = clone(model).fit(sp.csr_matrix(X), y)
    np.testing.assert_array_equal(sparse.coefs_[0], model.coefs_[0])


def test_a_clipped_step_of_a_fit() -> None:
    X, y = draw(50)
    common = {"solver": "sgd", "momentum": 0, "batch_size": 50, "max_iter": 1, "random_state": 0}
    start, end = (
        BackpropRegressor(
            **common, dtype="float64", learning_rate_init=rate, max_grad_norm=0.01
        ).fit(X, y)
        for rate in (1e-300, 0.5)
    )
    moved = flat((end.coefs_, end.intercepts_)) - flat((start.coefs_, start.intercepts_))
    assert np.linalg.norm(moved) == pytest.approx(0.5 * 0.01, rel=1e-9)


def test_clipping_rescues_a_run_that_diverges() -> None:
    X, y = load_digits(return_X_y=True)
    X = X / 16
    model = BackpropClassifier(
        (64, 64), solver="sgd", learning_rate_init=1.0, max_iter=10, random_state=0
    )
    assert model.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) < 0.3
    model.set_params(max_grad_norm=0.1)
    assert model.fit(X[:1200], y[:1200]).score(X[1200:], y[1200:]) > 0.85


def test_weight_decay_helps_on_few_noisy_samples() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    X = StandardScaler().fit_transform(X)
    scores: dict[float, list[float]] = {0.0: [], 10.0: []}
    for seed in range(3):
        rng = np.random.default_rng(seed)
        rows = rng.permutation(len(y))
        train, test = rows[:80], rows[80:]
        noisy = np.where(rng.random(80) < 0.2, 1 - y[train], y[train])
        for decay, found in scores.items():
            model = BackpropClassifier(
                alpha=0, learning_rate_init=0.01, max_iter=150, n_iter_no_change=np.inf,
                random_state=seed, weight_decay=decay,
            )  # fmt: skip
            found.append(model.fit(X[train], noisy).score(X[test], y[test]))
    assert np.mean(scores[10.0]) > np.mean(scores[0.0]) + 0.05


# Without momentum


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("solver", ["sgd", "nesterov"])
def test_plain_sgd_has_the_bits_of_no_momentum(solver: str, dtype: str) -> None:
    for units, layout in [((17, 40, 33, 2), "dense"), ((50, 9, 1), "csr32"), ((40, 1), "csr32")]:
        p = make_problem(units, "relu", n=300, dtype=dtype, weighted=True, layout=layout)
        for isa in _core.available_isas():
            results = [
                trained(p, _core.Net, solver=name, momentum=0.0, isa=isa, n_threads=2)
                for name in (solver, "plain_sgd")
            ]
            assert results[0][0].tobytes() == results[1][0].tobytes(), isa
            assert results[0][1] == results[1][1]


@pytest.mark.parametrize("nesterov", [True, False])
def test_no_momentum_keeps_no_state(nesterov: bool) -> None:
    X, y = draw()
    params = {"solver": "sgd", "momentum": 0, "nesterovs_momentum": nesterov, "random_state": 0}
    model = BackpropRegressor(**params, dtype="float64", max_iter=3).fit(X, y)
    assert model._optimizer.solver == "plain_sgd"
    assert model._optimizer.moments == []
    theirs = MLPRegressor(**params, max_iter=3).fit(X, y)
    again = pickle.loads(pickle.dumps(model))
    for _ in range(2):
        for each in (model, theirs, again):
            each.partial_fit(X, y)
        np.testing.assert_allclose(model.coefs_[0], theirs.coefs_[0], rtol=1e-10)
        np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    # A solver keeps the momentum it was made with; a fit makes a new one.
    model.set_params(momentum=0.9).partial_fit(X, y)
    assert model._optimizer.solver == "plain_sgd"
    model.set_params(warm_start=True).fit(X, y)
    assert model._optimizer.solver == ("nesterov" if nesterov else "sgd")
    assert len(model._optimizer.moments) == 1


def test_state_of_sgd_without_momentum_from_before_goes_on() -> None:
    """A model that was saved when this solver kept a velocity."""
    X, y = draw()
    model = BackpropRegressor(solver="sgd", momentum=0, max_iter=3, random_state=0).fit(X, y)
    state = model.__getstate__()
    velocity = [
        [np.ones_like(c) for c in model.coefs_],
        [np.ones_like(b) for b in model.intercepts_],
    ]
    state["_optimizer"] |= {"solver": "nesterov", "moments": [velocity]}
    old = clone(model)
    old.__setstate__(state)
    np.testing.assert_array_equal(
        old.partial_fit(X, y).coefs_[0], model.partial_fit(X, y).coefs_[0]
    )
    assert old._optimizer.solver == "nesterov"


def test_descent_diverges_loudly_with_and_without_clipping() -> None:
    X, y = draw()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for params in ({}, {"max_grad_norm": 1e300}):
            model = BackpropRegressor(solver="sgd", learning_rate_init=1e200, **params)
            with pytest.raises(ValueError, match="non-finite"):
                model.fit(X, y)
