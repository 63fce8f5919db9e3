# SPDX-License-Identifier: BSD-3-Clause
"""An error at any line of a fit leaves the estimator as it was; an interrupt, that or whole epochs.

A tracer raises before a line of the package runs: an error that nobody expects, then Ctrl-C's. A
fingerprint of every attribute and parameter, the generator of random numbers included, is taken
before and after. What an interrupted fit keeps is looked at by what it counted.
"""

from __future__ import annotations

import argparse
import copy
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from faults import Failing, Planted, digest_of_all
from models import ESTIMATORS, draw

from fastbp import BackpropClassifier, _interrupts

BATCH = 20
SOLVERS: dict[str, dict[str, Any]] = {
    "adam": {"solver": "adam"},
    "sgd": {"solver": "sgd", "learning_rate": "invscaling", "dropout": 0.1},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "scoring": "r2"},
}
Call = Callable[[Any], Any]


def fit(model: Any) -> Any:
    return model.fit(*draw(60))


def partial_fit(model: Any) -> Any:
    return model.partial_fit(*draw(60))


def kinds() -> Iterator[tuple[str, Any, Call]]:
    """Give names, estimators before a call, and the call."""
    for estimator in ESTIMATORS:
        for solver, params in SOLVERS.items():
            options = {"max_iter": 3, "batch_size": BATCH, "random_state": 0, **params}
            if estimator is BackpropClassifier and "scoring" in options:
                options["scoring"] = "accuracy"
            fitted = fit(estimator(**options))
            for kind, call in (("fit", fit), ("warm fit", fit), ("partial_fit", partial_fit)):
                if kind == "partial_fit" and solver in ("lbfgs", "early stopping"):
                    continue
                model = copy.deepcopy(fitted)
                model.set_params(
                    warm_start=kind == "warm fit", random_state=np.random.RandomState(1)
                )
                yield f"{estimator.__name__}, {solver}, {kind}", model, call


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def faults_of(before: Any, call: Call, at: int, error: type[BaseException]) -> Iterator[str]:
    """Fail at a line, and give what is wrong then."""
    model = copy.deepcopy(before)
    state, n_rows = digest_of_all(model), 0 if call is fit and not model.warm_start else model.t_
    failing = Failing(at, error)
    _interrupts.forget()
    try:
        with failing:
            call(model)
    except error:
        if digest_of_all(model) != state:
            yield f"{failing.where} changed the estimator"
    else:
        if not failing.where:
            return
        if error is Planted:
            yield f"the error at {failing.where} was swallowed"
        elif not model.interrupted_:
            yield f"the interrupt at {failing.where} was swallowed"
        elif model.solver != "lbfgs":
            earlier = before._optimizer.step_count if call is partial_fit else 0
            yield from wrong_counts(before, model, (n_rows, earlier), failing.where)


def wrong_counts(before: Any, model: Any, earlier: tuple[int, int], where: str) -> Iterator[str]:
    per_epoch = 54 if model.early_stopping else 60
    n_rows, updates = earlier[0], model._optimizer.step_count - earlier[1]
    epochs, rest = divmod(model.t_ - n_rows, per_epoch)
    if rest or updates != 3 * epochs or epochs not in (model.n_iter_, model.n_iter_ + 1):
        yield f"{where}: {model.t_ - n_rows} rows, {updates} updates, {model.n_iter_} epochs"
    if len(model.loss_curve_) - len(before.loss_curve_) * bool(n_rows) != model.n_iter_:
        yield f"{where}: a loss curve of another length"


def n_lines(before: Any, call: Call) -> int:
    with Failing(-1) as failing:
        call(copy.deepcopy(before))
    return failing.n_lines


def catches_planted_fault() -> bool:
    """A fit without a draft, and without what gives the estimator back what it had."""
    _, model, call = next(kinds())
    sound = type(model)
    careless = {"_snapshot": lambda self: self, "fit": sound.fit.__wrapped__}
    model.__class__ = type("Careless", (sound,), careless)
    total = n_lines(model, call)
    seen = [
        fault
        for at in range(total // 2, total, 40)
        for fault in faults_of(model, call, at, Planted)
    ]
    print(f"planted: a fit without a draft {'seen' if seen else 'NOT SEEN'}")
    return bool(seen)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--exhaustive", action="store_true", help="every line, not some")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(0)
    if not catches_planted_fault():
        return 1
    n_threads, n_failed, n_calls = blas_threads(), 0, 0
    for name, before, call in kinds():
        total = n_lines(before, call)
        lines = (
            range(1, total + 1) if options.exhaustive else random.sample(range(1, total + 1), 25)
        )
        faults = {
            fault
            for at in lines
            for error in (Planted, KeyboardInterrupt)
            for fault in faults_of(before, call, at, error)
        }
        if blas_threads() != n_threads:
            faults.add(f"BLAS was left with {blas_threads()} threads")
        n_calls += 2 * len(lines)
        n_failed += len(faults)
        for fault in sorted(faults):
            print(f"FAILED {name}: {fault}")
        if options.exhaustive:
            print(f"{name}: {total} lines", flush=True)
    print(f"{n_calls} calls failed at a line, {n_failed} left something")
    return bool(n_failed)


if __name__ == "__main__":
    sys.exit(main())
