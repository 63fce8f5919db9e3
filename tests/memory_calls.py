# SPDX-License-Identifier: BSD-3-Clause
"""Calls of all kinds, small, for jobs that watch memory; and a library to be preloaded.

A call takes an estimator and returns what it gave, to be compared bit for bit.
"""

from __future__ import annotations

import copy
import ctypes
import os
import pickle
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp

from fastbp import BackpropClassifier, BackpropRegressor, _core

#: The dynamic linker, OpenMP and NumPy allocate for themselves: see tests/jobs/allocations.py.
EXEMPT = r"/ld-linux[^/]*$|/lib[gi]?omp[^/]*$|/_multiarray_umath[^/]*$"
SOURCE = Path(__file__).with_name("failing_memory.c")

rng = np.random.default_rng(0)
DENSE = rng.normal(size=(120, 5))
SPARSE = sp.csr_array(np.where(np.abs(DENSE) > 0.7, DENSE, 0))
Y = (DENSE[:, 0] + 0.3 * rng.normal(size=120) > 0).astype(int)
TARGETS = np.c_[np.exp(DENSE[:, 0]), 1 + Y]


class Call(NamedTuple):
    """What is called, on copies of which estimator."""

    name: str
    model: Any
    run: Callable[[Any], Any]
    y: Any = None


SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (6,),
    "max_iter": 2,
    "batch_size": 50,
    "random_state": np.random.RandomState(0),  # it must be as before, too
}
FITS: dict[str, tuple[type, dict[str, Any]]] = {
    "adam": (BackpropClassifier, {}),
    "sgd": (BackpropClassifier, {"solver": "sgd", "dropout": 0.2, "max_grad_norm": 1.0}),
    "lbfgs": (BackpropClassifier, {"solver": "lbfgs"}),
    "early stopping": (BackpropClassifier, {"early_stopping": True, "class_weight": "balanced"}),
    "deep": (
        BackpropClassifier,
        {"hidden_layer_sizes": (8, 7, 6), "activation": ["gelu", "tanh", "relu"]},
    ),
    "one-hot": (BackpropClassifier, {"label_smoothing": 0.1}),
    "float64": (BackpropRegressor, {"dtype": "float64"}),
    "quantile": (BackpropRegressor, {"loss": "quantile", "quantile": [0.1, 0.9]}),
    "huber": (BackpropRegressor, {"loss": "huber", "solver": "lbfgs"}),
    "gamma": (
        BackpropRegressor,
        {"loss": "gamma", "early_stopping": True, "learning_rate": "cosine"},
    ),
    "fast": (BackpropRegressor, {"matmul_precision": "medium", "solver": "sgd"}),
}
#: Those that are used in all ways.
MAIN = ("adam", "lbfgs", "early stopping", "float64")


def target_of(name: str) -> Any:
    if name == "one-hot":
        return np.c_[Y, 1 - Y, Y]
    return TARGETS if name in ("float64", "huber") else TARGETS[:, 0] if name == "gamma" else Y


def fit_of(X: Any, y: Any) -> Callable[[Any], Any]:
    return lambda model: model.fit(X, y)


def partial_fit_of(X: Any, y: Any, **options: Any) -> Callable[[Any], Any]:
    return lambda model: model.partial_fit(X, y, **options)


def saved_and_loaded(model: Any) -> Any:
    loaded = pickle.loads(pickle.dumps(model))
    return loaded, loaded.predict(DENSE)


def uses_of(X: Any, y: Any) -> dict[str, Callable[[Any], Any]]:
    """What is done with a fitted model."""
    return {
        "predict": lambda model: model.predict(X),
        "predict a row": lambda model: model.predict(X[:1]),
        "transform": lambda model: model.transform(X),
        "loss_gradient": lambda model: model.loss_gradient(X, y),
    }


def all_calls() -> Iterator[Call]:
    """Give every call: fits of every kind, then what a model of some kinds can do."""
    for name, (estimator, params) in FITS.items():
        y = target_of(name)
        for kind, X in (("dense", DENSE), ("sparse", SPARSE)):
            new = estimator(**{**SMALL, **params})
            yield Call(f"fit, {name}, {kind}", new, fit_of(X, y), y)
            if name in MAIN:
                yield from calls_of_fitted(f"{name}, {kind}", copy.deepcopy(new).fit(X, y), X, y)


def calls_of_fitted(name: str, model: Any, X: Any, y: Any) -> Iterator[Call]:
    for use, run in uses_of(X, y).items():
        yield Call(f"{use}, {name}", model, run)
    if isinstance(model, BackpropClassifier):
        yield Call(f"predict_proba, {name}", model, lambda model: model.predict_proba(X))
    if X is DENSE:
        yield Call(f"pickle, {name}", model, saved_and_loaded)
    warm = copy.deepcopy(model).set_params(warm_start="optimizer" if name[0] in "af" else True)
    yield Call(f"warm fit, {name}", warm, fit_of(X, y))
    if model.solver != "lbfgs" and not model.early_stopping:
        yield Call(f"partial_fit, {name}", model, partial_fit_of(X, y))
        new = type(model)(**model.get_params())
        classes = {"classes": [0, 1]} if isinstance(model, BackpropClassifier) else {}
        yield Call(f"first partial_fit, {name}", new, partial_fit_of(X, y, **classes))


# The library that is preloaded


def preloaded_environment(*others: str) -> dict[str, str]:
    """Compile the library; return the environment of a process that has it, before others.

    PYTHONMALLOC: each of Python's own objects is then a block of malloc's, too.
    """
    folder = os.environ.get("JOBS_WORK") or tempfile.mkdtemp()
    library = Path(folder, "failing_memory.so")
    compiler = os.environ.get("CC", "cc").split()
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    subprocess.run([*compiler, *flags, str(SOURCE), "-ldl", "-o", str(library)], check=True)
    return {
        **os.environ,
        "LD_PRELOAD": " ".join([str(library), *others]),
        "PYTHONMALLOC": "malloc",
        "OPENBLAS_NUM_THREADS": "1",
    }


def mapped(pattern: str) -> list[tuple[int, int]]:
    """Return where the mapped files lie whose names have a pattern."""
    ranges: dict[str, tuple[int, int]] = {}
    for line in Path("/proc/self/maps").read_text("utf-8").splitlines():
        span, *_, name = line.split(maxsplit=5)
        if re.search(pattern, name):
            begin, end = (int(address, 16) for address in span.split("-"))
            earlier = ranges.get(name, (begin, end))
            ranges[name] = (min(begin, earlier[0]), max(end, earlier[1]))
    return list(ranges.values())


class Memory:
    """The preloaded library; what it may fail are allocations of the extension module."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(None)
        self.library.stop_failing.restype = self.library.allocations_seen.restype = ctypes.c_long
        self.watch(re.escape(_core.__file__))
        for span in mapped(EXEMPT):
            self.library.exempt_code(*map(ctypes.c_size_t, span))

    def watch(self, pattern: str) -> None:
        (span,) = mapped(pattern)
        self.library.watch_module(*map(ctypes.c_size_t, span))

    def run(self, of_whom: int, at: int, lasting: bool, call: Callable[[], Any]) -> tuple[Any, int]:
        """Call, while an allocation fails; return the result or the error, and how many failed."""
        result: Any = None
        self.library.fail_allocations(of_whom, ctypes.c_long(at), lasting)
        try:
            result = call()
        except Exception as error:
            self.library.stop_failing()
            result = error
        return result, self.library.stop_failing()
