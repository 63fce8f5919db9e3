# SPDX-License-Identifier: BSD-3-Clause
"""Activations: what each computes, its gradient in every family, one name for each hidden layer."""

from __future__ import annotations

import pickle
import re
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.special as special
from models import ESTIMATORS, digest, draw
from problems import ACTIVATIONS, flat, make_problem
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import scale

from fastbp import BackpropClassifier, BackpropRegressor, _core
from fastbp import _reference_net as twin

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FORMULAS = {
    "identity": lambda z: z,
    "logistic": special.expit,
    "tanh": np.tanh,
    "relu": lambda z: np.maximum(z, 0),
    "leaky_relu": lambda z: np.where(z > 0, z, 0.01 * z),
    "elu": lambda z: np.where(z > 0, z, special.expm1(z)),
    "selu": lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * np.expm1(z)),
    "gelu": lambda z: z * (1 + special.erf(z / np.sqrt(2))) / 2,
    "silu": lambda z: z * special.expit(z),
    "mish": lambda z: z * np.tanh(np.logaddexp(0, z)),
    "softplus": lambda z: np.logaddexp(0, z),
}
NAMES = sorted(set(FORMULAS) & set(ACTIVATIONS), key=ACTIVATIONS.index)
#: Whose derivative jumps at 0, where a difference of losses may cross it.
KINKED = {"relu", "leaky_relu", "selu"}
#: Several in one net: derivatives from outputs and stored ones, side by side.
MIXED = ("silu", "tanh", "relu", "silu")


def mixed_problem(units: tuple[int, ...], **options: Any) -> Any:
    p = make_problem(units, **options)
    p.activations = (MIXED * 2)[: len(units) - 2]
    return p


def tolerance(dtype: str) -> dict[str, float]:
    return {"rtol": 1e-11, "atol": 1e-12} if dtype == "float64" else {"rtol": 2e-4, "atol": 2e-5}


# What they compute


def test_every_activation_has_a_formula_here() -> None:
    assert set(ACTIVATIONS) <= set(FORMULAS)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NAMES)
def test_values(name: str, dtype: str) -> None:
    """One unit with weight 1, read by an output with weight 1: its activation of X."""
    z = np.linspace(-30, 30, 2001, dtype=dtype)[:, None]
    one, zero = np.ones((1, 1), dtype), np.zeros(1, dtype)
    for isa in _core.available_isas():
        net = _core.Net([1, 1, 1], [name], "squared_error", dtype=dtype, isa=isa)
        net.set_weights([one, one], [zero, zero])
        expected = FORMULAS[name](z.astype(np.float64))
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(net.predict(z), expected, rtol=8 * eps, atol=8 * eps)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_is_that_of_the_loss(name: str) -> None:
    """By central differences along every parameter, in every family."""
    p = make_problem((3, 4, 3, 2), name, "log_loss", n=12, weighted=True)
    options = {"sample_weight": p.sample_weight, "alpha": 0.1}
    parameters, h = p.parameters(), 1e-6
    for isa in _core.available_isas():
        net = p.net(_core.Net, max_rows=12, isa=isa)
        _, gradient = net.loss_gradient(parameters, p.X, p.y, **options)
        measured = [
            (
                net.loss_gradient(parameters + h * unit, p.X, p.y, **options)[0]
                - net.loss_gradient(parameters - h * unit, p.X, p.y, **options)[0]
            )
            / (2 * h)
            for unit in np.eye(len(parameters))
        ]
        np.testing.assert_allclose(gradient, measured, rtol=1e-6, atol=1e-8)


