# SPDX-License-Identifier: BSD-3-Clause
"""A network's weights and biases as lists of arrays: drawn, checked, packed, unpacked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

BLOCK_BYTES = 1 << 18  # of random numbers at a time


class Weights(NamedTuple):
    """One [fan_in × fan_out] matrix and one [fan_out] bias vector per layer."""

    coefs: list[Array]
    intercepts: list[Array]

    @property
    def units(self) -> list[int]:
        """Inputs of the network, then outputs of each layer."""
        return [self.coefs[0].shape[0], *(coef.shape[1] for coef in self.coefs)]

    @property
    def dtype(self) -> str:
        """Name of the compute type; `check_weights` gives all arrays the same."""
        return str(self.coefs[0].dtype)

    def astype(self, dtype: str) -> Weights:
        """Return weights of another type; arrays that have it already are shared."""
        return self.converted(dtype)

    def converted(self, dtype: str, order: Literal["C", "K"] = "K") -> Weights:
        """Return weights of a type and a memory order; arrays that have both are shared.

        Raises
        ------
        ValueError
            One is beyond the range of that type.
        """
        converted = Weights([], [])
        for name, arrays, kept in zip(("coefs_", "intercepts_"), self, converted, strict=True):
            for i, array in enumerate(arrays):
                with np.errstate(over="ignore"):
                    kept.append(array.astype(dtype, order, copy=False))
                narrowed = array.dtype.itemsize > kept[i].dtype.itemsize
                if narrowed and are_finite(array) and not are_finite(kept[i]):
                    raise ValueError(f"{name}[{i}] holds a number beyond the range of {dtype}.")
        return converted

    def clear(self) -> None:
        """Let go of all arrays."""
        self.coefs.clear()
        self.intercepts.clear()

    def are_finite(self) -> bool:
        """Tell whether there is neither an infinity nor a NaN."""
        return are_finite(*self.coefs, *self.intercepts)


def are_finite(*arrays: Array) -> bool:
    """Tell whether arrays are finite, usually without temporary arrays of their size."""
    with np.errstate(over="ignore", invalid="ignore"):
        return all(math.isfinite(a.sum()) or bool(np.isfinite(a).all()) for a in arrays)


def draw_weights(
    units: Sequence[int],
    factors: Sequence[float],
    random_state: np.random.RandomState,
    dtype: str,
) -> Weights:
    """Draw new weights (Glorot and Bengio, 2010, eq. 16), in the order that scikit-learn draws.

    The numerator under that equation's root, 6 for tanh, is each layer's factor.
    """
    _refuse_impossible_sizes(units)
    weights = Weights([], [])
    for factor, (fan_in, fan_out) in zip(factors, pairwise(units), strict=True):
        bound = np.sqrt(factor / (fan_in + fan_out))
        coef = np.empty((fan_in, fan_out), dtype)
        # In blocks, which draw the same numbers: all of them in float64 would be twice the layer.
        n_block = max(1, BLOCK_BYTES // (8 * fan_out))
        for start in range(0, fan_in, n_block):
            block = coef[start : start + n_block]
            block[...] = random_state.uniform(-bound, bound, block.shape)
        intercept = random_state.uniform(-bound, bound, fan_out)
        weights.coefs.append(coef)
        weights.intercepts.append(intercept.astype(dtype, copy=False))
    return weights


def _refuse_impossible_sizes(units: Sequence[int]) -> None:
    """Raise MemoryError at once where drawing would do so late, half of memory being filled."""
    n_parameters = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(units))
    try:
        np.empty(n_parameters)
    except (MemoryError, ValueError, OverflowError) as error:
        raise MemoryError(
            f"hidden_layer_sizes asks for {n_parameters} parameters, more than memory holds."
        ) from error


def check_weights(
    coefs: Any, intercepts: Any, n_inputs: int, n_outputs: int, finite: bool = True
) -> Weights:
    """Return ``coefs_`` and ``intercepts_`` as they are now, ready for the core.

    They may have been edited or replaced: float arrays of any memory order are taken, of any number
    and width of hidden layers, as long as each layer fits the next. The result is float32 if all
    are, otherwise float64. ``finite=False`` takes infinities and NaN, too.
    """
    weights = Weights(
        _float_arrays(coefs, "coefs_", 2, finite),
        _float_arrays(intercepts, "intercepts_", 1, finite),
    )
    n_layers = len(weights.coefs)
    if n_layers == 0 or len(weights.intercepts) != n_layers:
        raise ValueError(
            f"coefs_ and intercepts_ must have the same length, at least 1; they have {n_layers} "
            f"and {len(weights.intercepts)}."
        )
    fan_in = n_inputs
    for i, (coef, intercept) in enumerate(zip(*weights, strict=True)):
        fan_out = n_outputs if i == n_layers - 1 else coef.shape[1]
        _check_shape(f"coefs_[{i}]", coef, (fan_in, fan_out))
        _check_shape(f"intercepts_[{i}]", intercept, (fan_out,))
        fan_in = fan_out
    all_single = all(a.dtype == np.float32 for a in (*weights.coefs, *weights.intercepts))
    dtype = "float32" if all_single else "float64"
    return weights.converted(dtype, "C")


def _float_arrays(arrays: Any, name: str, ndim: int, finite: bool) -> list[Array]:
    if not isinstance(arrays, list | tuple):
        raise ValueError(f"{name} must be a list of arrays, got {type(arrays).__name__}.")
    checked = []
    for i, item in enumerate(arrays):
        if np.ma.isMaskedArray(item):
            raise ValueError(f"{name}[{i}] is a masked array, whose mask would be ignored.")
        try:
            array = np.asarray(item)
        except ValueError as error:  # lists of different lengths
            raise ValueError(f"{name}[{i}] is no array: {error}") from error
        if array.dtype.kind != "f" or array.ndim != ndim:
            raise ValueError(
                f"{name}[{i}] must be a {ndim}-D array of floats, got {array.ndim}-D of "
                f"{array.dtype}."
            )
        if finite and not are_finite(array):
            raise ValueError(f"{name}[{i}] holds infinity or NaN.")
        checked.append(array)
    return checked


def _check_shape(name: str, array: Array, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must be of shape {shape}, got {array.shape}.")


def pack(weights: Weights) -> Array:
    """Return all matrices in C order, then all biases, as one vector."""
    return np.concatenate([a.ravel() for a in (*weights.coefs, *weights.intercepts)])


def unpack(parameters: Array, units: Sequence[int]) -> Weights:
    """Undo `pack`; the arrays are copies."""
    shapes: list[tuple[int, ...]] = [*pairwise(units), *((n,) for n in units[1:])]
    ends = np.cumsum([np.prod(shape) for shape in shapes])
    parts = np.split(parameters, ends[:-1])
    arrays = [part.reshape(shape).copy() for part, shape in zip(parts, shapes, strict=True)]
    n_layers = len(units) - 1
    return Weights(arrays[:n_layers], arrays[n_layers:])
