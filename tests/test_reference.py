# SPDX-License-Identifier: BSD-3-Clause
"""The NumPy twin against what does not share its formulas: complex steps, closed forms, and
scikit-learn's own functions and trainer."""

import math
import warnings
from itertools import pairwise

import numpy as np
import pytest
import scipy.special
from problems import ACTIVATIONS, LAYOUTS, LOSSES, SOLVERS, flat, make_problem
from sklearn import metrics
from sklearn.neural_network import MLPClassifier, MLPRegressor

from fastbp import _reference as twin
from fastbp._reference_net import Net


def n_outputs(loss):
    return 3 if loss != "binary_log_loss" else 2


@pytest.mark.parametrize("name", twin.ACTIVATIONS)
def test_derivative_is_that_of_the_activation(name):
    z = np.linspace(-6, 6, 101) + 0.01  # beside the kinks
    activation, derivative = twin.ACTIVATIONS[name]
    step = 1e-30
    slope = activation(z + 1j * step).imag / step
    np.testing.assert_allclose(derivative(z, activation(z)), slope, rtol=1e-13, atol=2e-15)


def test_activations_and_links_are_the_known_functions():
    z = np.linspace(-40, 40, 400).reshape(-1, 4)
    np.testing.assert_allclose(twin.logistic(z), scipy.special.expit(z), rtol=1e-15)
    np.testing.assert_allclose(twin.softplus(z), np.logaddexp(0, z), rtol=1e-14)
    np.testing.assert_allclose(twin.silu(z), z * scipy.special.expit(z), rtol=1e-14)
    tails = scipy.special.erfc(-z / math.sqrt(2)) / 2
    np.testing.assert_allclose(twin.gelu(z), z * tails, rtol=1e-12)
    softplus = np.logaddexp(0, z)
    np.testing.assert_allclose(twin.mish(z), z * np.tanh(softplus), rtol=1e-13)
    np.testing.assert_allclose(twin.elu(z), np.maximum(z, 0) + np.expm1(np.minimum(z, 0)))
    np.testing.assert_allclose(twin.selu(np.array([-1.0, 2.0])), [-1.1113307378, 2.1014019747])
    np.testing.assert_allclose(twin.leaky_relu(np.array([-1.0, 2.0])), [-0.01, 2.0])
    np.testing.assert_allclose(twin.softmax(z), scipy.special.softmax(z, axis=1), rtol=1e-14)
    assert twin.logistic(np.array([-800.0, 800.0])).tolist() == [0, 1]
    assert np.isfinite(twin.softmax(np.array([[1e300, -1e300]]))).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_batch_loss_is_the_metric(loss, weighted):
    p = make_problem((4, 5, n_outputs(loss)), loss=loss, weighted=weighted)
    y = np.eye(3)[p.y] if loss == "log_loss" else p.y
    w = np.ones(len(y)) if p.sample_weight is None else p.sample_weight
    _, _, z = twin.forward(p.X, p.coefs, p.intercepts, p.activations)
    o = twin.LOSSES[loss].link(z)
    levels = p.loss_parameters()
    columns = list(zip(y.T, o.T, strict=True))
    expected = {
        "squared_error": lambda: metrics.mean_squared_error(y, o, sample_weight=w) / 2,
        "binary_log_loss": lambda: sum(metrics.log_loss(t, q, sample_weight=w) for t, q in columns),
        "log_loss": lambda: metrics.log_loss(p.y, o, sample_weight=w),
        "poisson": lambda: sum(
            metrics.mean_poisson_deviance(t, q, sample_weight=w) / 2 for t, q in columns
        ),
        "gamma": lambda: sum(
            metrics.mean_gamma_deviance(t, q, sample_weight=w) / 2 for t, q in columns
        ),
        "absolute_error": lambda: sum(
            metrics.mean_absolute_error(t, q, sample_weight=w) for t, q in columns
        ),
        "quantile": lambda: sum(
            metrics.mean_pinball_loss(t, q, sample_weight=w, alpha=level)
            for (t, q), level in zip(columns, levels, strict=True)
        ),
        "huber": lambda: np.average(scipy.special.huber(levels, y - o).sum(axis=1), weights=w),
    }[loss]()
    actual = twin.batch_loss(y, o, w, p.coefs, 0.0, loss, levels)
    assert actual == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("alpha", [0.0, 0.7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradient_is_the_complex_steps(activation, loss, weighted, alpha):
    n_out = n_outputs(loss)
    p = make_problem((4, 6, 5, n_out), activation, loss, n=20, weighted=weighted)
    y = np.eye(n_out)[p.y] if loss == "log_loss" else p.y
    w = np.ones(len(y)) if p.sample_weight is None else p.sample_weight
    # Squared error's gradient is that of the sum over outputs, its loss their mean.
    factor = n_out if loss == "squared_error" else 1
    net = p.net(Net, max_rows=20)
    _, gradient = net.loss_gradient(
        p.parameters(), p.X, p.y, sample_weight=p.sample_weight, alpha=alpha
    )

    def loss_at(parameters):
        arrays = [*p.coefs, *p.intercepts]
        ends = np.cumsum([a.size for a in arrays])[:-1]
        parts = [
            part.reshape(a.shape)
            for part, a in zip(np.split(parameters, ends), arrays, strict=True)
        ]
        weights, biases = parts[: len(p.coefs)], parts[len(p.coefs) :]
        _, _, z = twin.forward(p.X, weights, biases, p.activations)
        o = twin.LOSSES[loss].link(z)
        batch_loss = twin.batch_loss(y, o, w, weights, alpha / factor, loss, p.loss_parameters())
        return batch_loss * factor

    step = 1e-30
    expected = [
        loss_at(p.parameters() + 1j * step * unit).imag / step for unit in np.eye(len(gradient))
    ]
    np.testing.assert_allclose(gradient, expected, rtol=1e-12, atol=1e-14)


def test_one_linear_layer_is_least_squares():
    p = make_problem((3, 1), n=40)
    net = p.net(Net, max_rows=40)
    _, gradient = net.loss_gradient(p.parameters(), p.X, p.y)
    residual = p.X @ p.coefs[0] + p.intercepts[0] - p.y
    np.testing.assert_allclose(gradient[:3], (p.X.T @ residual).ravel() / 40, rtol=1e-13)
    np.testing.assert_allclose(gradient[3], residual.mean(), rtol=1e-13)

    solution = np.linalg.lstsq(np.c_[p.X, np.ones(40)], p.y, rcond=None)[0].ravel()
    loss, gradient = net.loss_gradient(solution, p.X, p.y)
    np.testing.assert_allclose(gradient, 0, atol=1e-14)
    assert loss <= ((p.y - p.y.mean()) ** 2).mean() / 2


def test_solvers_on_a_gradient_known_beforehand():
    g = np.array([0.5, -2.0])
    h = twin.Hyper(learning_rate=0.1, momentum=0.9, beta_1=0.9, beta_2=0.99, epsilon=1e-8)

    w, v = np.zeros(2), [np.zeros(2)]
    twin.sgd(w, g, v, h, 1)
    twin.sgd(w, g, v, h, 2)
    np.testing.assert_allclose(w, -0.1 * g * (1 + 1.9), rtol=1e-15)

    w, v = np.zeros(2), [np.zeros(2)]
    twin.nesterov(w, g, v, h, 1)
    twin.nesterov(w, g, v, h, 2)
    np.testing.assert_allclose(w, -0.1 * g * (1.9 + (1 + 0.9 * 1.9)), rtol=1e-15)

    # Under a constant gradient both corrected means are exact, so each stride is the rate.
    w, m = np.zeros(2), [np.zeros(2), np.zeros(2)]
    for step in range(1, 6):
        twin.adam(w, g, m, h, step)
        np.testing.assert_allclose(w, -0.1 * step * np.sign(g), rtol=1e-6)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("task", ["classes", "labels", "numbers"])
def test_trajectory_is_scikit_learns(task, activation, solver):
    loss = {"classes": "log_loss", "labels": "binary_log_loss", "numbers": "squared_error"}[task]
    units = (6, 8, 5, n_outputs(loss))
    momentum = 0.0 if solver == "plain_sgd" else 0.9
    p = make_problem(units, activation, loss, n=70)
    model = (MLPRegressor if task == "numbers" else MLPClassifier)(
        hidden_layer_sizes=units[1:-1],
        activation=activation,
        solver="adam" if solver == "adam" else "sgd",
        momentum=momentum,
        nesterovs_momentum=solver == "nesterov",
        alpha=0.3,
        batch_size=32,
        learning_rate_init=0.01,
        shuffle=False,
        max_iter=5,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(p.X, p.y)

    rng = np.random.RandomState(0)
    coefs, intercepts = [], []
    for fan_in, fan_out in pairwise(units):
        bound = np.sqrt((2 if activation == "logistic" else 6) / (fan_in + fan_out))
        coefs.append(rng.uniform(-bound, bound, (fan_in, fan_out)))
        intercepts.append(rng.uniform(-bound, bound, fan_out))
    net = Net(units, p.activations, loss, dtype="float64", solver=solver, max_rows=32)
    net.set_weights(coefs, intercepts)
    curve = []
    for _ in range(5):
        done = net.train(p.X, p.y, None, 32, alpha=0.3, learning_rate=0.01, momentum=momentum)
        curve.append(done.loss_sum / 70)
    np.testing.assert_allclose(curve, model.loss_curve_, rtol=1e-12)
    weights = flat((model.coefs_, model.intercepts_))
    np.testing.assert_allclose(flat(net.get_weights()), weights, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_layouts_of_x_are_the_same_numbers(layout):
    p = make_problem((7, 4, 2), layout=layout)
    dense = p.X.toarray() if layout.startswith("csr") else np.ascontiguousarray(p.X)
    expected = p.with_x(dense).net(Net).predict(dense)
    np.testing.assert_allclose(p.net(Net).predict(p.X), expected, rtol=1e-13, atol=1e-14)


def test_float32_computes_in_float64_and_rounds_at_the_end():
    p = make_problem((5, 4, 2), dtype="float32")
    q = make_problem((5, 4, 2), dtype="float64")
    q.coefs = [W.astype(np.float64) for W in p.coefs]
    q.intercepts = [b.astype(np.float64) for b in p.intercepts]
    out = p.net(Net).predict(p.X)
    assert out.dtype == np.float32
    exact = q.net(Net).predict(p.X.astype(np.float64))
    assert np.array_equal(out, exact.astype(np.float32))