# One name for each layer, against the NumPy twin


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("layout", ["dense", "csr32"])
@pytest.mark.parametrize("units", [(9, 20, 17, 8, 5, 3), (40, 33, 70, 1), (130, 50, 60, 2)])
def test_mixed_layers_are_the_twins(units: tuple[int, ...], layout: str, dtype: str) -> None:
    p = mixed_problem(units, n=75, dtype=dtype, layout=layout, weighted=True)
    slow = p.net(twin.Net, max_rows=75)
    expected = slow.predict(p.X, dtype="float64")
    expected_loss, expected_gradient = slow.loss_gradient(p.parameters(), p.X, p.y)
    sparse = {"max_row_nonzeros": 2 * units[0], "max_batch_nonzeros": 150 * units[0]}
    for isa in _core.available_isas():
        for options in [{}, sparse] if layout == "csr32" else [{}]:
            net = p.net(_core.Net, max_rows=75, n_threads=3, isa=isa, **options)
            np.testing.assert_allclose(net.predict(p.X), expected, **tolerance(dtype))
            loss, gradient = net.loss_gradient(p.parameters(), p.X, p.y)
            assert loss == pytest.approx(expected_loss, rel=1e-11 if dtype == "float64" else 1e-5)
            np.testing.assert_allclose(gradient, expected_gradient, **tolerance(dtype))


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_mixed_layers_are_trained_as_by_the_twin(solver: str) -> None:
    p = mixed_problem((20, 40, 30, 3), n=5000)  # beyond a chunk
    nets = [p.net(kind, solver=solver, max_rows=4500) for kind in (_core.Net, twin.Net)]
    for net in nets:
        net.train(p.X, p.y, None, 4500, alpha=0.1, learning_rate=0.01, momentum=0.9)
    weights, expected = (flat(net.get_weights()) for net in nets)
    np.testing.assert_allclose(weights, expected, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_mixed_layers_have_the_same_bits_for_any_threads(dtype: str, precision: str) -> None:
    """Few rows of wide layers: on several threads the layers' products are shared."""
    p = mixed_problem((300, 400, 320, 200, 3), n=120, dtype=dtype)
    for isa in _core.available_isas():
        if isa == "ref":
            continue  # slow
        seen = set()
        for n_threads in (1, 2, 4, 8):
            options = {"n_threads": n_threads, "isa": isa, "precision": precision}
            net = p.net(_core.Net, solver="adam", max_rows=40, **options)
            done = net.train(p.X, p.y, None, 40, learning_rate=0.01)
            seen.add((flat(net.get_weights()).tobytes(), net.predict(p.X).tobytes(), done))
        assert len(seen) == 1, isa


# The estimators


def fitted(estimator: type, activation: Any, **params: Any) -> Any:
    X, y = draw()
    defaults = {"hidden_layer_sizes": (7, 5), "random_state": 0, "max_iter": 5}
    return estimator(activation=activation, **{**defaults, **params}).fit(X, y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("name", NAMES)
def test_a_list_of_one_name_is_that_name(name: str, estimator: type, solver: str) -> None:
    alone = fitted(estimator, name, solver=solver)
    listed = [fitted(estimator, kind([name] * 2), solver=solver) for kind in (list, tuple)]
    for model in listed:
        assert flat((model.coefs_, model.intercepts_)).tobytes() == (
            flat((alone.coefs_, alone.intercepts_)).tobytes()
        )
        assert model._hidden_activations == alone._hidden_activations == (name, name)
    assert listed[0].activation == [name, name]  # stored as given


@pytest.mark.parametrize("activation", [["logistic", "silu"], ["silu", "logistic"], "logistic", []])
def test_first_weights(activation: Any) -> None:
    """Each layer's own factor; the output's is the last hidden layer's, or the single name's."""
    sizes = (7, 5) if activation else ()
    names = [activation] * 2 if isinstance(activation, str) else activation
    X, y = draw()
    model = BackpropRegressor(
        hidden_layer_sizes=sizes,
        activation=activation,
        random_state=3,
        max_iter=1,
        learning_rate_init=1e-300,
        dtype="float64",
    ).fit(X, y)
    rng = np.random.RandomState(3)
    factors = [2 if name == "logistic" else 6 for name in names]
    factors.append(factors[-1] if factors else 6)
    for i, (fan_in, fan_out) in enumerate(pairwise((4, *sizes, 1))):
        bound = np.sqrt(factors[i] / (fan_in + fan_out))
        expected = rng.uniform(-bound, bound, (fan_in, fan_out))
        np.testing.assert_allclose(model.coefs_[i], expected, rtol=1e-15)
        np.testing.assert_allclose(
            model.intercepts_[i], rng.uniform(-bound, bound, fan_out), rtol=1e-15
        )


def test_predictions_are_the_formulas() -> None:
    X, _ = draw()
    model = fitted(BackpropRegressor, ["silu", "tanh"], dtype="float64")
    a = X
    names = ["silu", "tanh", "identity"]
    for W, b, name in zip(model.coefs_, model.intercepts_, names, strict=True):
        a = FORMULAS[name](a @ W + b)
    for rows in (1, 2, 33, 60):  # without a net, and with one
        np.testing.assert_allclose(model.predict(X[:rows]), a[:rows, 0], rtol=1e-12)
    np.testing.assert_allclose(model.predict(X.tolist()), a[:, 0], rtol=1e-12)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_mixed_layers_go_on(estimator: type, solver: str) -> None:
    X, y = draw()
    model = fitted(estimator, ["silu", "elu" if "elu" in NAMES else "tanh"], solver=solver)
    loss = model.loss_
    copy = pickle.loads(pickle.dumps(model))
    assert copy.predict(X).tobytes() == model.predict(X).tobytes()
    assert clone(model).activation == model.activation
    model.set_params(warm_start=True, max_iter=30).fit(X, y)
    assert model.loss_ < loss
    if solver != "lbfgs":
        loss = model.loss_
        for _ in range(20):
            model.partial_fit(X, y)
        assert model.loss_ < loss
        assert model._hidden_activations == tuple(model.activation)


def test_the_fitted_activations_predict() -> None:
    X, y = draw()
    model = fitted(BackpropClassifier, ["silu", "tanh"])
    expected = model.predict_proba(X)
    model.set_params(activation="relu")
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    model.set_params(activation=["tanh"])
    before = digest(model)
    with pytest.raises(ValueError, match="activation"):
        model.fit(X, y)
    assert digest(model) == before
    np.testing.assert_array_equal(model.predict_proba(X), expected)


def test_coefs_with_other_layers() -> None:
    """Where all layers do the same, it is known what another number of them does."""
    X, _ = draw()
    same, mixed = fitted(BackpropRegressor, "silu"), fitted(BackpropRegressor, ["silu", "tanh"])
    for model in (same, mixed):
        model.coefs_.insert(1, np.eye(7, dtype=np.float32))
        model.intercepts_.insert(1, np.zeros(7, np.float32))
    assert np.isfinite(same.predict(X)).all()
    with pytest.raises(ValueError, match=r"3 hidden layers, but .* activations for 2"):
        mixed.predict(X)


@pytest.mark.parametrize(
    ("activation", "message"),
    [
        (["silu", "swish"], "activation=['silu', 'swish'] holds 'swish'"),
        (["silu", 3], "holds 3"),
        (("relu",) * 3, "has 3 names, but hidden_layer_sizes has 2 layers: (7, 5)"),
        ([], "has 0 names, but hidden_layer_sizes has 2 layers"),
        ("swish", "'activation' parameter"),
        ({"relu"}, "'activation' parameter"),
        (None, "'activation' parameter"),
    ],
)
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_errors(estimator: type, activation: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        fitted(estimator, activation)
    if "names" not in message:
        assert all(f"'{name}'" in str(error.value) for name in ACTIVATIONS)


# On real data


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"identity", "logistic"}))
def test_digits_are_learnt(name: str) -> None:
    X, y = load_digits(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
    model = BackpropClassifier((64, 32), activation=name, max_iter=40, random_state=0)
    assert model.fit(X_train, y_train).score(X_test, y_test) >= 0.95


@pytest.mark.parametrize("name", [name for name in ("gelu", "silu", "mish") if name in NAMES])
def test_smooth_activations_fit_better_than_relu(name: str) -> None:
    """On few units: no unit dies, and none has a kink that others must smooth."""
    X, y = load_digits(return_X_y=True)
    losses = {
        activation: [
            BackpropClassifier((16, 16), activation=activation, max_iter=30, random_state=seed)
            .fit(X / 16, y)
            .loss_
            for seed in range(4)
        ]
        for activation in (name, "relu")
    }
    assert np.mean(losses[name]) < 0.9 * np.mean(losses["relu"])


def test_a_search_over_activations() -> None:
    X, y = load_breast_cancer(return_X_y=True)
    grid = {"activation": ["relu", ["silu", "tanh"], ["relu", "silu"]]}
    model = BackpropClassifier((16, 8), max_iter=60, learning_rate_init=0.01, random_state=0)
    search = GridSearchCV(model, grid, cv=3).fit(scale(X), y)
    assert search.best_params_["activation"] in grid["activation"]
    assert min(search.cv_results_["mean_test_score"]) >= 0.93
