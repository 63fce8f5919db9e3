# SPDX-License-Identifier: BSD-3-Clause
"""The regressor's losses: which targets they take, their numbers, the score of quantiles."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import d2_pinball_score
from sklearn.utils._param_validation import InvalidParameterError

from . import _core

Array = NDArray[Any]

#: The core's losses but for those of classes.
LOSSES = {name for name in _core.names()["losses"] if _core.loss_parameter(name) != "smoothing"}

#: What y must be above, for losses of positive numbers, and whether that is too low itself.
POSITIVE = {"poisson": ">= 0", "gamma": "> 0"}
#: The regressor's parameter that a loss depends on.
PARAMETERS = {"quantile": "quantile", "huber": "huber_delta"}


def check_quantile(quantile: Any, estimator: str) -> None:
    """Raise unless it is a level, or a list of different ones."""
    levels = [quantile] if isinstance(quantile, Real) else np.asarray(quantile, object).tolist()
    good = isinstance(levels, list) and len(levels) > 0
    good = good and all(isinstance(level, Real) and 0 < float(level) < 1 for level in levels)
    if not good or len(set(levels)) < len(levels):
        raise InvalidParameterError(
            f"The 'quantile' parameter of {estimator} must be a number between 0 and 1, or a list "
            f"of such numbers, none of them twice. Got {quantile!r} instead."
        )


def quantile_levels(quantile: Any) -> Array:
    """Return a level as an array without axes, levels as one with one."""
    return np.asarray(quantile, dtype=np.float64)


def check_targets(targets: Array, loss: str, given: Array) -> None:
    """Raise for targets that the loss does not take; ``given`` is before any rounding."""
    if loss not in POSITIVE:
        return
    too_low = targets < 0
    if loss == "gamma":  # what is below the smallest normal number counts as 0 in the core
        too_low = targets < np.finfo(targets.dtype).tiny
    if not too_low.any():
        return
    lowest = given.reshape(targets.shape)[too_low].min()
    rounded = ""
    if lowest > 0:
        rounded = f" as {targets.dtype}. Scale y, or train with dtype='float64'"
    raise ValueError(
        f"Some values of y are {'negative' if lowest < 0 else 'not positive'}, but loss={loss!r} "
        f"requires y {POSITIVE[loss]}; the lowest is {lowest:g}{', which is 0' * bool(rounded)}"
        f"{rounded}."
    )


def core_parameters(
    loss: str, values: Any, n_outputs: int, dtype: str, name: str
) -> list[float] | None:
    """Return what the core's loss reads per output, from one number or one per output."""
    kind = _core.loss_parameter(loss)
    if kind not in ("level", "positive"):
        return None
    numbers = np.broadcast_to(np.asarray(values, dtype=np.float64), (n_outputs,))
    with np.errstate(over="ignore"):
        rounded = numbers.astype(dtype)
    most = 1 if kind == "level" else math.inf
    if not ((rounded >= np.finfo(dtype).tiny) & (rounded < most)).all():
        raise ValueError(
            f"{name}={values!r} becomes {rounded.tolist()} in {dtype}, which is too much for "
            f"loss={loss!r}. Change {name}, or train with dtype='float64'."
        )
    return [float(number) for number in numbers]


def without_crossing(outputs: Array, levels: Array) -> Array:
    """Return each row's predicted quantiles so that a higher level never gets a lower one.

    They are the same numbers in the order of the levels: the rearrangement of Chernozhukov,
    Fernández-Val and Galichon (2010), which is never further from the true quantiles.
    """
    rearranged = np.empty_like(outputs)
    rearranged[:, np.argsort(levels)] = np.sort(outputs, axis=1)
    return rearranged


def quantile_score(y: Array, predicted: Array, levels: Array, weight: Any) -> float:
    """Return D² of the pinball loss: of one level, or the mean over levels, a column each."""
    if levels.ndim == 0:
        return float(d2_pinball_score(y, predicted, sample_weight=weight, alpha=float(levels)))
    scores = [
        d2_pinball_score(y, column, sample_weight=weight, alpha=float(level))
        for column, level in zip(predicted.T, levels, strict=True)
    ]
    return float(np.mean(scores))


def check_loaded_levels(levels: NDArray[Any] | None, loss: str, n_outputs: int) -> None:
    """Raise unless there are levels exactly for the loss of quantiles, one per output or one."""
    if loss not in LOSSES or (levels is None) == (loss == "quantile"):
        raise ValueError(f"_core_loss is {loss!r}, and _levels {levels!r}.")
    if levels is not None and levels.ndim == 1 and len(levels) != n_outputs:
        raise ValueError(f"_levels has {len(levels)} numbers, the network {n_outputs} outputs.")
