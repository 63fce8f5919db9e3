# SPDX-License-Identifier: BSD-3-Clause
"""GridSearchCV on digits: 9 candidates × 3 folds, 50 iterations, n_jobs=2, workers warm.

Once with joblib's processes and once with its threads; and fastbp with n_jobs=1, where each fit has
all threads, since two fits at once should not be slower than one after the other.
"""

from __future__ import annotations

from statistics import median
from typing import Any

from figures import spread
from turns import in_turns, seconds_of, times_sooner

TITLE = "Grid search on digits, 9 candidates × 3 folds, n_jobs=2"

GRID = {"hidden_layer_sizes": [(50,), (100,), (100, 50)], "alpha": [1e-4, 1e-3, 1e-2]}
N_JOBS = 2


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Warm the workers up, verify the scores, time in turns."""
    import os
    import warnings

    from peer_estimators import estimator
    from sklearn.datasets import load_digits
    from sklearn.model_selection import GridSearchCV

    os.environ["PYTHONWARNINGS"] = "ignore"  # of 50 iterations, in the workers too
    warnings.simplefilter("ignore")
    X, y = load_digits(return_X_y=True)
    X = X / 16.0
    n_iter = 10 if settings["quick"] else 50
    scores: dict[str, Any] = {}

    def search(library: str, backend: str, n_jobs: int) -> float:
        from joblib import parallel_config

        model = estimator(library, "classification")(max_iter=n_iter, random_state=0)
        with parallel_config(backend=backend):
            found = GridSearchCV(model, GRID, cv=3, n_jobs=n_jobs, refit=False)
            seconds = seconds_of(lambda: found.fit(X, y))
        scores[library] = found.cv_results_["mean_test_score"]
        return seconds

    sides = {
        "sklearn processes": lambda: search("sklearn", "loky", N_JOBS),
        "fastbp processes": lambda: search("fastbp", "loky", N_JOBS),
        "fastbp threads": lambda: search("fastbp", "threading", N_JOBS),
        "fastbp n_jobs=1": lambda: search("fastbp", "loky", 1),
    }
    if not settings["quick"]:
        sides["sklearn threads"] = lambda: search("sklearn", "threading", N_JOBS)
    seconds = in_turns(sides, min(settings["rounds"], 3))
    difference = max(abs(scores["sklearn"] - scores["fastbp"]))
    if difference > 0.02:
        raise AssertionError(f"the scores differ by {difference:.3f}")
    ratios = {
        "processes": times_sooner(seconds, "fastbp processes", "sklearn processes"),
        "threads, against processes": times_sooner(seconds, "fastbp threads", "sklearn processes"),
        "fastbp: n_jobs=2 processes, against n_jobs=1": times_sooner(
            seconds, "fastbp processes", "fastbp n_jobs=1"
        ),
        "fastbp: n_jobs=2 threads, against n_jobs=1": times_sooner(
            seconds, "fastbp threads", "fastbp n_jobs=1"
        ),
    }
    if "sklearn threads" in seconds:
        threads = times_sooner(seconds, "fastbp threads", "sklearn threads")
        ratios["threads, against threads"] = threads
    return {
        "times_sooner": {"processes": median(ratios["processes"])},
        "rounds": ratios,
        "seconds": seconds,
        "score_difference": float(difference),
    }


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    table = [["", "times sooner"]]
    table += [[name, spread(values)] for name, values in found["rounds"].items()]
    for name, values in found["seconds"].items():
        table.append([f"seconds, {name}", spread(values)])
    return table
