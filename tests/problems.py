# SPDX-License-Identifier: BSD-3-Clause
"""Random networks with data, for tests that run the same on the core and on its NumPy twin."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from fastbp import _core

ACTIVATIONS = _core.names()["activations"]
LOSSES = _core.names()["losses"]
#: Each activation with two losses, each loss with several activations: neither knows of the other.
PAIRS = tuple(
    (activation, LOSSES[(i + turn) % len(LOSSES)])
    for i, activation in enumerate(ACTIVATIONS)
    for turn in (0, 3)
)
SOLVERS = ("sgd", "nesterov", "adam", "plain_sgd")
LAYOUTS = ("dense", "strided", "every_other_row", "csr32", "csr64")


@dataclass
class Problem:
    """What a net is made of and trained on. Arrays are in the compute type, X in ``x_dtype``."""

    units: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    dtype: str
    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    coefs: list[np.ndarray]
    intercepts: list[np.ndarray]

    def net(self, net_class: type, **options: Any) -> Any:
        """Make a net of this shape and put the weights in; its threads all work, fast or not."""
        options.setdefault("fixed_threads", True)
        options.setdefault("loss_parameters", self.loss_parameters())
        net = net_class(self.units, self.activations, self.loss, dtype=self.dtype, **options)
        net.set_weights(self.coefs, self.intercepts)
        return net

    def loss_parameters(self) -> np.ndarray | None:
        """Draw what the loss reads per output, if it reads such: numbers that float32 holds."""
        outputs = np.arange(self.units[-1])
        kinds = {"level": (1 + outputs % 7) / 8, "positive": (1 + outputs % 4) / 4}
        return kinds.get(_core.loss_parameter(self.loss) or "")

    def parameters(self) -> np.ndarray:
        """All weights, then all biases, as one vector."""
        return np.concatenate([a.ravel() for a in (*self.coefs, *self.intercepts)])

    def with_x(self, X: Any) -> Problem:
        return replace(self, X=X)


def make_problem(
    units: tuple[int, ...],
    activation: str = "tanh",
    loss: str = "squared_error",
    *,
    n: int = 50,
    dtype: str = "float64",
    x_dtype: str | None = None,
    weighted: bool = False,
    layout: str = "dense",
    seed: int = 0,
) -> Problem:
    """Draw a problem; units[-1] outputs, targets of the kind that the loss takes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, units[0]))
    if layout.startswith("csr"):
        X[rng.random(X.shape) < 0.7] = 0
    X = as_layout(X.astype(x_dtype or dtype), layout, rng)

    n_out = units[-1]
    if loss == "log_loss":
        y = rng.integers(n_out, size=n).astype(np.int32)
    elif loss == "binary_log_loss":
        y = rng.integers(2, size=(n, n_out)).astype(dtype)
    elif loss == "poisson":
        y = rng.poisson(1.5, size=(n, n_out)).astype(dtype)
    elif _core.loss_link(loss) == "exp":
        y = rng.gamma(2.0, size=(n, n_out)).astype(dtype)
    else:
        y = rng.normal(size=(n, n_out)).astype(dtype)

    weight = rng.uniform(0, 2, size=n) if weighted else None
    if weight is not None:
        weight[rng.random(n) < 0.1] = 0
    shapes = list(pairwise(units))
    return Problem(
        units=units,
        activations=(activation,) * (len(units) - 2),
        loss=loss,
        dtype=dtype,
        X=X,
        y=y,
        sample_weight=None if weight is None else weight.astype(dtype),
        coefs=[rng.normal(0, shape[0] ** -0.5, shape).astype(dtype) for shape in shapes],
        intercepts=[rng.normal(0, 0.5, shape[1]).astype(dtype) for shape in shapes],
    )


def as_layout(X: np.ndarray, layout: str, rng: np.random.Generator) -> Any:
    """Store X in one of the layouts that the core reads in place."""
    n, n_in = X.shape
    if layout == "dense":
        return X
    if layout == "strided":
        wide = np.full((n, n_in + 3), np.nan, dtype=X.dtype)
        wide[:, 1 : n_in + 1] = X
        return wide[:, 1 : n_in + 1]
    if layout == "every_other_row":
        tall = np.full((2 * n, n_in), np.nan, dtype=X.dtype)
        tall[::2] = X
        return tall[::2]
    return messy_csr(X, np.int32 if layout == "csr32" else np.int64, rng)


def messy_csr(X: np.ndarray, index_dtype: type, rng: np.random.Generator) -> Any:
    """CSR of X with unsorted columns, and every value split in two entries that add up to it."""
    data, indices, indptr = [], [], [0]
    for row in X:
        columns = rng.permutation(np.flatnonzero(row))
        # Halves add up exactly, so the matrix is the dense one's equal.
        data.extend([row[columns] / 2, row[columns] / 2])
        indices.extend([columns, columns[::-1]])
        data[-1] = data[-1][::-1]
        indptr.append(indptr[-1] + 2 * len(columns))
    arrays = (
        np.concatenate(data).astype(X.dtype),
        np.concatenate(indices).astype(index_dtype),
        np.asarray(indptr, dtype=index_dtype),
    )
    csr = sp.csr_array(X.shape, dtype=X.dtype)
    csr.data, csr.indices, csr.indptr = arrays  # the constructor might shrink the index type
    return csr


def flat(arrays: tuple[list[np.ndarray], list[np.ndarray]]) -> np.ndarray:
    """Weights and biases as one vector."""
    return np.concatenate([a.ravel() for a in (*arrays[0], *arrays[1])])
