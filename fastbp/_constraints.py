# SPDX-License-Identifier: BSD-3-Clause
"""What each parameter of both estimators may be; each adds those of its own."""

from __future__ import annotations

import inspect
import sys
from numbers import Integral, Real
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, InvalidParameterError, Options, StrOptions

from . import _core
from ._schedules import OVER_A_FIT

CONSTRAINTS: dict[str, list[Any]] = {
    "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
    "activation": [StrOptions(set(_core.names()["activations"])), list, tuple],
    "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
    "alpha": [Interval(Real, 0, None, closed="left")],
    "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", *OVER_A_FIT})],
    "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
    "power_t": [Interval(Real, 0, None, closed="left")],
    "max_iter": [Interval(Integral, 1, None, closed="left")],
    "shuffle": ["boolean"],
    "random_state": ["random_state"],
    "tol": [Interval(Real, 0, None, closed="left")],
    "verbose": ["verbose"],
    "warm_start": ["boolean", StrOptions({"optimizer"})],
    "momentum": [Interval(Real, 0, 1, closed="both")],
    "nesterovs_momentum": ["boolean"],
    "early_stopping": ["boolean"],
    "validation_fraction": [Interval(Real, 0, 1, closed="left")],
    "beta_1": [Interval(Real, 0, 1, closed="left")],
    "beta_2": [Interval(Real, 0, 1, closed="left")],
    "epsilon": [Interval(Real, 0, None, closed="neither")],
    "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
    "max_fun": [Interval(Integral, 1, None, closed="left")],
    "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "weight_decay": [Interval(Real, 0, None, closed="left")],
    "max_grad_norm": [None, Interval(Real, 0, None, closed="neither")],
    "warmup": [Interval(Real, 0, None, closed="left")],
    "max_time": [Interval(Real, 0, np.inf, closed="right"), None],
    "dtype": [StrOptions({"auto", "float32", "float64"})],
    "matmul_precision": [StrOptions(set(_core.names()["precisions"]))],
    "n_jobs": [
        None,
        Interval(Integral, 1, None, closed="left"),
        Interval(Integral, None, -1, closed="right"),
    ],
}


def refuse_metric(estimator: BaseEstimator) -> None:
    """Raise for a callable as ``scoring`` that is no scorer: a metric, as a rule."""
    scoring = estimator.scoring
    if not callable(scoring):
        return
    try:
        signature = inspect.signature(scoring)
    except (TypeError, ValueError):  # no signature to be had
        return
    try:
        signature.bind(estimator, "X", "y")
    except TypeError:
        raise InvalidParameterError(
            f"The 'scoring' parameter of {type(estimator).__name__} must be callable as "
            f"scoring(estimator, X, y). Got {scoring!r} instead. If that is a metric of y_true "
            "and y_pred, give what sklearn.metrics.make_scorer makes of it."
        ) from None


def refuse_beyond_float64(estimator: BaseEstimator) -> None:
    """Raise for an integer parameter that arithmetic in float64 would fail at."""
    for name, value in estimator.get_params(deep=False).items():
        if isinstance(value, Integral) and abs(int(value)) > sys.float_info.max:
            raise InvalidParameterError(
                f"The {name!r} parameter of {type(estimator).__name__} must be a number that "
                f"float64 can hold. Got an integer of {int(value).bit_length()} bits instead."
            )
