# SPDX-License-Identifier: BSD-3-Clause
"""More than 2³¹ numbers in X, or in a layer: the bits are those of the part that counts.

All else are zeros, which take up address space but hardly memory, and have no weight.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from fastbp import BackpropRegressor

N_ROWS, N_COLUMNS, N_LAST, BATCH = 2_100_000, 1025, 2_000, 200
pytestmark = [
    pytest.mark.exhaustive,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


def dense() -> tuple[Any, Any]:
    X = np.zeros((N_ROWS, N_COLUMNS), np.float32)
    X[-N_LAST:] = np.random.default_rng(0).normal(size=(N_LAST, N_COLUMNS))
    return X, X[-N_LAST:].copy()


def csr() -> tuple[Any, Any]:
    """As many values as places, those of most rows all in the first column, numbered in 64 bits."""
    small = sp.random(N_LAST, N_COLUMNS, 0.5, "csr", np.float32, random_state=0)
    n_zeros = (N_ROWS - N_LAST) * N_COLUMNS
    data = np.zeros(n_zeros + small.nnz, np.float32)
    indices = np.zeros(len(data), np.int64)
    data[n_zeros:], indices[n_zeros:] = small.data, small.indices
    begins = np.arange(N_ROWS - N_LAST, dtype=np.int64) * N_COLUMNS
    indptr = np.concatenate([begins, small.indptr.astype(np.int64) + n_zeros])
    X = sp.csr_matrix((N_ROWS, N_COLUMNS), dtype=np.float32)
    X.data, X.indices, X.indptr = data, indices, indptr
    return X, small


@pytest.mark.parametrize("make", [dense, csr])
def test_more_numbers_than_32_bits_count(make: Any) -> None:
    X, last = make()
    assert N_ROWS * N_COLUMNS - N_LAST * N_COLUMNS > 2**31
    y = np.random.default_rng(1).normal(size=N_ROWS)
    weight = np.zeros(N_ROWS)
    weight[-N_LAST:] = np.random.default_rng(2).uniform(0.5, 2, N_LAST)
    params = {"batch_size": BATCH, "max_iter": 1, "shuffle": False, "random_state": 0}
    model = BackpropRegressor(hidden_layer_sizes=(8,), **params).fit(X, y, weight)
    alone = BackpropRegressor(hidden_layer_sizes=(8,), **params).fit(
        last, y[-N_LAST:], weight[-N_LAST:]
    )
    for coef, expected in zip(model.coefs_, alone.coefs_, strict=True):
        np.testing.assert_array_equal(coef, expected)
    predicted = model.predict(X)
    np.testing.assert_array_equal(predicted[-N_LAST:], alone.predict(last))
    assert len(np.unique(predicted[:-N_LAST])) == 1


@pytest.mark.parametrize("width", [2**15, 2**16])
def test_more_weights_than_32_bits_count(width: int) -> None:
    """The last row lies beyond 2³¹ and 2³² weights; where all others are zero, it alone counts."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(3, 2**16 + 1)).astype(np.float32), np.arange(3)
    layers = [rng.normal(size=(1, width)), rng.normal(size=(width, 1))]
    intercepts = [rng.normal(size=width).astype(np.float32), np.zeros(1, np.float32)]
    last, out = (layer.astype(np.float32) for layer in layers)
    first = np.zeros((X.shape[1], width), np.float32)
    first[-1:] = last
    predicted = []
    for x, coef in ((X, first), (X[:, -1:].copy(), last)):
        model = BackpropRegressor(hidden_layer_sizes=(1,), max_iter=1, random_state=0).fit(x, y)
        model.coefs_, model.intercepts_ = [coef, out], intercepts
        predicted.append(model.predict(x))
    np.testing.assert_array_equal(*predicted)
