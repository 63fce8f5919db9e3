# SPDX-License-Identifier: BSD-3-Clause
"""Sparse X: 10,000 columns, one cell in a hundred not zero, CSR, against scikit-learn."""

from __future__ import annotations

from functools import partial
from statistics import median
from typing import Any

from figures import spread
from turns import in_turns, seconds_of, times_sooner

TITLE = "Sparse X, 10,000 columns, 1 % of the cells not zero (batch 200, one hidden layer of 100)"

N_COLUMNS = 10_000
DENSITY = 0.01


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Verify the losses, then time fits and predictions, in turns."""
    import warnings

    import numpy as np
    import scipy.sparse as sp
    from peer_estimators import estimator
    from peers import SINGLE, deviation

    warnings.simplefilter("ignore")
    n_rows = 2_000 if settings["quick"] else 10_000
    X = sp.random(
        n_rows, N_COLUMNS, DENSITY, format="csr", rng=np.random.default_rng(0), dtype=np.float64
    )
    y = np.asarray(X[:, : N_COLUMNS // 2].sum(axis=1) > X[:, N_COLUMNS // 2 :].sum(axis=1)).ravel()
    fitted: dict[str, Any] = {}

    def fit(library: str) -> float:
        model = estimator(library, "classification")(max_iter=2, batch_size=200, random_state=0)
        fitted[library] = model
        return seconds_of(lambda: model.fit(X, y))

    libraries = ("sklearn", "fastbp")
    for library in libraries:
        fit(library)
    distance = deviation(fitted["fastbp"].loss_curve_, fitted["sklearn"].loss_curve_)
    if distance > SINGLE[0]:
        raise AssertionError(f"the losses differ by {distance:.0e}")
    n_rounds = settings["rounds"]
    training = in_turns({name: partial(fit, name) for name in libraries}, n_rounds)

    def predict(name: str) -> float:
        return seconds_of(lambda: fitted[name].predict_proba(X))

    prediction = in_turns({name: partial(predict, name) for name in libraries}, n_rounds)
    ratios = {
        "fit": times_sooner(training, "fastbp", "sklearn"),
        "predict_proba": times_sooner(prediction, "fastbp", "sklearn"),
    }
    return {
        "times_sooner": {"": median(ratios["fit"])},
        "rounds": ratios,
        "deviation": distance,
    }


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    return [
        ["", "times sooner"],
        *([name, spread(values)] for name, values in found["rounds"].items()),
    ]
