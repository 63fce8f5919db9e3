# SPDX-License-Identifier: BSD-3-Clause
"""JAX: a whole epoch in one jitted scan over batches, weights and moments donated.

The data lie prepared on the device, the function is compiled before the clock starts, the order of
the rows is given. Gather, forward, loss, backward and Adam are all inside the jit.
"""

from __future__ import annotations

import time
from functools import partial
from math import log
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from problem import Problem
from start import ALPHA, BETA_1, BETA_2, EPSILON, LEARNING_RATE, draw

Tree = Any

_trainer: Trainer | None = None


def load(folder: str) -> None:
    """Take the data of a workload."""
    global _trainer
    jax.clear_caches()
    _trainer = Trainer(Problem.read(folder))


def fit(record: bool = False, compile_once: bool = False) -> dict[str, Any]:
    """Train a new model; with `record`, the losses carry the penalty, as scikit-learn's do."""
    assert _trainer is not None
    return _trainer.fit(record or compile_once)


class Trainer:
    """A network with its data, to be trained from the start any number of times."""

    def __init__(self, problem: Problem) -> None:
        self.batch_size = problem.batch_size
        layers, orders = draw(problem.units, len(problem.X), problem.n_epochs)
        self.start = [(w.astype(np.float32), b.astype(np.float32)) for w, b in layers]
        self.orders = [jnp.asarray(order, jnp.int32) for order in orders]
        self.X = jnp.asarray(problem.X, jnp.float32)
        if problem.task == "regression":
            self.y = jnp.asarray(problem.y.reshape(len(problem.y), -1), jnp.float32)
            self.loss, self.share = _squared_error, 1.0 / self.y.shape[1]
        elif problem.units[-1] == 1:
            self.y = jnp.asarray(problem.y.reshape(-1, 1), jnp.float32)
            self.loss, self.share = _binary_log_loss, 1.0
        else:
            self.y = jnp.asarray(problem.y, jnp.int32)
            self.loss, self.share = _log_loss, 1.0
        self.epochs = {
            record: jax.jit(
                partial(_epoch, self.loss, self.share, self.batch_size, record),
                donate_argnums=0,
            )
            for record in (False, True)
        }
        self.warm: set[bool] = set()

    def _begin(self) -> Tree:
        weights = [(jnp.array(w), jnp.array(b)) for w, b in self.start]
        moments = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
        return jax.block_until_ready((weights, *moments, jnp.float32(0)))

    def fit(self, record: bool) -> dict[str, Any]:
        epoch = self.epochs[record]
        if record not in self.warm:
            jax.block_until_ready(epoch(self._begin(), self.X, self.y, self.orders[0]))
            self.warm.add(record)
        state, losses = self._begin(), []
        start = time.perf_counter()
        for order in self.orders:
            state, loss = epoch(state, self.X, self.y, order)
            losses.append(loss)
        jax.block_until_ready(state)
        seconds = time.perf_counter() - start
        return {"losses": [float(loss) for loss in losses], "seconds": seconds}


def _epoch(
    loss: Any, share: float, batch_size: int, record: bool, state: Tree, X: Any, y: Any, order: Any
) -> tuple[Tree, Any]:
    """Train on all rows once; return the state and the mean loss."""
    n_rows = len(order)
    n_whole = n_rows // batch_size
    step = partial(_step, loss, share, record, X, y)
    whole = order[: n_whole * batch_size].reshape(n_whole, batch_size)
    state, losses = jax.lax.scan(step, state, whole)
    total = batch_size * losses.sum()
    if n_rows % batch_size:
        rest = order[n_whole * batch_size :]
        state, last = step(state, rest)
        total += len(rest) * last
    return state, total / n_rows


def _step(
    loss: Any, share: float, record: bool, X: Any, y: Any, state: Tree, rows: Any
) -> tuple[Tree, Any]:
    """Train on one batch, with Adam as scikit-learn writes it."""
    weights, first, second, n_steps = state
    value, gradient = jax.value_and_grad(loss)(weights, X[rows], y[rows])
    value *= share
    scale = ALPHA / len(rows)
    if record:
        value += 0.5 * scale * sum((w**2).sum() for w, _ in weights)
    gradient = [(dw + scale * w, db) for (dw, db), (w, _) in zip(gradient, weights, strict=True)]
    first = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, first, gradient)
    second = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, second, gradient)
    n_steps += 1
    # 1 − βᵗ without the cancellation.
    correction_1, correction_2 = (-jnp.expm1(n_steps * log(beta)) for beta in (BETA_1, BETA_2))
    rate = LEARNING_RATE * jnp.sqrt(correction_2) / correction_1
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON), weights, first, second
    )
    return (weights, first, second, n_steps), value


def _forward(weights: Tree, x: Any) -> Any:
    for w, b in weights[:-1]:
        x = jax.nn.relu(x @ w + b)
    w, b = weights[-1]
    return x @ w + b


def _squared_error(weights: Tree, x: Any, y: Any) -> Any:
    return 0.5 * ((_forward(weights, x) - y) ** 2).sum() / len(x)


def _binary_log_loss(weights: Tree, x: Any, y: Any) -> Any:
    z = _forward(weights, x)
    return (jnp.logaddexp(0, z) - y * z).mean()


def _log_loss(weights: Tree, x: Any, y: Any) -> Any:
    z = _forward(weights, x)
    at_label = jnp.take_along_axis(z, y[:, None], axis=1)[:, 0]
    return (jax.nn.logsumexp(z, axis=1) - at_label).mean()
