# SPDX-License-Identifier: BSD-3-Clause
"""Random training sessions, for the comparison with scikit-learn: parameters, data, calls."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

TASKS = (
    "binary",
    "multiclass",
    "multilabel",
    "sparse_multilabel",
    "regression",
    "multioutput",
    "poisson",
    "multioutput_poisson",
)
CLASSIFICATION = TASKS[:4]
LAYOUTS = ("c", "fortran", "strided", "integers", "csr", "csc", "csr_array")
SEQUENCES = {  # name: (methods called, whether fits are warm)
    "fit": (("fit",), False),
    "refit": (("fit", "fit"), False),
    "warm": (("fit", "fit", "fit"), True),
    "partial": (("partial_fit",) * 5, False),
    "fit_partial": (("fit", "partial_fit", "partial_fit"), False),
    "partial_warm": (("partial_fit", "partial_fit", "fit"), True),
}


@dataclass
class Case:
    """A task, parameters for both libraries' estimators, and the calls to make on them."""

    task: str
    sequence: str
    layout: str
    params: dict[str, Any]
    weighted: bool
    seed: int

    def __str__(self) -> str:
        p = self.params
        words = [self.task, p["solver"], p["activation"], self.sequence, self.layout]
        words += [str(p["hidden_layer_sizes"]).replace(" ", "")]
        words += [name for name in ("early_stopping", "warm_start") if p.get(name)]
        return f"{self.seed}-" + "-".join(words + ["weighted"] * self.weighted)


def draw_case(seed: int) -> Case:
    """Draw a case; the same for the same seed."""
    rng = np.random.default_rng(seed)

    def pick(*options: Any) -> Any:
        return options[rng.integers(len(options))]

    task, layout, weighted = pick(*TASKS), pick(*LAYOUTS), bool(rng.random() < 0.3)
    solver = pick("sgd", "sgd", "adam", "adam", "lbfgs")
    sequence = pick("fit", "refit", "warm") if solver == "lbfgs" else pick(*SEQUENCES)
    params = {
        "hidden_layer_sizes": tuple(int(n) for n in rng.integers(1, 12, rng.integers(0, 4))),
        "activation": pick("identity", "logistic", "tanh", "relu"),
        "solver": solver,
        "alpha": pick(0.0, 1e-4, 0.1, 1.0),
        "random_state": int(rng.integers(1000)),
        "tol": pick(0.0, 1e-6, 1e-4, 1e-2),
        "warm_start": SEQUENCES[sequence][1],
    }
    if task in TASKS[6:]:
        params["loss"] = "poisson"
    if solver == "lbfgs":
        n_calls = len(SEQUENCES[sequence][0])
        params["max_iter"] = int(rng.integers(1, 25 // n_calls + 1))
        params["max_fun"] = pick(15000, 15000, 10)
        return Case(task, sequence, layout, params, weighted, seed)
    params |= {
        "batch_size": pick("auto", 7, 32, 1000),
        "learning_rate": pick("constant", "invscaling", "adaptive"),
        "learning_rate_init": pick(1e-4, 1e-3, 1e-2),
        "power_t": pick(0.2, 0.5),
        "max_iter": pick(3, 10, 50),
        "shuffle": pick(True, True, False),
        "momentum": pick(0.0, 0.5, 0.9),
        "nesterovs_momentum": pick(True, False),
        "early_stopping": "partial_fit" not in SEQUENCES[sequence][0] and pick(True, False),
        "validation_fraction": pick(0.1, 0.3),
        "beta_1": pick(0.9, 0.5),
        "beta_2": pick(0.999, 0.9),
        "epsilon": pick(1e-8, 1e-3),
        "n_iter_no_change": pick(1, 3, 10, math.inf),
    }
    return Case(task, sequence, layout, params, weighted, seed)


def make_data(case: Case, rng: np.random.Generator) -> tuple[Any, Any, np.ndarray | None]:
    """Draw X, y and weights."""
    n, n_features = int(rng.integers(40, 130)), int(rng.integers(1, 15))
    X = rng.normal(size=(n, n_features))
    signal = X @ rng.normal(size=(n_features, 4)) + 0.5 * rng.normal(size=(n, 4))
    weight = rng.uniform(0.2, 3, n) if case.weighted else None
    if weight is not None and case.params.get("batch_size") == "auto":
        weight[rng.random(n) < 0.2] = 0  # a batch of zeros only would be scikit-learn's end
    return lay_out(X, case.layout), make_targets(case.task, signal, rng), weight


def lay_out(X: np.ndarray, layout: str) -> Any:
    """Store X in one of the layouts."""
    if layout == "fortran":
        return np.asfortranarray(X)
    if layout == "strided":
        wide = np.full((2 * len(X), X.shape[1] + 3), np.nan)
        wide[::2, 1:-2] = X
        return wide[::2, 1:-2]
    if layout == "integers":
        return np.round(2 * X).astype(np.int64)
    if layout.startswith("cs"):
        sparse = np.where(np.abs(X) > 0.6, X, 0)
        containers = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "csr_array": sp.csr_array}
        return containers[layout](sparse)
    return X


def make_targets(task: str, signal: np.ndarray, rng: np.random.Generator) -> Any:
    """Draw targets that depend on a signal [n × 4]."""
    if task == "binary":
        return np.array(["no", "yes"])[(signal[:, 0] > 0).astype(int)]
    if task == "multiclass":
        names = ([10, 3, 7], [1.0, 5.0, 2.0], ["b", "a", "c"])[rng.integers(3)]
        return np.array(names)[signal[:, :3].argmax(axis=1)]
    if task == "multilabel":
        return (signal[:, :3] > 0.3).astype(int)
    if task == "sparse_multilabel":
        return sp.csr_matrix((signal > 0.3).astype(int))
    scaled = signal / signal.std()
    if task == "regression":
        return scaled[:, 0]
    if task == "multioutput":
        return scaled[:, :3]
    counts = rng.poisson(np.exp(np.clip(scaled, -3, 1.5)))
    return counts[:, 0] if task == "poisson" else counts[:, :2]


def all_classes(task: str, y: Any) -> Any:
    """Return what ``partial_fit`` takes as classes; None for regression."""
    if task not in CLASSIFICATION:
        return None
    return np.arange(y.shape[1]) if y.ndim == 2 else np.unique(y)


def lacks_classes(part: Any, whole: Any) -> bool:
    """Tell whether some label of the whole is missing in a part."""
    return whole.ndim == 1 and set(part) != set(whole)


def move_last_bits(X: Any, rng: np.random.Generator) -> Any:
    """Return X with its values changed by at most one unit in the last place."""
    if sp.issparse(X):
        X = X.copy()
        X.data = move_last_bits(X.data, rng)
        return X
    return np.nextafter(X, X + rng.choice([-1.0, 0.0, 1.0], X.shape))
