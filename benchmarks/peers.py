# SPDX-License-Identifier: BSD-3-Clause
"""The contestants. To add one, write a class with a `name`, `tolerances` and a `fit`.

All start from the same weights and see the rows in the same order, as scikit-learn draws them from
`random_state=SEED`; a peer that draws otherwise cannot be verified, and so not be timed.
"""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from workloads import Workload

from fastbp import BackpropClassifier, BackpropRegressor

SEED = 0
EARLY = 10


@dataclass(frozen=True)
class Fit:
    """What one fit gave: the loss of each epoch, and the seconds it took."""

    losses: list[float]
    seconds: float


class Peer(Protocol):
    """A library, in one of its forms."""

    name: str
    #: Largest relative difference allowed from the reference's loss: in the first EARLY epochs,
    #: and in all.
    tolerances: tuple[float, float]

    def fit(self, workload: Workload) -> Fit:
        """Train a new network on a workload; only what a user waits for is timed."""


class Estimator:
    """A scikit-learn estimator, with adam and a workload's network and batch."""

    def __init__(
        self,
        name: str,
        classes: tuple[Any, Any],
        *,
        tolerances: tuple[float, float],
        x_dtype: str = "float64",
        **parameters: Any,
    ) -> None:
        self.name = name
        self.tolerances = tolerances
        self._classifier, self._regressor = classes
        self._x_dtype = x_dtype
        self._parameters = parameters

    def fit(self, workload: Workload) -> Fit:
        """Train a new network on a workload."""
        spec = workload.spec
        kind = self._classifier if spec.task == "classification" else self._regressor
        model = kind(
            hidden_layer_sizes=spec.hidden,
            batch_size=spec.batch_size,
            max_iter=workload.n_epochs,
            n_iter_no_change=float("inf"),
            random_state=SEED,
            **self._parameters,
        )
        X = workload.X.astype(self._x_dtype, copy=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = time.perf_counter()
            model.fit(X, workload.y)
            seconds = time.perf_counter() - start
        return Fit(model.loss_curve_, seconds)


def all_peers() -> list[Peer]:
    """Return the contestants: the first is the reference, the last is fastbp's default."""
    theirs = (MLPClassifier, MLPRegressor)
    ours = (BackpropClassifier, BackpropRegressor)
    # float32's rounding can wake a relu unit that lay dead, and then the losses part for a while.
    # scikit-learn's own float32 loss is less exact, for want of float64 sums.
    exact, single, loose = (1e-8, 1e-8), (1e-3, 0.05), (0.05, 0.05)
    return [
        Estimator("sklearn", theirs, tolerances=exact),
        Estimator("sklearn f32", theirs, tolerances=loose, x_dtype="float32"),
        Estimator("fastbp f64", ours, tolerances=exact, dtype="float64"),
        Estimator("fastbp", ours, tolerances=single),
    ]


def deviation(losses: list[float], reference: list[float]) -> float:
    """Return the largest relative difference of two loss curves."""
    if len(losses) != len(reference):
        return float("inf")
    ours, theirs = np.array(losses), np.array(reference)
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def agrees(peer: Peer, losses: list[float], reference: list[float]) -> bool:
    """Tell whether a peer's losses are the reference's, to its tolerances."""
    early, late = peer.tolerances
    start = deviation(losses[:EARLY], reference[:EARLY])
    return start <= early and deviation(losses, reference) <= late
