# SPDX-License-Identifier: BSD-3-Clause
"""`python -m fastbp`: both estimators beside scikit-learn's, on scikit-learn's bundled data.

Each side warms up with a short fit. Then whole fits are timed in turns, since on a shared machine
turns are fairer than blocks, and the last of each gives the losses to compare.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import numpy as np
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from ._classifier import BackpropClassifier
from ._regressor import BackpropRegressor
from ._show_versions import environment, format_machine

ROUNDS = 5
MAX_SECONDS = 20.0  # for one data set; a slow machine does fewer rounds
EPOCHS_SHOWN = (1, 2, 5, 10, 20, 50, 100, 200)
NAME_WIDTH = 28
RULE = "─" * 92
EPILOGUE = """\
fastbp computes in float32 unless told otherwise. Scores are of rows kept aside. Seconds are the
median, the fastest and the slowest of warm fits, the sides in turns; where these differ much,
something else keeps the CPU busy. For a table of your own: python -m fastbp train --help"""


@dataclass
class Problem:
    """A data set, split, with the parameters that every side gets."""

    title: str
    score_name: str
    theirs: Any
    ours: Any
    parameters: dict[str, Any]
    X_train: Any
    X_test: Any
    y_train: Any
    y_test: Any


@dataclass
class Side:
    """One contestant: how to make it, the last model it fitted, and the seconds of every fit."""

    name: str
    make: Callable[..., Any]
    model: Any = None
    seconds: list[float] = field(default_factory=list)

    def fit(self, problem: Problem) -> None:
        """Fit a new model and time it."""
        self.model = self.make(**problem.parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            start = time.perf_counter()
            self.model.fit(problem.X_train, problem.y_train)
            self.seconds.append(time.perf_counter() - start)

    def warm_up(self, problem: Problem) -> None:
        """Let the libraries start their threads and touch the data."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.make(**{**problem.parameters, "max_iter": 2}).fit(problem.X_train, problem.y_train)


def digits() -> Problem:
    """Return the classification: pictures of handwritten digits, 8 × 8 pixels."""
    data = load_digits()
    parts = train_test_split(data.data / 16.0, data.target, random_state=0)
    return Problem(
        f"digits: {len(parts[0]):,} pictures of 8 × 8 pixels, 10 classes",
        "accuracy",
        MLPClassifier,
        BackpropClassifier,
        {"hidden_layer_sizes": (100,), "max_iter": 200, "random_state": 0},
        *parts,
    )


def diabetes() -> Problem:
    """Return the regression: progress of a disease a year on, from 10 measurements."""
    data = load_diabetes()
    X_train, X_test, y_train, y_test = train_test_split(data.data, data.target, random_state=0)
    x_scaler = StandardScaler().fit(X_train)
    y_scaler = StandardScaler().fit(y_train.reshape(-1, 1))
    return Problem(
        f"diabetes: {len(X_train)} patients, 10 measurements, progress after a year",
        "R²",
        MLPRegressor,
        BackpropRegressor,
        {"hidden_layer_sizes": (100,), "alpha": 10.0, "max_iter": 200, "random_state": 0},
        x_scaler.transform(X_train),
        x_scaler.transform(X_test),
        y_scaler.transform(y_train.reshape(-1, 1)).ravel(),
        y_scaler.transform(y_test.reshape(-1, 1)).ravel(),
    )


def compare(problem: Problem) -> list[Side]:
    """Fit and time scikit-learn, fastbp in float64 and fastbp by default, in this order."""
    sides = [
        Side(problem.theirs.__name__, problem.theirs),
        Side(f"{problem.ours.__name__}, float64", partial(problem.ours, dtype="float64")),
        Side(problem.ours.__name__, problem.ours),
    ]
    for side in sides:
        side.warm_up(problem)
    seconds, n_rounds = 0.0, 0
    while n_rounds == 0 or (n_rounds < ROUNDS and seconds * (1 + 1 / n_rounds) < MAX_SECONDS):
        for side in sides:
            side.fit(problem)
        n_rounds += 1
        seconds = sum(sum(side.seconds) for side in sides)
    return sides


def curve_deviation(side: Side, reference: Side) -> float:
    """Return the largest relative difference of two loss curves, over the epochs both have."""
    n = min(len(side.model.loss_curve_), len(reference.model.loss_curve_))
    ours = np.array(side.model.loss_curve_[:n])
    theirs = np.array(reference.model.loss_curve_[:n])
    return float(np.max(np.abs(ours - theirs) / np.abs(theirs)))


def format_comparison(problem: Problem, sides: list[Side]) -> str:
    """Return the tables of one problem, 92 columns wide."""
    reference = sides[0]
    settings = ", ".join(f"{name}={value!r}" for name, value in problem.parameters.items())
    lines = [problem.title, settings, ""]
    lines.append(
        f"{'':<{NAME_WIDTH}}{'epochs':>8}{'loss':>10}{problem.score_name:>10}{'seconds':>10}"
        f"{'from':>8} {'to':>7}{'speed-up':>10}"
    )
    for side in sides:
        score = side.model.score(problem.X_test, problem.y_test)
        ratio = median(a / b for a, b in zip(reference.seconds, side.seconds, strict=True))
        speed_up = "" if side is reference else f"{ratio:.1f} ×"
        row = (
            f"{side.name:<{NAME_WIDTH}}{side.model.n_iter_:>8}{side.model.loss_:>10.5f}"
            f"{score:>10.4f}{median(side.seconds):>10.3f}{min(side.seconds):>8.3f}"
            f" {max(side.seconds):>7.3f}{speed_up:>10}"
        )
        lines.append(row.rstrip())
    shortest = min(side.model.n_iter_ for side in sides)
    epochs = [epoch for epoch in EPOCHS_SHOWN if epoch <= shortest]
    lines += ["", f"{'loss after epoch':<{NAME_WIDTH}}" + "".join(f"{e:>8}" for e in epochs)]
    for side in sides:
        losses = "".join(f"{side.model.loss_curve_[epoch - 1]:>8.5f}" for epoch in epochs)
        lines.append(f"{side.name:<{NAME_WIDTH}}{losses}")
    exact, default = (curve_deviation(side, reference) for side in sides[1:])
    lines += [
        "",
        "Furthest from scikit-learn's loss at any epoch, relative: "
        f"{exact:.0e} in float64, {default:.0e} in float32.",
    ]
    if len(reference.seconds) < 3:
        lines.append("This machine is slow or busy: too few fits in the time for a sure speed-up.")
    return "\n".join(lines)


def run_demo() -> None:
    """Train both estimators beside scikit-learn's and print what came of it."""
    print(format_machine(environment()))
    for problem in (digits(), diabetes()):
        print(f"\n{RULE}")
        print(format_comparison(problem, compare(problem)), flush=True)
    print(f"\n{RULE}\n{EPILOGUE}")
