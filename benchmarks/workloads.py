# SPDX-License-Identifier: BSD-3-Clause
"""The eight workloads, each defined once: shape, network and batch.

Real data are read or downloaded (data.py). Without them, data of the same shape are generated: what
a step costs depends on its sizes, and hardly on the values.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from data import Data, find
from sklearn.datasets import load_digits

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Spec:
    """What a workload is, before its data are loaded."""

    name: str
    n_rows: int
    n_features: int
    hidden: tuple[int, ...]
    n_outputs: int
    batch_size: int
    n_epochs: int  # of one timed fit: scikit-learn takes about a second
    task: str
    stands_for: str


SPECS = {
    spec.name: spec
    for spec in [
        Spec("digits", 1797, 64, (100,), 10, 200, 100, "classification", "small data"),
        Spec("housing", 20_000, 8, (100,), 1, 200, 20, "regression", "few features"),
        Spec("adult", 40_000, 108, (256, 256), 2, 256, 2, "classification", "one-hot table"),
        Spec("fmnist", 30_000, 784, (100,), 10, 200, 2, "classification", "many features"),
        Spec("fmnistw", 20_000, 784, (512, 512), 10, 256, 1, "classification", "medium network"),
        Spec("covtype", 100_000, 54, (256,) * 3, 7, 1024, 1, "classification", "many rows"),
        Spec("wide", 8192, 1024, (2048, 2048), 10, 1024, 2, "classification", "products dominate"),
        Spec("photo", 100_000, 64, (128,) * 3, 3, 1024, 2, "regression", "several outputs"),
    ]
}


@dataclass(frozen=True)
class Workload:
    """A workload with its data.

    Attributes
    ----------
    spec : Spec
    X : ndarray of shape (n_rows, n_features), float64, C order
    y : ndarray of shape (n_rows,) or (n_rows, n_outputs)
        int64 labels, or float64 values.
    source : str
        The file's name, or "generated".
    n_epochs : int
    """

    spec: Spec
    X: Array
    y: Array
    source: str
    n_epochs: int

    @property
    def n_samples(self) -> int:
        """Rows that one timed fit trains on, each counted once an epoch."""
        return len(self.X) * self.n_epochs

    @property
    def operations_per_sample(self) -> int:
        """Additions and multiplications of a training step's products, for one row."""
        units = [self.spec.n_features, *self.spec.hidden, self.spec.n_outputs]
        weights = [a * b for a, b in pairwise(units)]
        return 6 * sum(weights) - 2 * weights[0]  # no delta for the inputs


def load(name: str, *, quick: bool = False, download: bool = True) -> Workload:
    """Load a workload; `quick` takes an eighth of its rows and a quarter of its epochs."""
    spec = SPECS[name]
    if name == "digits":
        X, y = load_digits(return_X_y=True)
        X, y, source = X / 16.0, y, "scikit-learn"
    elif name == "photo":
        X, y, source = _photo(spec)
    else:
        X, y, source = _find_or_generate(spec, download)
    n_rows = min(spec.n_rows, len(X)) // (8 if quick else 1)
    n_epochs = max(1, spec.n_epochs // (4 if quick else 1))
    X = np.ascontiguousarray(X[:n_rows], dtype=np.float64)
    return Workload(spec, X, np.ascontiguousarray(y[:n_rows]), source, n_epochs)


def _find_or_generate(spec: Spec, download: bool) -> Data:
    """Return real data of the workload's shape, or generated data."""
    found = find(spec.name, download=download)
    if found is not None and found.X.shape[1] == spec.n_features:
        return found
    X, y = _generate(spec)
    if found is None:
        return Data(X, y, "generated")
    return Data(X, y, f"generated, since {found.source} has {found.X.shape[1]} columns")


def _generate(spec: Spec) -> tuple[Array, Array]:
    """Return normal features and what a random linear map with noise makes of them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((spec.n_rows, spec.n_features))
    z = X @ rng.standard_normal((spec.n_features, spec.n_outputs)) / np.sqrt(spec.n_features)
    z += 0.1 * rng.standard_normal(z.shape)
    if spec.task == "classification":
        return X, z.argmax(axis=1)
    return X, np.squeeze(z)


def _photo(spec: Spec) -> tuple[Array, Array, str]:
    """Return random Fourier features of pixel coordinates, and the pixels' colours in [0, 1]."""
    rng = np.random.default_rng(0)
    try:
        from sklearn.datasets import load_sample_image

        picture = load_sample_image("china.jpg") / 255.0
        source = "scikit-learn"
    except ImportError:  # pillow is not installed
        rows, columns = np.mgrid[0:427, 0:640] / 640.0
        waves = rng.uniform(-40, 40, (3, 2))
        picture = 0.5 + 0.5 * np.sin(np.stack([columns * u + rows * v for u, v in waves], axis=-1))
        source = "generated"
    height, width, _ = picture.shape
    pixels = rng.choice(height * width, spec.n_rows, replace=False)
    xy = np.stack([pixels % width, pixels // width], axis=1) / width
    angles = 2 * np.pi * xy @ rng.normal(0.0, 5.0, (2, spec.n_features // 2))
    return np.hstack([np.sin(angles), np.cos(angles)]), picture.reshape(-1, 3)[pixels], source
