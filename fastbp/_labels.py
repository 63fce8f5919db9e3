# SPDX-License-Identifier: BSD-3-Clause
"""Class labels: which there are, and whether a later y agrees with them."""

from __future__ import annotations

import reprlib
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


def check_loaded_classes(
    classes: NDArray[Any], multilabel: bool, loss: str, n_outputs: int
) -> None:
    """Raise unless classes are sorted and distinct, and as many as a network has outputs for."""
    try:
        is_sorted = np.array_equal(np.unique(classes), classes)
    except TypeError:  # labels that cannot be compared
        is_sorted = False
    if not is_sorted:
        raise ValueError(f"classes_ is {reprlib.repr(classes)}, not sorted labels.")
    softmax = loss == "log_loss"
    if not softmax and loss != "binary_log_loss":
        raise ValueError(f"_core_loss is {loss!r}, which is no classifier's.")
    fits = len(classes) == n_outputs
    if not softmax and not multilabel:
        fits = n_outputs == 1 and len(classes) <= 2
    if not fits or (softmax and (multilabel or n_outputs < 3)):
        raise ValueError(f"classes_ has {len(classes)} labels, the network {n_outputs} outputs.")
