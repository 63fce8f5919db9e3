# SPDX-License-Identifier: BSD-3-Clause
"""Class labels: which there are, and whether a later y agrees with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.utils.multiclass import _check_partial_fit_first_call, unique_labels

from ._data import to_compute_type

if TYPE_CHECKING:
    from ._classifier import BackpropClassifier

Array = NDArray[Any]


def settle_classes(
    model: BackpropClassifier, y: Any, multilabel: bool, incremental: bool, classes: Any
) -> None:
    """Set ``classes_`` where training begins anew; otherwise check that y agrees with it."""
    if incremental:
        begins = _check_partial_fit_first_call(model, classes)  # which sets classes_
    else:
        begins = not (model.warm_start and hasattr(model, "classes_"))
        if begins:
            model.classes_ = unique_labels(y)
    if begins:
        model._multilabel, model._sparse_labels = multilabel, sp.issparse(y)
    _check_kind(model, y, multilabel)
    if incremental or not begins:
        _check_labels(unique_labels(y), model.classes_, bool(model.warm_start))


def refuse_unknown_labels(model: BackpropClassifier, y: Any, multilabel: bool) -> None:
    """Raise for labels, or a kind of y, that the training does not know."""
    _check_kind(model, y, multilabel)
    _check_labels(unique_labels(y), model.classes_, all_needed=False)


def _check_kind(model: BackpropClassifier, y: Any, multilabel: bool) -> None:
    if multilabel != model._multilabel:
        is_or_not = "is" if multilabel else "is not"
        raise ValueError(f"y {is_or_not} multilabel, unlike that of the first call.")
    if multilabel and y.shape[1] != len(model.classes_):
        raise ValueError(
            f"y has {y.shape[1]} columns of labels, but there are {len(model.classes_)} classes."
        )


def _check_labels(labels: Array, classes: Array, all_needed: bool) -> None:
    """Raise for labels that are not classes; with ``all_needed`` also for classes not there."""
    if all_needed:
        if set(labels) != set(classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {classes}, `y` has {labels}"
            )
    elif len(np.setdiff1d(labels, classes, assume_unique=True)):
        raise ValueError(
            f"`y` has classes not in `self.classes_`. `self.classes_` has {classes}. 'y' has "
            f"{labels}."
        )


def encode_indicators(y: Any, dtype: str) -> Array:
    """Return a matrix of label indicators as a dense one of 0 and 1."""
    indicators = to_compute_type(y.toarray() if sp.issparse(y) else y, dtype, "y")
    if not np.isin(indicators, (0, 1)).all():
        raise ValueError("y must hold 0 and 1 only, where it indicates labels.")
    return indicators
