# SPDX-License-Identifier: BSD-3-Clause
"""A row is predicted with the same bits alone, in chunks of any size, and among all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from digests import kinds_of_bits
from problems import ACTIVATIONS

from fastbp import BackpropClassifier, BackpropRegressor, _core

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

N_ROWS = 1000
CHUNKS = (1, 7, 31, 32, 33, 100, 333)
DTYPES = ("float32", "float64")
#: The precision at which most families of split products split, where there is a choice.
MEDIUM: dict[str, dict[str, Any]] = {"float32": {"matmul_precision": "medium"}, "float64": {}}
#: The fastest of each kind: fused families, and those with bits of their own.
ISAS = [isas[-1] for isas in kinds_of_bits().values()]


def differences(
    method: Callable[[Any], Any], X: Any, chunks: Sequence[int] = CHUNKS
) -> Iterator[tuple[int, int]]:
    """Yield the chunks whose prediction is not the same part of the whole: size, first row."""
    together = method(X)
    assert len(together) == X.shape[0] == N_ROWS
    for size in chunks:
        for start in range(0, N_ROWS, size):
            if (
                method(X[start : start + size]).tobytes()
                != together[start : start + size].tobytes()
            ):
                yield size, start


def samples(dtype: str, n_features: int = 60) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(N_ROWS, n_features)).astype(dtype)


def fitted(estimator: Any, X: Any, n_classes: int, **params: Any) -> Any:
    """Fit for an epoch, wide enough that families of split products split."""
    y = np.arange(64) % n_classes
    return estimator((70, 48), max_iter=1, random_state=0, **params).fit(X[:64], y)


def classifier(X: Any, n_classes: int = 3, **params: Any) -> Any:
    return fitted(BackpropClassifier, X, n_classes, **params)


def methods_of(model: Any) -> list[Callable[[Any], Any]]:
    names = ["predict", "predict_proba", "predict_log_proba", "transform"]
    return [getattr(model, name) for name in names if hasattr(model, name)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation(activation: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place = ACTIVATIONS.index(activation) + DTYPES.index(dtype)
    monkeypatch.setattr(_core, "_pinned_isa", ISAS[place % len(ISAS)])
    X = samples(dtype)
    model = classifier(X, activation=activation, dtype=dtype)
    assert list(differences(model.predict_proba, X)) == []
    assert list(differences(model.transform, X, CHUNKS[1:])) == []


@pytest.mark.parametrize("x_dtype", DTYPES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_each_method(isa: str, dtype: str, x_dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "_pinned_isa", isa)
    X = samples(x_dtype)
    options = {"dtype": dtype, **MEDIUM[dtype]}
    chunks = (1,) if dtype == x_dtype and isa == ISAS[0] else (7, 33)
    X[::50] *= 1000  # probabilities that round to 0 and 1
    models = [classifier(X, n, activation="tanh", **options) for n in (2, 4)]
    models.append(BackpropRegressor("poisson", (70, 48), max_iter=1, **options))
    models[-1].fit(X[1:40], np.arange(39.0))
    for model in models:
        for method in methods_of(model):
            assert list(differences(method, X, chunks)) == [], method


@pytest.mark.exhaustive
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_everything(activation: str, isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_core, "_pinned_isa", isa)
    X = samples(dtype)
    model = classifier(X, activation=activation, dtype=dtype, **MEDIUM[dtype])
    for method in methods_of(model):
        assert list(differences(method, X, (*CHUNKS, 2, 3, 8, 16, 999))) == [], method


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("isa", ISAS)
def test_sparse(isa: str, dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Alone, a row with many values would not count as sparse."""
    monkeypatch.setattr(_core, "_pinned_isa", isa)
    dense = samples(dtype, 200)
    few = np.random.default_rng(1).random(dense.shape) < 0.95
    few[::10] = False
    X = sp.csr_array(np.where(few, 0, dense))
    model = classifier(X, dtype=dtype, **MEDIUM[dtype])
    assert list(differences(model.predict_proba, X, (1, 33))) == []
    for method in methods_of(model):
        assert list(differences(method, X, (7, 333))) == [], method


def test_a_difference_is_seen() -> None:
    X = samples("float64")
    model = classifier(X)
    assert list(differences(lambda X: X @ model.coefs_[0], X)) != []  # NumPy's products, too
    odd = X[700].copy()

    def predict(X: Any) -> Any:
        p = model.predict_proba(X)
        if len(X) == 7:
            p[(X == odd).all(axis=1)] *= 1 + 2**-52
        return p

    assert list(differences(predict, X)) == [(7, 700)]
