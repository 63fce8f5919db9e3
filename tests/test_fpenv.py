# SPDX-License-Identifier: BSD-3-Clause
"""The caller's floating-point environment: it is as before, flags included, and changes no bit.

Libraries set it behind their users' backs: one linked with fast math zeroes subnormal numbers in
the whole thread, and one that rounds another way may forget to put it back.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from fpenv import DEFAULT, FLAGS, KNOWN, MODES, get_mode, mode_set

from fastbp import BackpropClassifier, BackpropRegressor, _core

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.skipif(not KNOWN, reason="how this system keeps the environment is not known"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6))
X[:, 4] *= 1e-310  # subnormal
X[::3, 5] = 0
LABELS = RNG.choice(["a", "b", "c"], 120)
NUMBERS = X[:, :3] @ RNG.normal(size=(3, 2)) + 0.1 * RNG.normal(size=(120, 2))
WEIGHT = RNG.uniform(0.1, 2, 120)
WEIGHT[:5] = 1e-310
SMALL = {"hidden_layer_sizes": (8, 5), "max_iter": 4, "batch_size": 50, "random_state": 0}


def classifier(**params: Any) -> BackpropClassifier:
    return BackpropClassifier(**{**SMALL, **params})


def regressor(**params: Any) -> BackpropRegressor:
    return BackpropRegressor(**{**SMALL, **params})


MODEL = classifier().fit(X, LABELS)
WIDE = classifier(dtype="float64").fit(X, LABELS)
TWO = classifier(dtype="float64").fit(X, LABELS == "a")
NUMERIC = regressor(solver="lbfgs").fit(X, NUMBERS)


SINGLE, LARGE, CSR, CSC = X.astype(np.float32), X * 50, sp.csr_matrix(X), sp.csc_matrix(X)

RESTLESS = {"learning_rate": "adaptive", "alpha": 0.3, "n_iter_no_change": 1, "tol": 0.3}
CALLS: dict[str, Callable[[], Any]] = {
    "adam": lambda: classifier().fit(X, LABELS, WEIGHT),
    "sgd": lambda: classifier(solver="sgd", **RESTLESS).fit(X, LABELS),
    "lbfgs": lambda: classifier(solver="lbfgs").fit(X, LABELS, WEIGHT),
    "lbfgs, float32": lambda: classifier(solver="lbfgs", dtype="float32").fit(X, LABELS),
    "float64": lambda: regressor(dtype="float64").fit(X, NUMBERS, WEIGHT),
    "early stopping": lambda: classifier(early_stopping=True).fit(X, LABELS, WEIGHT),
    "own validation": lambda: regressor(early_stopping=True, scoring="r2").fit(
        X, NUMBERS, X_val=X[:50], y_val=NUMBERS[:50], sample_weight_val=WEIGHT[:50]
    ),
    "class_weight": lambda: classifier(class_weight="balanced").fit(X, LABELS),
    "smoothing, dropout, clipping, schedule": lambda: classifier(
        label_smoothing=0.1, dropout=0.3, max_grad_norm=0.2, learning_rate="cosine", warmup=0.1
    ).fit(X, LABELS),
    "quantiles": lambda: regressor(loss="quantile", quantile=[0.1, 0.7]).fit(X, NUMBERS[:, 0]),
    "huber": lambda: regressor(loss="huber", huber_delta=0.1).fit(X, NUMBERS),
    "sparse": lambda: classifier().fit(CSR, LABELS),
    "partial_fit": lambda: classifier().partial_fit(X, LABELS, classes=["a", "b", "c"]),
    "predict": lambda: MODEL.predict(X),
    "predict numbers": lambda: NUMERIC.predict(X),
    "predict_proba": lambda: MODEL.predict_proba(X),
    "predict_proba of a row": lambda: WIDE.predict_proba(X[:1]),
    "predict_proba of two classes": lambda: TWO.predict_proba(X),
    "predict_proba, float32 X": lambda: WIDE.predict_proba(SINGLE),
    "predict_proba, sparse": lambda: WIDE.predict_proba(CSC),
    "predict_log_proba": lambda: WIDE.predict_log_proba(LARGE),
    "score": lambda: NUMERIC.score(X, NUMBERS, WEIGHT),
    "transform": lambda: MODEL.transform(X),
    "loss_gradient": lambda: WIDE.loss_gradient(X, LABELS, WEIGHT),
    "pickle": lambda: pickle.loads(pickle.dumps(WIDE)),
}


def digest(result: Any) -> str:
    state = result.__getstate__() if hasattr(result, "get_params") else result
    return str(joblib.hash(state))


def under(mode: int, call: Callable[[], Any]) -> tuple[str, int]:
    """Return the digest of what a call gives under a mode, and the mode that it leaves."""
    with mode_set(mode):
        result = call()
        left = get_mode()
    return digest(result), left


@pytest.mark.parametrize("name", CALLS)
def test_the_callers_environment_is_kept_and_changes_nothing(name: str) -> None:
    expected = digest(CALLS[name]())
    for mode in MODES.values():
        found, left = under(mode, CALLS[name])
        assert left == mode, f"{mode:#x} became {left:#x}"
        assert found == expected, f"{mode:#x} changed the result"


@pytest.mark.parametrize("name", ["adam", "lbfgs", "predict_proba of two classes"])
def test_it_is_that_of_any_thread(name: str) -> None:
    expected = digest(CALLS[name]())
    found: list[tuple[str, int]] = []
    mode = MODES["all of it, and flags"]
    thread = threading.Thread(target=lambda: found.append(under(mode, CALLS[name])))
    thread.start()
    thread.join()
    assert found == [(expected, mode)]


@pytest.mark.parametrize("name", sorted(CALLS.keys() - {"pickle"}))
def test_a_failing_call_keeps_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **options: Any) -> None:
        assert get_mode() & ~FLAGS == DEFAULT
        np.ones(3) / 3  # which leaves a flag
        raise MemoryError

    for model in (MODEL, WIDE, TWO, NUMERIC):
        monkeypatch.setattr(type(model), "_outputs", fail)
        monkeypatch.setattr(type(model), "_make_net", fail)
    with mode_set(MODES["rounding up"]):
        try:
            CALLS[name]()
        except MemoryError:
            left = get_mode()
    assert left == MODES["rounding up"]


def test_without_care_it_would_change_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the tests above show something."""
    expected = digest(CALLS["lbfgs"]())
    monkeypatch.setattr(_core, "DefaultFpenv", contextlib.nullcontext)
    found, left = under(MODES["rounding up"], CALLS["lbfgs"])
    assert found != expected
    assert left != MODES["rounding up"]


IMPORT = """
import sys
sys.path.insert(0, "tests")
from fpenv import get_mode, set_mode
{others}
set_mode({mode})
import fastbp
from fastbp import _core
print(get_mode())
"""


OTHERS = "import joblib, numpy, scipy.optimize, scipy.sparse, sklearn.metrics, threadpoolctl"


def mode_after_import(others: str, mode: int) -> int:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", IMPORT.format(others=others, mode=mode)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return int(done.stdout)


def test_an_import_keeps_it() -> None:
    """Our own: NumPy's clears flags, and Python's arithmetic on files' times sets one."""
    mode = MODES["all of it, and flags"]
    assert mode_after_import(OTHERS + ", sklearn.model_selection", mode) == mode


def test_an_import_with_all_that_it_brings_sets_no_mode() -> None:
    assert mode_after_import("", DEFAULT) & ~FLAGS == DEFAULT
