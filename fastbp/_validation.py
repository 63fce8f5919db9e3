# SPDX-License-Identifier: BSD-3-Clause
"""Validation data: the user's own, or rows set aside; and what is measured on them each epoch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from ._data import Samples, SomeSamples, refuse_zero_weights
from ._scoring import Given, make_scorer, name_of_scoring
from ._weights import Weights

if TYPE_CHECKING:
    from ._base import BaseBackprop
    from ._core import Net

Order = NDArray[np.int64]


class ValidationSource(NamedTuple):
    """Where validation samples come from: the user's own, or those to train on."""

    given: Given  # as the user gave them
    own: Samples | None  # the same checked; None if they are to be taken from those to train on


def own_validation(X_val: Any, y_val: Any, sample_weight_val: Any) -> Given | None:
    """Return the validation data given to ``fit``, if any."""
    if X_val is not None and y_val is not None:
        return Given(X_val, y_val, sample_weight_val)
    for name, value, other in (
        ("X_val", X_val, "y_val"),
        ("y_val", y_val, "X_val"),
        ("sample_weight_val", sample_weight_val, "X_val and y_val"),
    ):
        if value is not None:
            raise ValueError(f"{name} is given without {other}: give all of them, or none.")
    return None


def set_aside(
    model: BaseBackprop,
    samples: Samples,
    source: ValidationSource,
    random_state: np.random.RandomState,
) -> tuple[Order | None, SomeSamples | None]:
    """Return the order of the rows to train on (None: all), and the validation samples, if any."""
    if source.own is not None:
        return None, SomeSamples(source.own, None, source.own.y, source.own.sample_weight)
    if model.early_stopping:
        return split_rows(model, samples, random_state)
    return None, None


def split_rows(
    model: BaseBackprop, samples: Samples, random_state: np.random.RandomState
) -> tuple[Order, SomeSamples]:
    """Set rows aside for early stopping: the order of those to train on, and the others.

    The same random numbers are drawn as for splitting X and y themselves.
    """
    try:
        train_rows, validation_rows = train_test_split(
            np.arange(samples.n_rows, dtype=np.int64),
            random_state=random_state,
            test_size=model.validation_fraction,
            stratify=model._labels_to_stratify(samples.y),
        )
    except ValueError as error:
        raise ValueError(
            f"early_stopping with validation_fraction={model.validation_fraction} of "
            f"{samples.n_rows} samples: {error}"
        ) from error
    if len(validation_rows) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of your "
            "dataset."
        )
    validation = samples.take(validation_rows)
    refuse_zero_weights(validation.sample_weight, " of the validation set")
    if samples.sample_weight is not None:
        refuse_zero_weights(samples.sample_weight[train_rows], " outside the validation set")
    return train_rows, validation


class Validation:
    """Scores and losses of the validation samples of one run, after each epoch."""

    def __init__(self, model: BaseBackprop, net: Net, samples: SomeSamples, given: Given) -> None:
        self.net = net
        self.samples = samples
        self.shares: NDArray[np.float64] | None = None  # of each sample in the loss
        if samples.sample_weight is not None:
            weight = samples.sample_weight.astype(np.float64)
            self.shares = weight / weight.sum()
        self.scored_by_loss = model.scoring == "loss"
        self.scorer = None
        if model.scoring is None:
            self.score_outputs = model._make_scorer(samples)
        elif not self.scored_by_loss:
            self.scorer = make_scorer(model, given, samples)

        self.scores: list[float] = []  # of this call; what lies beyond its whole epochs is void
        self.losses: list[float] = []
        self.earlier_scores: list[float] = []
        self.earlier_losses: list[float] = []
        scores = getattr(model, "validation_scores_", None)
        self.goes_on = scores is not None and model._scored_by == name_of_scoring(model)
        if self.goes_on:
            self.earlier_scores = model.validation_scores_ or []
            self.earlier_losses = model.validation_loss_curve_ or []

    @property
    def n_scores(self) -> int:
        """Scores of this call and of those that it goes on from."""
        return len(self.earlier_scores) + len(self.scores)

    def measure(self, weights: Weights | None, standing: dict[str, Any]) -> float:
        """Take down loss and score; return the score.

        Without given weights, those of the network count. ``standing`` are the fitted attributes
        that scorers are to see.
        """
        loss = self._loss()
        if self.scored_by_loss:
            score = -loss
        elif self.scorer is not None:
            score = self.scorer(weights or Weights(*self.net.get_weights()), standing)
        else:
            samples = self.samples
            score = self.score_outputs(self.net.predict(samples.of.X, order=samples.rows))
        return self.note(score, loss)

    def note(self, score: float = math.nan, loss: float = math.nan) -> float:
        """Take down, and return, a score; one that is not finite as NaN."""
        self.scores.append(score if math.isfinite(score) else math.nan)
        self.losses.append(loss)
        return self.scores[-1]

    def _loss(self) -> float:
        samples = self.samples
        losses = self.net.row_losses(samples.of.X, samples.of.y, order=samples.rows)
        # not @: BLAS sums in an order of its own, by CPU and threads
        return float(losses.mean() if self.shares is None else (losses * self.shares).sum())

    def set_attributes(self, model: BaseBackprop, n_iter: int) -> None:
        """Set the curves' attributes, after so many whole epochs of this call."""
        model.validation_scores_ = [*self.earlier_scores, *self.scores[:n_iter]]
        model.validation_loss_curve_ = [*self.earlier_losses, *self.losses[:n_iter]]
        finite = [score for score in model.validation_scores_ if math.isfinite(score)]
        model.best_validation_score_ = max(finite, default=None)
