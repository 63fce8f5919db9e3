# SPDX-License-Identifier: BSD-3-Clause
"""Real data for the workloads: from a folder, or from OpenML by name.

The folder is the one that the environment variable FASTBP_DATA names. What it does not hold is
downloaded once and cached by scikit-learn. Either way the result is X, float64, y, and a name of
the source; None means that there is no such data here, and the caller generates some.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

Array = np.ndarray[Any, Any]


class Data(NamedTuple):
    """Features, targets, and where they come from."""

    X: Array
    y: Array
    source: str


def find(name: str, *, download: bool) -> Data | None:
    """Return the real data of a workload, or None."""
    folder = os.environ.get("FASTBP_DATA")
    found = _FROM_FOLDER[name](Path(folder)) if folder and name in _FROM_FOLDER else None
    if found is None and download and name in _FROM_OPENML:
        found = _FROM_OPENML[name]()
    return found


def standardize(X: Array) -> Array:
    """Give each column mean 0 and standard deviation 1."""
    spread = X.std(axis=0)
    return (X - X.mean(axis=0)) / np.where(spread == 0, 1, spread)


def _housing(numbers: Any, y: Any, source: str) -> Data:
    """Impute, shuffle (the file goes from north to south) and scale, the target too."""
    table = np.column_stack([numbers.fillna(numbers.median()).to_numpy(np.float64), y])
    table = standardize(table[np.random.default_rng(0).permutation(len(table))])
    return Data(table[:, :-1], table[:, -1], source)


def _adult(frame: Any, y: Array, source: str) -> Data:
    """Scale the numbers, one-hot encode the rest; a missing cell is a category of its own."""
    import pandas

    numbers = frame.select_dtypes("number")
    categories = frame.drop(columns=numbers.columns).astype(object).fillna("missing")
    one_hot = pandas.get_dummies(categories).to_numpy(np.float64)
    return Data(np.hstack([standardize(numbers.to_numpy(np.float64)), one_hot]), y, source)


def _mnist(pictures: Array, labels: Array, source: str) -> Data:
    return Data(pictures[:30_000].reshape(-1, 784) / 255.0, labels[:30_000].astype(int), source)


def _read_csv(path: Path) -> Any:
    """Read a table whose missing cells are empty; None without the file, or without pandas."""
    try:
        import pandas
    except ImportError:
        return None
    if not path.exists():
        return None
    return pandas.read_csv(path, keep_default_na=False, na_values=[""])


def _housing_from_folder(folder: Path) -> Data | None:
    frame = _read_csv(folder / "california_housing.csv.gz")
    if frame is None:
        return None
    y = frame.pop("median_house_value").to_numpy(np.float64)
    return _housing(frame.drop(columns="ocean_proximity"), y, "california_housing")


def _adult_from_folder(folder: Path) -> Data | None:
    frame = _read_csv(folder / "adult.csv.gz")
    if frame is None:
        return None
    y = (frame.pop("income") == ">50K").to_numpy(np.int64)
    return _adult(frame, y, "adult")


@lru_cache(maxsize=1)  # two workloads' data
def _mnist_from_folder(folder: Path) -> Data | None:
    if not (folder / "mnist.npz").exists():
        return None
    with np.load(folder / "mnist.npz", allow_pickle=False) as file:
        return _mnist(file["X_train"], file["y_train"], "mnist")


def _covtype_from_folder(folder: Path) -> Data | None:
    if not (folder / "covertype93k.npz").exists():
        return None
    with np.load(folder / "covertype93k.npz", allow_pickle=False) as file:
        X, y = file["X"].astype(np.float64), file["y"].astype(np.int64)
    return Data(standardize(X), y, "covertype93k")


def _fetch(name: str, version: int) -> Any:
    """Return a set of OpenML's, a data frame inside; None offline, or without pandas."""
    from sklearn.datasets import fetch_openml

    try:
        return fetch_openml(name, version=version, as_frame=True, n_retries=1, delay=0.1)
    except Exception as error:  # no network, no such host, a proxy's page, a broken cache
        print(f"         {name} cannot be downloaded: {type(error).__name__}")
        return None


def _housing_from_openml() -> Data | None:
    found = _fetch("houses", 1)
    return found and _housing(found.data, found.target.to_numpy(np.float64), "openml houses")


def _adult_from_openml() -> Data | None:
    found = _fetch("adult", 2)
    return found and _adult(found.data, (found.target == ">50K").to_numpy(np.int64), "openml adult")


@lru_cache(maxsize=1)
def _mnist_from_openml() -> Data | None:
    found = _fetch("mnist_784", 1)
    return found and _mnist(found.data.to_numpy(), found.target.to_numpy(), "openml mnist_784")


def _covtype_from_openml() -> Data | None:
    found = _fetch("covertype", 4)
    if found is None:
        return None
    X = standardize(found.data.astype(np.float64).to_numpy())
    y = np.unique(found.target, return_inverse=True)[1]
    rows = np.random.default_rng(0).permutation(len(X))[:100_000]
    return Data(X[rows], y[rows], "openml covertype")


_FROM_FOLDER: dict[str, Callable[[Path], Data | None]] = {
    "housing": _housing_from_folder,
    "adult": _adult_from_folder,
    "fmnist": _mnist_from_folder,
    "fmnistw": _mnist_from_folder,
    "covtype": _covtype_from_folder,
}
_FROM_OPENML: dict[str, Callable[[], Data | None]] = {
    "housing": _housing_from_openml,
    "adult": _adult_from_openml,
    "fmnist": _mnist_from_openml,
    "fmnistw": _mnist_from_openml,
    "covtype": _covtype_from_openml,
}
