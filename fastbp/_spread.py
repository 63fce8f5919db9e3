# SPDX-License-Identifier: BSD-3-Clause
"""Columns whose values the compute type cannot tell apart, such as timestamps and ids in float32.

A number is rounded by at most half a step of the type, which is relative to its size. So only a
column whose values differ little, compared with their size, loses its spread. Some rows are enough
to clear every other, in microseconds; what they leave is read in full: columns that are constant,
mostly.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Array = NDArray[Any]

SAMPLE_ROWS = 16
#: What is read of the columns left: little at first, since few rows clear most columns of flags.
FIRST_ROWS, MOST_ROWS = 1 << 8, 1 << 16
MOST_NAMED = 5

#: A spread counts as lost where rounding moves a value by more than this share of it: then no more
#: than some 128 different values are left. With 64, a network still explains 98.7 % of a curve with
#: four periods, with 16 it explains 83 %, with 4 20 %; of the column as it was given, 99.99 %.
LOST = 1 / 256


def warn_of_lost_spread(X: Any, y: Any, names: Sequence[str] | None, dtype: str) -> None:
    """Warn once of columns of X and y, as they were given, that rounding to a type would spoil."""
    lost = [_name(column, names) for column in lost_columns(X, dtype)]
    if isinstance(y, np.ndarray) and y.dtype.kind in "iuf":
        columns = lost_columns(y.reshape(len(y), -1), dtype)
        lost += ["y"] if y.ndim == 1 and columns else [f"y[:, {column}]" for column in columns]
    if not lost:
        return
    shown = ", ".join(lost[:MOST_NAMED])
    if len(lost) > MOST_NAMED:
        shown += f" and {len(lost) - MOST_NAMED} more"
    higher = ", or train with dtype='float64', which holds them" if dtype == "float32" else ""
    warnings.warn(
        f"{dtype} cannot tell the values of {shown} apart: they differ too little, compared with "
        f"their size. Scale them first, with StandardScaler for one{higher}.",
        stacklevel=2,
    )


def _name(column: int, names: Sequence[str] | None) -> str:
    return f"X[:, {column}]" if names is None else f"X[{names[column]!r}]"


def lost_columns(X: Any, dtype: str) -> list[int]:
    """Return the columns whose spread is lost when a matrix is rounded to a type."""
    n_rows = X.shape[0]
    if n_rows < 2 or _holds(dtype, X.dtype):
        return []
    with np.errstate(all="ignore"):  # infinities, where scikit-learn was told not to look for them
        return _lost_columns(X, dtype) if _any_may_be_narrow(X, dtype) else []


def _any_may_be_narrow(X: Any, dtype: str) -> bool:
    """Tell whether the first and last rows leave any doubt: in most tables they do not."""
    if sp.issparse(X):
        return True
    first, last = X[0].astype(np.float64), X[-1].astype(np.float64)
    return bool((np.abs(last - first) < _relative_spread(dtype) * np.abs(first)).any())


def _lost_columns(X: Any, dtype: str) -> list[int]:
    n_rows = X.shape[0]
    take = _reader(X)
    sample = np.linspace(0, n_rows - 1, min(n_rows, SAMPLE_ROWS)).astype(np.intp)
    columns = _stored_in_all(X, sample)
    values = take(sample, columns)
    low, high = values.min(axis=0, initial=np.inf), values.max(axis=0, initial=-np.inf)
    kept = _is_narrow(low, high, dtype)
    columns, low, high = np.arange(X.shape[1])[columns][kept], low[kept], high[kept]
    worst = np.zeros(len(columns), low.dtype)
    start, size = 0, FIRST_ROWS
    while start < n_rows and len(columns) > 0:
        values = take(slice(start, start + size), columns)
        start, size = start + size, min(4 * size, MOST_ROWS)
        low = np.minimum(low, values.min(axis=0))
        high = np.maximum(high, values.max(axis=0))
        worst = np.maximum(worst, np.abs(values - values.astype(dtype)).max(axis=0))
        kept = _is_narrow(low, high, dtype)
        columns, low, high, worst = columns[kept], low[kept], high[kept], worst[kept]
    spread = high - low  # 0: constant, with nothing to lose
    return [int(column) for column in columns[(worst > LOST * spread) & (spread > 0)]]


def _holds(dtype: str, given: np.dtype[Any]) -> bool:
    """Tell whether a type holds all numbers of another, or that is no type of numbers."""
    if given.kind in "iu":
        return 8 * given.itemsize <= np.finfo(dtype).nmant
    return given.kind != "f" or bool(np.can_cast(given, dtype))


def _is_narrow(low: Array, high: Array, dtype: str) -> Any:
    """Tell of which columns rounding may move a value by more than `LOST` of their spread."""
    size = np.maximum(np.abs(low), np.abs(high))
    return (high - low < _relative_spread(dtype) * size) & (size <= np.finfo(dtype).max)


def _relative_spread(dtype: str) -> float:
    """Return how much the values of a column must differ at least, compared with their size."""
    return float(np.finfo(dtype).eps) / 2 / LOST


def _reader(X: Any) -> Callable[[Any, Any], Array]:
    """Return a function from rows and columns to their numbers, which differ where X's do."""
    # Not every integer of 64 bits is a float64.
    kind = X.dtype if X.dtype.kind == "f" else np.dtype(np.longdouble)

    def take(rows: Any, columns: Any) -> Array:
        part = X[rows][:, columns]
        return np.asarray(part.toarray() if sp.issparse(part) else part).astype(kind, copy=False)

    return take


def _stored_in_all(X: Any, rows: Array) -> Any:
    """Return the columns in which some rows of sparse X all have numbers; of dense X, all."""
    if not sp.issparse(X):
        return slice(None)
    stored, counts = np.unique(X[rows].tocsr().indices, return_counts=True)
    return stored[counts >= len(rows)]
