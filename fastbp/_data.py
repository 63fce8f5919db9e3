# SPDX-License-Identifier: BSD-3-Clause
"""X, y and sample weights, from what a user has to what the core reads.

The core reads float32 and float64 rows where they lie, and CSR. Anything else is copied once, block
by block of rows, so that a Fortran-ordered X is read with few cache misses.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.validation import _check_sample_weight

from . import _core

Array = NDArray[Any]

BLOCK_BYTES = 1 << 18  # of the copy, so that a block of it stays in a core's L2 cache
COPIED_BYTES = 1 << 23  # of rows at a time, to predict from what the core cannot read in place

#: CSR rows are made dense from this share of stored values on, and below this number of columns:
#: there that takes less time (benchmarks/NOTES.md). The bits are the same but for split products.
DENSE_FROM_SHARE = 0.15
DENSE_BELOW_COLUMNS = 128

#: Begins every message about weights that ran away; scikit-learn's words.
NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)


class Samples(NamedTuple):
    """What the core trains on."""

    X: Any  # [n × n_features], rows as the core reads them, or CSR
    y: Array  # [n] int32 class codes, or [n × n_outputs] values in the compute type
    sample_weight: Array | None  # [n] in the compute type

    @property
    def n_rows(self) -> int:
        return int(self.X.shape[0])

    def take(self, rows: NDArray[np.int64]) -> SomeSamples:
        """Return some of them."""
        weight = None if self.sample_weight is None else self.sample_weight[rows]
        return SomeSamples(self, rows, self.y[rows], weight)


class SomeSamples(NamedTuple):
    """Some of the samples; of X, which may be large, there is no copy."""

    of: Samples  # all
    rows: NDArray[np.int64] | None  # which of them; None: all
    y: Array  # of these rows
    sample_weight: Array | None  # of these rows


class SparseSizes(NamedTuple):
    """What a network of the core must know of sparse X, to pass over its zeros.

    Zeros mean that it takes rows as dense ones, since X is dense, or hardly sparse.
    """

    row: int  # values stored in the fullest row
    batch: int  # and in the fullest batch there can be, whatever the order of the rows


def refuse_masked_arrays(**arrays: Any) -> None:
    """Raise for masked arrays, whose mask would be ignored, for missing dates, and lazy frames.

    A date that is missing, NaT, would count as the lowest number of 64 bits.
    """
    for name, array in arrays.items():
        if type(array).__name__ == "LazyFrame":  # whose types polars would warn to ask for
            raise ValueError(f"{name} is a LazyFrame, not computed yet. Give its collect().")
        types: Any = getattr(array, "dtypes", None)  # of a data frame's columns
        kinds = types if hasattr(types, "__iter__") else [getattr(array, "dtype", None)]
        if any(map(_is_of_dates, kinds)) and _lacks_dates(array):
            raise ValueError(f"Input {name} contains NaT.")
        if np.ma.isMaskedArray(array):
            raise ValueError(
                f"{name} is a masked array, whose mask would be ignored. Fill or drop the masked "
                "values first."
            )


def _is_of_dates(kind: Any) -> bool:
    is_numpys = getattr(kind, "kind", None) in ("m", "M")
    return is_numpys or str(kind).startswith(("Date", "Duration"))  # polars


def _lacks_dates(array: Any) -> bool:
    values = np.asarray(array)
    if values.dtype.kind in "mM":
        return bool(np.isnat(values).any())
    return any(value != value for value in values.flat)


def dtype_to_validate(X: Any) -> list[type] | None:
    """Return what scikit-learn's validation should convert X to; None leaves it as it is.

    Arrays of numbers stay, so that they are copied at most once, by `core_rows`.
    """
    if isinstance(X, np.ndarray) and X.dtype.kind in "buif":
        return None
    return [np.float64, np.float32]


def is_single(X: Any) -> bool:
    """Tell whether X is of float32, in any byte order."""
    return bool(X.dtype.kind == "f" and X.dtype.itemsize == 4)


def are_within(X: Any, dtype: str, n_threads: int) -> bool:
    """Tell whether X is just an array of floats, such as the type holds all, reading it once.

    By all threads, which an interrupt ends soon; other arrays take general checks, which NumPy does
    in one call each.
    """
    if _core.are_within(X, dtype, n_threads):
        return True
    by_columns = type(X) is np.ndarray and X.flags.f_contiguous
    return by_columns and _core.are_within(X.T, dtype, n_threads)


def core_rows(X: Any, dtype: str, preface: str = "", within: bool = False) -> Any:
    """Return validated X as the core reads it; the same object if it reads that.

    ``preface`` begins the message about a value that the type cannot hold. ``within`` says that
    there is none.
    """
    if sp.issparse(X):
        X = _core_csr(X)
    if dtype == "float32" and not within:
        refuse_beyond_float32(X, "X", preface)
    if sp.issparse(X) or _has_core_rows(X):
        return X
    return _copy_rows(X, dtype)


def core_blocks(X: Any, dtype: str, within: bool = False) -> Iterator[Any]:
    """Yield validated X as the core reads it: whole if it reads that, otherwise rows converted.

    So a prediction for a Fortran-ordered X needs no copy of all of it. ``within`` is as in
    `core_rows`.
    """
    if sp.issparse(X) or _has_core_rows(X):
        yield core_rows(X, dtype, within=within)
        return
    if dtype == "float32" and not within:
        refuse_beyond_float32(X, "X")
    n_block = max(1, COPIED_BYTES // (X.shape[1] * np.dtype(dtype).itemsize))
    for start in range(0, X.shape[0], n_block):
        yield _copy_rows(X[start : start + n_block], dtype)


def _copy_rows(X: Array, dtype: str) -> Array:
    rows = np.empty(X.shape, dtype)
    n_block = max(1, BLOCK_BYTES // rows.strides[0])
    for start in range(0, X.shape[0], n_block):
        rows[start : start + n_block] = X[start : start + n_block]
    return rows


def _has_core_rows(X: Array) -> bool:
    """Tell whether X is float32 or float64 in native byte order, aligned, each row contiguous."""
    row_stride, column_stride = X.strides
    return (
        X.dtype in (np.float32, np.float64)
        and X.flags.aligned
        and column_stride == X.itemsize
        and row_stride >= X.shape[1] * X.itemsize
        and row_stride % X.itemsize == 0
    )


def _core_csr(X: Any) -> Any:
    # An object, and row pointers, of our own: another thread may change the user's during a fit.
    X = copy(X.tocsr())
    X.indptr = X.indptr.copy()
    inconsistent = (
        X.indptr[0] != 0
        or X.indptr[-1] > min(X.indices.size, X.data.size)
        or (np.diff(X.indptr) < 0).any()
        or (X.indices.size and (X.indices.min() < 0 or X.indices.max() >= X.shape[1]))
    )
    if inconsistent:
        raise ValueError("X is an inconsistent CSR matrix: its indptr or indices are out of range.")
    if X.indices.dtype != X.indptr.dtype:  # only by assignment: the constructor makes them equal
        X = type(X)((X.data, X.indices, X.indptr), shape=X.shape)
    if all(a.flags.c_contiguous and a.flags.aligned for a in (X.data, X.indices, X.indptr)):
        return X
    return X.copy()


def sparse_sizes(X: Any, max_rows: int, of_any_share: bool = False) -> SparseSizes:
    """Return the sizes for a network of the core that trains on X or predicts for it.

    ``of_any_share`` counts wide CSR as sparse however much of it is stored.
    """
    if getattr(X, "format", None) != "csr" or X.shape[1] < DENSE_BELOW_COLUMNS:
        return SparseSizes(0, 0)
    if X.indptr[-1] >= DENSE_FROM_SHARE * X.shape[0] * X.shape[1] and not of_any_share:
        return SparseSizes(0, 0)
    counts = np.diff(X.indptr)
    n_fullest = min(max_rows, _core.CHUNK_ROWS, len(counts))
    counts.partition(len(counts) - max(1, n_fullest))
    fullest = counts[len(counts) - n_fullest :]
    return SparseSizes(max(1, int(counts.max())), int(fullest.sum(dtype=np.int64)))


def sizes_for_validation(sizes: SparseSizes, X_val: Any) -> SparseSizes:
    """Return sizes for a network that predicts for X_val too, by itself or as `beside` made it."""
    if sizes.row == 0:
        return sizes
    row = max(sizes.row, int(np.diff(X_val.indptr).max()))
    return SparseSizes(row, max(row, sizes.batch))


def beside(X: Any, X_val: Any) -> Any:
    """Return X_val as the core reads it in a network that trains on X: sparse, if that does."""
    is_csr = getattr(X_val, "format", None) == "csr"
    return X_val if is_csr or sparse_sizes(X, 1).row == 0 else sp.csr_array(X_val)


def to_compute_type(array: Array, dtype: str, name: str) -> Array:
    """Return validated numbers as a C-contiguous array in the compute type."""
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name} must hold real numbers, got dtype {array.dtype}.")
    if dtype == "float32":
        refuse_beyond_float32(array, name, NON_FINITE)
    return np.ascontiguousarray(array, dtype)


def check_sample_weight(
    sample_weight: Any, X: Any, dtype: str, factors: Array | None = None
) -> Array | None:
    """Return validated sample weights, times factors, in the compute type."""
    if sample_weight is None and factors is None:
        return None
    weight = _check_sample_weight(sample_weight, X)
    if (weight < 0).any():
        raise ValueError("Negative values in data passed to `sample_weight`.")
    if factors is not None:
        weight = weight * factors
    weight = to_compute_type(weight, dtype, "sample_weight")
    refuse_zero_weights(weight)
    return weight


def refuse_zero_weights(weight: Array | None, of: str = "") -> None:
    """Raise if there are weights and all are zero."""
    if weight is not None and not weight.any():
        raise ValueError(f"Sample weights{of} must contain at least one non-zero number.")


def refuse_beyond_float32(X: Any, name: str, preface: str = "") -> None:
    """Raise for a number that float32 cannot hold, saying where it is."""
    values = X.data[: X.indptr[-1]] if sp.issparse(X) else X
    # The extremes need no temporary array.
    limit = np.finfo(np.float32).max
    fits = values.dtype.kind in "bui" or values.dtype.itemsize <= 4 or values.size == 0
    if fits or (values.max() <= limit and values.min() >= -limit):
        return
    beyond = np.argwhere(np.abs(values) > limit)
    if len(beyond) == 0:  # NaN, which scikit-learn was told not to look for
        return
    where = tuple(int(i) for i in beyond[0])
    value = values[where]
    if sp.issparse(X):
        X = X.tocoo()
        where = int(X.row[where[0]]), int(X.col[where[0]])
    place = f"{name}[{', '.join(map(str, where))}]"
    raise ValueError(
        f"{preface} {place} = {value:g} is beyond the range of float32; scale it, or train with "
        "dtype='float64'.".lstrip()
    )
