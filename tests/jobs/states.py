# SPDX-License-Identifier: BSD-3-Clause
"""Random edits of pickled states: each is refused with a ValueError, or loads to a valid model.

States of models of all kinds are edited at random: values replaced, removed, swapped, cut short,
in every depth; files of pickle and skops have bytes flipped, cut off or doubled. A state that an
estimator accepts must predict as a sound one does, without any error, and train on without any but
those that a user's own data or parameters may cause. Batches of cases run in processes of their
own, so that a crash or a hang is a finding that names its case:

    python tests/jobs/states.py --case 1234
"""

from __future__ import annotations

import argparse
import copy
import io
import json
import os
import pickle
import subprocess
import sys
import warnings
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
N_SHORT, N_LONG, BATCH = 1_500, 200_000, 1_500
SECONDS = 120  # that a batch may take; it takes some

REFUSALS = (ValueError, TypeError, MemoryError)
#: What unpickling may fail with before an estimator is asked anything.
BROKEN = (Exception,)

X = np.random.default_rng(0).normal(size=(24, 4))
Y = (X[:, 0] > 0).astype(int)


def fit_models() -> list[Any]:
    """Return models of all kinds."""
    from fastbp import BackpropClassifier, BackpropRegressor

    several = np.c_[Y, 1 - Y, Y]
    small: dict[str, Any] = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            BackpropClassifier(**small).fit(X, Y),
            BackpropClassifier(**small, solver="lbfgs").fit(X, np.arange(24) % 3),
            BackpropClassifier(**small, solver="sgd").fit(X, several),
            BackpropClassifier(**small, early_stopping=True).fit(X, np.array(["a", "b"])[Y]),
            BackpropRegressor(**small).fit(X, Y),
            BackpropRegressor("quantile", quantile=[0.1, 0.9], **small).fit(X, Y),
            BackpropRegressor("huber", **small, solver="sgd", momentum=0).fit(X, several),
            BackpropRegressor(),
        ]


# Edits of a state

ODD = (None, 0, -1, 1, 2**31, 2**63, 10**400, 0.5, np.nan, np.inf, True, "", "relu", "a" * 50, b"x")
ODD += ([], (), {}, [None], [[]], ("relu",), np.array([]), np.array(3.0), np.zeros((2, 2)), object)
ODD += (np.array([np.nan]), np.array(["a"], object), np.zeros((4, 3), int), 1j, np.float32(1))


def containers(value: Any) -> list[tuple[Any, Any]]:
    """Return every place in a state where a value lies: its container and key."""
    if isinstance(value, dict):
        places = [(value, key) for key in value]
    elif isinstance(value, list):
        places = [(value, i) for i in range(len(value))]
    else:
        return []
    return places + [place for part in places for place in containers(part[0][part[1]])]


def edit(state: dict[str, Any], rng: np.random.Generator) -> None:
    """Change a state in some places; most are fitted attributes."""
    for _ in range(int(rng.integers(1, 4))):
        places = containers(state)
        fitted = [
            place for place in places if place[0] is not state or place[1].strip("_") != place[1]
        ]
        chosen = fitted if fitted and rng.random() < 0.8 else places
        container, key = chosen[rng.integers(len(chosen))]
        how = rng.integers(6)
        if how == 0:
            del container[key]
        elif how == 1:
            other, at = places[rng.integers(len(places))]
            if at in other if isinstance(other, dict) else at < len(other):
                container[key] = copy.deepcopy(other[at])
        elif how == 2 and isinstance(container[key], np.ndarray):
            container[key] = edited_array(container[key], rng)
        elif how == 3 and isinstance(container[key], int | float):
            container[key] = type(container[key])(container[key] + rng.choice([-1, 1, 100]))
        else:
            container[key] = ODD[rng.integers(len(ODD))]
        if not state:
            return


def edited_array(array: np.ndarray, rng: np.random.Generator) -> Any:
    """Return an array of another shape, type, order or value."""
    kind = rng.choice(["f2", "f4", "f8", ">f4", "g", "i8", "O", "c16", "U5"])
    spoiled = array.copy()
    if spoiled.size and spoiled.dtype.kind == "f":
        spoiled.flat[0] = rng.choice([np.nan, np.inf, -1e30, 1e38])
    with np.errstate(all="ignore"):
        changes = [array[:-1], array.T, array.ravel(), array[..., None], spoiled, array.tolist()]
        changes += [np.ma.masked_array(array), array.astype(kind) if array.dtype.kind == "f" else 0]
    return changes[rng.integers(len(changes))]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """Return bytes with some flipped, cut off or doubled."""
    changed = bytearray(data)
    how = rng.integers(4)
    if how == 0:
        return bytes(changed[: rng.integers(len(changed))])
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(changed)))
        if how == 1:
            changed[at] ^= 1 << int(rng.integers(8))
        elif how == 2:
            changed[at] = int(rng.integers(256))
        else:
            changed[at:at] = changed[at : at + int(rng.integers(1, 9))]
    return bytes(changed)


