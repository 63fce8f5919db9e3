# SPDX-License-Identifier: BSD-3-Clause
"""Gradients of random nets: activations, losses, weights, penalties, dropout, smoothing, clipping.

One step of plain gradient descent, at a rate so large that the weights afterwards are the gradient
times it: so what only training has, dropout and clipping, is in it. In float64 the twin does the
same step. In float32 each number lies within the bound of its products' rounding,
(k + c) · 2⁻²⁴ · |A|·|B| component by component, carried from layer to layer together with the
operands' own errors.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pytest
from problems import ACTIVATIONS, LOSSES, Problem, make_problem

from fastbp import _core, _reference_net
from fastbp import _reference as twin

N_NETS = 500
N_QUICK = 60
RATE = 2.0**30
U = 2.0**-24
#: Roundings beside a product's own: bias, activation (up to 5 units), mask, scale.
C = 16
KINKED = {"relu": 1.0, "leaky_relu": 1.0, "selu": 1.0, "absolute_error": 2.0, "quantile": 1.0}


class Case(NamedTuple):
    """A net with its data, and the options of the step."""

    problem: Problem
    options: dict[str, Any]
    dropout: list[float]
    n_threads: int


def draw(seed: int, dtype: str) -> Case:
    """Draw a net and a step. The numbers are such as float32 holds, whatever the type."""
    rng = np.random.default_rng(seed)
    loss = LOSSES[seed % len(LOSSES)]
    depth = int(rng.integers(0, 4))
    sizes = rng.choice([1, 2, 3, 5, 8, 13, 24, 33, 50], size=depth + 1).tolist()
    n_out = int(rng.integers(2 if loss == "log_loss" else 1, 5))
    p = make_problem(
        (*sizes, n_out), "tanh", loss, n=int(rng.integers(2, 70)), dtype="float32", seed=seed
    )
    p.activations = tuple(rng.choice(ACTIVATIONS, size=depth).tolist())
    if seed % 3:
        weight = rng.uniform(0.1, 2, size=len(p.y))
        weight[1:][rng.random(len(p.y) - 1) < 0.1] = 0
        p.sample_weight = weight.astype("f4").astype(dtype)
    p.dtype = dtype
    p.X = p.X.astype(dtype)
    if loss != "log_loss":
        p.y = p.y.astype(dtype)
    p.coefs = [W.astype(dtype) for W in p.coefs]
    p.intercepts = [b.astype(dtype) for b in p.intercepts]
    options: dict[str, Any] = {"alpha": [0.0, 0.5, 1e-3][seed % 3], "dropout_seed": seed}
    if seed % 2:
        options["max_grad_norm"] = float(rng.choice([1e-3, 0.1, 1.0]))
    if "log_loss" in loss and seed % 4 < 2:
        options["label_smoothing"] = 0.125
    dropout = (rng.choice([0.0, 0.25, 0.5], size=depth) * (seed % 5 > 1)).tolist()
    return Case(p, options, dropout, int(rng.integers(1, 4)))


def learned(case: Case, net_class: type) -> list[np.ndarray]:
    """Return the gradient, W of each layer and then b, that the step had."""
    p = case.problem
    net = p.net(
        net_class,
        solver="plain_sgd",
        max_rows=len(p.y),
        n_threads=case.n_threads,
        dropout=case.dropout or None,
        clips="max_grad_norm" in case.options,
    )
    options = case.options | {"sample_weight": p.sample_weight, "learning_rate": RATE}
    net.train(p.X, p.y, None, len(p.y), **options)
    before = [*p.coefs, *p.intercepts]
    after = [*net.get_weights()[0], *net.get_weights()[1]]
    return [(b.astype("f8") - a) / RATE for b, a in zip(before, after, strict=True)]


class Bounded(NamedTuple):
    """Numbers, and how far float32's may lie from them."""

    x: np.ndarray
    e: np.ndarray

    def product(self, other: Bounded) -> Bounded:
        a, b = np.abs(self.x), np.abs(other.x)
        rounding = (self.x.shape[1] + C) * U * (a @ b)
        return Bounded(self.x @ other.x, rounding + self.e @ b + a @ other.e + self.e @ other.e)

    def times(self, other: Bounded) -> Bounded:
        a, b = np.abs(self.x), np.abs(other.x)
        error = self.e * b + a * other.e + self.e * other.e + C * U * a * b
        return Bounded(self.x * other.x, error)

    @property
    def T(self) -> Bounded:
        return Bounded(self.x.T, self.e.T)


def exact(x: Any) -> Bounded:
    return Bounded(np.asarray(x, dtype="f8"), np.zeros(np.shape(x)))


def activate(name: str, z: Bounded) -> tuple[Bounded, Bounded]:
    """Return an activation and its derivative; no second derivative is beyond 2, no first 1.8."""
    activation, derivative = twin.ACTIVATIONS[name]
    a = activation(z.x)
    slope = derivative(z.x, a)
    slope_error = 2 * z.e + C * U * (1 + np.abs(slope))
    slope_error += np.where(np.abs(z.x) <= z.e, KINKED.get(name, 0), 0)
    return Bounded(a, 1.8 * z.e + C * U * np.abs(a)), Bounded(slope, slope_error)


