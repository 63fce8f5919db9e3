# SPDX-License-Identifier: BSD-3-Clause
"""What users give: parameters that need more than a constraint, X and y, validation data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set
from numbers import Integral
from typing import TYPE_CHECKING, Any, TypeVar

import scipy.sparse as sp
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from ._data import (
    NON_FINITE,
    Samples,
    are_within,
    beside,
    check_sample_weight,
    core_rows,
    dtype_to_validate,
    refuse_masked_arrays,
)
from ._scoring import Given
from ._spread import warn_of_lost_spread

if TYPE_CHECKING:
    from ._base import BaseBackprop

Method = TypeVar("Method", bound=Callable[..., Any])


# scikit-learn's decorators have no types; without these two, users' tools would not know methods.


def with_checked_parameters(fit: Method) -> Method:
    """Decorate a method that fits, so that the estimator's parameters are checked first."""
    checked: Method = _fit_context(prefer_skip_nested_validation=True)(fit)
    return checked


def unless_lbfgs(method: Method) -> Method:
    """Decorate a method that an estimator has with the other solvers only."""
    available: Method = available_if(lambda model: model._check_solver())(method)
    return available


def check_hidden_layer_sizes(hidden_layer_sizes: Any) -> list[int]:
    """Return the widths of the hidden layers; a single number means one layer."""
    if isinstance(hidden_layer_sizes, (Set, Mapping)):
        raise ValueError(f"hidden_layer_sizes must have an order, got {hidden_layer_sizes!r}.")
    if isinstance(hidden_layer_sizes, Integral):
        hidden_layer_sizes = [hidden_layer_sizes]
    sizes = list(hidden_layer_sizes)
    if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes):
        raise ValueError(f"hidden_layer_sizes must hold integers > 0, got {sizes}.")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def check_X_y(
    model: BaseBackprop, given: Given, dtype: str, reset: bool, trains: bool = False
) -> tuple[Any, Any]:
    """Return X as the core reads it, and validated y; warn of what training could not use."""
    refuse_masked_arrays(**given._asdict())
    # One reading of X by all threads; only what it refuses is looked at for what to say.
    checked = are_within(given.X, dtype, model._thread_limit())
    is_regressor = isinstance(model, RegressorMixin)
    X, y = validate_data(
        model,
        given.X,
        given.y,
        accept_sparse=["csr", "csc"],
        multi_output=True,
        y_numeric=is_regressor,
        dtype=dtype_to_validate(given.X),
        ensure_all_finite=not checked,
        reset=reset,
    )
    if y.ndim == 2 and y.shape[1] == 1 and not sp.issparse(y):
        y = column_or_1d(y, warn=True)
    rows = core_rows(X, dtype, NON_FINITE, checked)
    if trains:
        names = getattr(model, "feature_names_in_", None)
        warn_of_lost_spread(X, y if is_regressor else None, names, dtype)
    return rows, y


def check_own_validation(
    model: BaseBackprop, own: Given, X: Any, n_outputs: int, dtype: str
) -> Samples:
    """Return the user's validation data, as the core takes them beside X."""
    try:
        X_val, y_val = check_X_y(model, own, dtype, reset=False)
        targets = model._encode_validation_targets(y_val, dtype, n_outputs)
        weight = check_sample_weight(own.sample_weight, X_val, dtype)
    except ValueError as error:
        raise ValueError(f"In X_val, y_val or sample_weight_val: {error}") from error
    return Samples(beside(X, X_val), targets, weight)
