# SPDX-License-Identifier: BSD-3-Clause
"""Scores by scikit-learn's scorers, or a user's own, of a model that is still being trained."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from sklearn.metrics import get_scorer
from sklearn.utils import _safe_indexing

from ._data import SomeSamples
from ._weights import Weights

if TYPE_CHECKING:
    from ._base import BaseBackprop


class Given(NamedTuple):
    """Samples as the user gave them, in containers of any kind."""

    X: Any
    y: Any
    sample_weight: Any

    def take(self, rows: Any) -> tuple[Any, Any]:
        """Return some rows of X and y, or all, in containers of the same kind."""
        if rows is None:
            return self.X, self.y
        X, y = (a.tocsr() if sp.issparse(a) else a for a in (self.X, self.y))
        return _safe_indexing(X, rows), _safe_indexing(y, rows)


def name_of_scoring(model: BaseBackprop) -> str | None:
    """Return what tells one way of scoring from another: only scores of one way are compared."""
    scoring = model.scoring
    if scoring is None:
        return model._name_of_default_score()
    if scoring == "loss":
        return f"loss: {model._name_of_loss()}"
    if isinstance(scoring, str):
        return scoring
    return str(getattr(scoring, "__qualname__", None) or repr(scoring))


def make_scorer(
    model: BaseBackprop, given: Given, samples: SomeSamples
) -> Callable[[Weights, dict[str, Any]], float]:
    """Return a function from weights to the score that ``scoring`` gives for them.

    The scorer gets a model with these weights and some more fitted attributes, the user's own rows,
    and the samples' weights if there are any and it has a parameter for them.
    """
    scorer = get_scorer(model.scoring) if isinstance(model.scoring, str) else model.scoring
    X, y = given.take(samples.rows)
    options = {}
    if samples.sample_weight is not None and _takes_weights(scorer):
        options["sample_weight"] = samples.sample_weight.astype(np.float64)

    def score(weights: Weights, standing: dict[str, Any]) -> float:
        if not weights.are_finite():
            return float("nan")
        fitted = model._snapshot()
        fitted.__dict__.update(standing)
        fitted.coefs_, fitted.intercepts_ = list(weights.coefs), list(weights.intercepts)
        value = scorer(fitted, X, y, **options)
        if hasattr(value, "item"):
            value = value.item()  # of a NumPy array without dimensions, or of another library's
        if not isinstance(value, Real):
            raise ValueError(
                f"scoring={model.scoring!r} must return a number, got {value!r} of type "
                f"{type(value).__name__}."
            )
        return float(value)

    return score


def _takes_weights(scorer: Any) -> bool:
    function = getattr(scorer, "_score_func", scorer)  # of what make_scorer returned
    try:
        return "sample_weight" in inspect.signature(function).parameters
    except (TypeError, ValueError):  # no signature to be had
        return False