class Unpickler(pickle.Unpickler):
    """Finds what a model's pickle needs, and nothing that could do harm."""

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] not in ("fastbp", "numpy", "_codecs") or name.startswith("__"):
            raise pickle.UnpicklingError(f"{module}.{name}")
        if module.startswith("numpy") and name not in (
            "_reconstruct",
            "ndarray",
            "dtype",
            "scalar",
            "_frombuffer",
        ):
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def damaged_skops(model: Any, rng: np.random.Generator) -> bytes:
    """Return a skops file whose schema or arrays were edited, its checksums being right."""
    from skops.io import dumps

    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(dumps(model))) as source, zipfile.ZipFile(out, "w") as target:
        names = source.namelist()
        victim = names[rng.integers(len(names))] if rng.random() < 0.7 else "schema.json"
        for name in names:
            data = source.read(name)
            if name == victim and name != "schema.json":
                data = damaged(data, rng)
            elif name == victim:
                schema = json.loads(data)
                places = [p for p in containers(schema) if p[1] not in ("__loader__", "__module__")]
                container, key = places[rng.integers(len(places))]
                other, at = places[rng.integers(len(places))]
                container[key] = copy.deepcopy(other[at])
                data = json.dumps(schema).encode()
            target.writestr(name, data)
    return out.getvalue()


# One case


def load_case(number: int, models: list[Any]) -> Any:
    """Return what a damaged state or file loads to; raise what loading raises."""
    rng = np.random.default_rng([11, number])
    model = models[rng.integers(len(models))]
    way = rng.random()
    if way < 0.7:
        state = copy.deepcopy(model.__getstate__())
        edit(state, rng)
        loaded = object.__new__(type(model))
        try:
            loaded.__setstate__(state)
        except ValueError:
            raise
        except Exception as error:
            raise AssertionError(f"__setstate__ raised {type(error).__name__}: {error}") from error
        return loaded
    if way < 0.9:
        return Unpickler(io.BytesIO(damaged(pickle.dumps(model), rng))).load()
    from skops.io import get_untrusted_types, loads

    data = damaged_skops(model, rng)
    names = [name for name in get_untrusted_types(data=data) if name.startswith("fastbp.")]
    return loads(data, trusted=names)


def use(model: Any) -> None:
    """Call all that reads a state. One that is fitted must predict; else there may be refusals."""
    repr(model)
    model.set_params(n_jobs=1, matmul_precision="highest", max_iter=1, verbose=False, max_time=None)
    given, target = X, Y
    if hasattr(model, "coefs_"):
        vars(model).pop("feature_names_in_", None)
        given = np.resize(X, (24, model.n_features_in_))
        target = model.predict(given)
        assert len(model.predict(given[1:])) == 23
        assert len(target) == 24
    for call in (
        lambda twin: twin.transform(given),
        lambda twin: twin.loss_gradient(given, target),
        lambda twin: twin.partial_fit(given, target),
        lambda twin: twin.fit(given, target),
    ):
        try:
            call(copy.deepcopy(model))
        except REFUSALS:
            pass
        except AttributeError as error:
            assert "has no attribute 'partial_fit'" in str(error), repr(error)


def run_case(number: int, models: list[Any], planted: str | None = None) -> str:
    """Run a case, and return what came of it; raise AssertionError for a finding."""
    from fastbp._base import BaseBackprop

    try:
        loaded = load_case(number, models)
    except AssertionError:
        raise
    except BROKEN as error:
        return "refused" if "no state of a" in str(error) else "broken before it was asked"
    if not isinstance(loaded, BaseBackprop) or "alpha" not in vars(loaded):
        return "not an estimator"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            use(loaded)
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"loaded, but {type(error).__name__}: {error}") from error
    return "loaded"


# Batches of cases


def run_batch(first: int, last: int, planted: str | None) -> None:
    """Run cases in this process, and print what came of them."""
    if planted == "believes":
        from fastbp import _state

        _state._check_fitted = lambda model, attributes: None  # type: ignore[assignment]
    models = fit_models()
    counts: Counter[str] = Counter()
    for number in range(first, last):
        print(f"case {number}", flush=True)
        if planted == "crash" and number == first + 3:
            os.abort()
        try:
            counts[run_case(number, models)] += 1
        except AssertionError as error:
            print(f"finding {number} {error}".replace("\n", " ")[:600], flush=True)
    print(f"done {json.dumps(counts)}", flush=True)


def sweep(n_cases: int, planted: str | None = None) -> tuple[Counter[str], list[str]]:
    """Run batches; return the counts of what came of cases, and the findings."""
    counts: Counter[str] = Counter()
    findings: list[str] = []
    for first in range(0, n_cases, BATCH):
        command = [
            sys.executable,
            str(HERE),
            "--batch",
            str(first),
            str(min(first + BATCH, n_cases)),
        ]
        command += ["--planted", planted] if planted else []
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
            lines, end = done.stdout.splitlines(), f"status {done.returncode}: {done.stderr[-600:]}"
        except subprocess.TimeoutExpired as error:
            lines, end = (error.stdout or b"").decode().splitlines(), f"hangs for {SECONDS} s"
        findings += [line for line in lines if line.startswith("finding ")]
        if lines and lines[-1].startswith("done "):
            counts.update(json.loads(lines[-1][5:]))
        else:
            findings.append(f"{lines[-1] if lines else 'no case'}: {end}")
    return counts, findings


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="more cases")
    parser.add_argument("--case", type=int, help="run one case, and show what it loads to")
    parser.add_argument("--batch", type=int, nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--planted", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        print(run_case(options.case, fit_models()))
        return 0
    if options.batch:
        run_batch(*options.batch, options.planted)
        return 0
    for planted, sign in (("believes", "loaded, but"), ("crash", "status -6")):
        _, findings = sweep(60 if planted == "believes" else 9, planted)
        if not any(sign in finding for finding in findings):
            print(f"a planted fault, {planted}, was not caught: {findings}")
            return 1
    print("planted faults caught: an estimator that believes its state, a crash")
    n_cases = N_LONG if options.exhaustive else N_SHORT
    counts, findings = sweep(n_cases)
    print(f"{n_cases} cases: {dict(counts)}; {len(findings)} findings")
    print("\n".join(findings[:30]))
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