def loss_slope(case: Case, z: Bounded) -> Bounded:
    """Return dL/dz, not yet weighted."""
    p, name = case.problem, case.problem.loss
    n_out = p.units[-1]
    y = np.eye(n_out)[p.y] if name == "log_loss" else p.y.astype("f8")
    if "label_smoothing" in case.options:
        y = twin.smooth(y, case.options["label_smoothing"], n_out if name == "log_loss" else 2)
    o = twin.LOSSES[name].link(z.x)
    slope = twin.LOSSES[name].slope(y, o, p.loss_parameters())
    if name == "poisson":
        moved = o * np.expm1(z.e)
    elif name == "gamma":
        moved = y / o * np.expm1(z.e)
    elif name == "log_loss":
        moved = 2 * o * z.e.max(axis=1, keepdims=True)
    elif name in KINKED:
        near = np.abs(z.x - y) <= z.e + U * (np.abs(y) + np.abs(z.x))
        return Bounded(slope, np.where(near, KINKED[name], 0) + U * np.abs(slope))
    else:
        moved = z.e
    rounding = C * U * (np.abs(o) + np.abs(y) + np.abs(slope))
    return Bounded(slope, 1.1 * moved + (n_out if name == "log_loss" else 1) * rounding)


def bounded_gradient(case: Case) -> list[Bounded]:
    """Return the gradient that `learned` should find in float32, with its bounds."""
    p = case.problem
    weight = np.ones(len(p.y)) if p.sample_weight is None else p.sample_weight.astype("f8")
    a, inputs, slopes = exact(p.X), [], [exact(1.0)]
    for layer, (W, b) in enumerate(zip(p.coefs, p.intercepts, strict=True)):
        inputs.append(a)
        z = a.product(exact(W))
        z = Bounded(z.x + b, z.e + C * U * (np.abs(b) + np.abs(a.x) @ np.abs(W)))
        if layer == len(p.activations):
            break
        a, slope = activate(p.activations[layer], z)
        if case.dropout:
            mask = _reference_net.mask(
                case.options["dropout_seed"], 0, layer, case.dropout[layer], *z.x.shape
            )
            a, slope = a.times(exact(mask)), slope.times(exact(mask))
        slopes.append(slope)
    delta = loss_slope(case, z).times(exact(weight[:, None]))
    coefs, intercepts = [], []
    for layer in range(len(p.coefs) - 1, -1, -1):
        W = exact(p.coefs[layer])
        g = inputs[layer].T.product(delta)
        penalty = case.options["alpha"] * W.x
        coefs.append(Bounded(g.x + penalty, g.e + C * U * np.abs(penalty)))
        intercepts.append(exact(np.ones((1, len(p.y)))).product(delta))
        if layer:
            delta = delta.product(W.T).times(slopes[layer])
    scale = 1 / weight.sum()
    gradient = [
        Bounded(g.x * scale, (g.e + C * U * np.abs(g.x)) * scale)
        for g in (*coefs[::-1], *(Bounded(b.x[0], b.e[0]) for b in intercepts[::-1]))
    ]
    return clip(gradient, case.options.get("max_grad_norm", 0.0))


def clip(gradient: list[Bounded], most: float) -> list[Bounded]:
    norm = np.sqrt(sum((g.x**2).sum() for g in gradient))
    norm_error = np.sqrt(sum((g.e**2).sum() for g in gradient))
    if most == 0 or norm + norm_error <= most:
        return gradient
    factor = min(1, most / norm)
    share = norm_error / norm + C * U
    return [
        Bounded(factor * g.x, factor * (g.e * (1 + share) + share * np.abs(g.x))) for g in gradient
    ]


SEEDS = [
    pytest.param(seed, marks=[] if seed < N_QUICK else pytest.mark.exhaustive)
    for seed in range(N_NETS)
]


@pytest.mark.parametrize("seed", SEEDS)
def test_float64_is_the_twins(seed: int) -> None:
    case = draw(seed, "float64")
    actual, expected = learned(case, _core.Net), learned(case, _reference_net.Net)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=0, atol=1e-13 * np.abs(e).max())


@pytest.mark.parametrize("seed", SEEDS)
def test_float32_is_within_the_bound(seed: int) -> None:
    case = draw(seed, "float32")
    actual, expected = learned(case, _core.Net), bounded_gradient(case)
    for a, e in zip(actual, expected, strict=True):
        step = 2 * U * np.abs(e.x) + 8 * U / RATE  # the step's own rounding
        assert np.isfinite(a).all()
        np.testing.assert_array_less(np.abs(a - e.x), e.e + step)


def test_the_bound_says_something() -> None:
    """Of most numbers a thousandth at most; a gradient wrong by a hundredth lies outside."""
    shares, seen = [], 0
    for seed in range(N_QUICK):
        expected = bounded_gradient(draw(seed, "float32"))
        largest = max(np.abs(g.x).max() for g in expected)
        shares += [float(np.median(g.e) / largest) for g in expected if largest]
        seen += any((1e-2 * np.abs(g.x) > g.e).any() for g in expected)
    assert np.median(shares) < 1e-3
    assert seen > 0.8 * N_QUICK
