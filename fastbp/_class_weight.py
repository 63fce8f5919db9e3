# SPDX-License-Identifier: BSD-3-Clause
"""Weights of classes, as factors on the samples' own."""

from __future__ import annotations

import sys
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.class_weight import compute_class_weight

if TYPE_CHECKING:
    from ._classifier import BackpropClassifier


def class_factors(
    model: BackpropClassifier, y: Any, incremental: bool
) -> NDArray[np.float64] | None:
    """Return what each sample's weight is multiplied by; None without ``class_weight``.

    In ``fit`` it is what ``compute_sample_weight(class_weight, y)`` returns. A later batch of
    ``partial_fit`` may lack classes that a dict names.
    """
    class_weight = model.class_weight
    if class_weight is None:
        return None
    if model._multilabel:
        raise ValueError(
            f"class_weight={class_weight!r} does not work with multilabel y, where no sample has "
            "one class. Set class_weight=None, and give sample_weight instead."
        )
    if incremental and class_weight == "balanced":
        raise ValueError(
            "class_weight='balanced' does not work with partial_fit, which does not see all "
            "samples at once. Give class_weight the dict of what sklearn.utils.class_weight."
            "compute_class_weight('balanced', classes=classes, y=y) returns for all of y."
        )
    if isinstance(class_weight, dict) and not all(map(_is_weight, class_weight.values())):
        raise ValueError(
            "The weights in class_weight must be numbers that are finite and at least 0, got "
            f"{class_weight!r}."
        )
    factors: NDArray[np.float64] = np.asarray(
        compute_class_weight(class_weight, classes=model.classes_, y=y), np.float64
    )
    of_samples: NDArray[np.float64] = factors[np.searchsorted(model.classes_, y)]
    return of_samples


def _is_weight(value: Any) -> bool:
    is_number = isinstance(value, Real)
    return is_number and bool(0 <= value <= sys.float_info.max)
