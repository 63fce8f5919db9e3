# SPDX-License-Identifier: BSD-3-Clause
"""Promise 1: 20,000 random inputs are refused by name, or have the bits of plain ones.

Each case draws data, a form for them (type, order, strides, alignment, byte order, container), a
spoiler now and then, and parameters, valid or not; fits, predicts, and compares with the same
numbers in plain C-contiguous arrays. Cases run in shards, processes of their own that a watchdog
kills when a case takes too long, so that a crash or a hang is a finding that names its case:

    python tests/jobs/inputs.py --case 1234

The long form runs all cases, and again under AddressSanitizer and UndefinedBehaviorSanitizer.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import re
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
N_CASES, N_SHORT, N_SANITIZED = 20_000, 1_200, 20_000
SLOWEST_CASE = 100.0  # seconds; none takes a tenth of one, but the machine may be busy
SLOWEST_START = 300.0  # until the first case
SHARDS = 2
#: What `--planted` does in case 5, and what the watchdog or the comparison must call it.
PLANTED = {"crash": "signal", "hang": "hang", "bits": "differs", "error": "KeyError"}
SANITIZED = {"overflow": "AddressSanitizer: heap-buffer-overflow"}


# One case

KINDS = ("f8", "f4", "f2", "g", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "O", "U")
FORMS = ("C", "F", "columns apart", "rows apart", "padded", "rows reversed", "columns reversed")
FORMS += ("misaligned", "swapped", "read-only", "mapped", "list", "subclass", "pandas", "polars")
FORMS += ("nullable", "csr", "csc", "coo", "lil", "csr_array", "csc_array", "int64 csr", "masked")
FORMS += ("unsorted csr", "duplicate csr", "memoryview")
SPARSE = ("csr", "csc", "coo", "lil", "csr_array", "csc_array", "int64 csr")
#: scikit-learn's validation makes float64 of these, also where they hold float32.
AS_FLOAT64 = ("list", "memoryview", "polars")
SPOILERS: dict[str, Any] = {
    "nan": np.nan,
    "inf": np.inf,
    "-inf": -np.inf,
    "1e300": 1e300,
}
ODD_VALUES = (
    0,
    -1,
    2,
    3.5,
    True,
    "a",
    None,
    np.nan,
    np.inf,
    -np.inf,
    1e300,
    1e-300,
    10**400,
    2**63,
)
ODD_VALUES += ([], (), (2,), [0.5], {}, np.float32(0.5), np.int64(3), np.array(2), b"a", 1j, object)


def draw_params(rng: np.random.Generator, regressor: bool) -> tuple[dict[str, Any], str | None]:
    """Return parameters, and the name of one that is odd."""
    choose = lambda *values: values[rng.integers(len(values))]  # noqa: E731
    params: dict[str, Any] = {
        "hidden_layer_sizes": choose((), (3,), (5, 2), (17,), (33,)),
        "activation": choose("relu", "tanh", "logistic", "identity", "gelu", "softplus"),
        "solver": choose("adam", "adam", "sgd", "lbfgs"),
        "batch_size": choose("auto", 1, 7),
        "max_iter": int(choose(1, 2)),
        "dtype": choose("auto", "float32", "float64"),
        "shuffle": bool(choose(True, False)),
        "random_state": 0,
        "n_jobs": choose(None, 1, 2),
    }
    if regressor:
        params["loss"] = choose("squared_error", "huber", "quantile", "absolute_error")
    if rng.random() < 0.25:
        params["early_stopping"] = True
    odd = None
    if rng.random() < 0.2:
        from fastbp import BackpropClassifier, BackpropRegressor

        names = sorted((BackpropRegressor if regressor else BackpropClassifier)().get_params())
        names.remove("verbose")  # would print
        odd = choose(*names)
        params[odd] = ODD_VALUES[rng.integers(len(ODD_VALUES))]
        if odd in ("max_iter", "max_fun"):
            params["max_time"] = 0.05
    return params, odd


def draw_numbers(rng: np.random.Generator, kind: str) -> np.ndarray:
    """Return plain X in float64 (or float32 for that), of numbers that a type holds."""
    n_features = int(rng.choice([1, 2, 3, 5, 9, 40, 130]))
    shape = (int(rng.choice([1, 2, 3, 8, 31, 32, 33, 60])), n_features)
    X = rng.integers(0, 2 if kind == "?" else 4, shape).astype(np.float64)
    if n_features > 9:
        X[rng.random(shape) < 0.95] = 0
    if kind in ("f8", "f4", "f2", "g", "O", "i1", "i2", "i4", "i8"):
        X = -X
    if kind in ("f8", "g", "O"):
        X = X * rng.normal(size=shape)
    return X


def in_form(X: np.ndarray, form: str, kind: str, rng: np.random.Generator, folder: Path) -> Any:
    """Return X in a type and a form."""

    values = X.astype(kind)
    if form == "F":
        return np.asfortranarray(values)
    if form == "columns apart":
        return np.repeat(values, 2, axis=1)[:, ::2]
    if form == "rows apart":
        return np.repeat(values, 3, axis=0)[::3]
    if form == "padded":
        return np.pad(values, ((1, 2), (2, 1)), mode="edge")[1:-2, 2:-1]
    if form == "rows reversed":
        return values[::-1].copy()[::-1]
    if form == "columns reversed":
        return values[:, ::-1].copy()[:, ::-1]
    if form == "misaligned" and kind not in "OU":
        raw = np.zeros(values.nbytes + 1, np.uint8)
        moved = raw[1:].view(values.dtype).reshape(values.shape)
        moved[...] = values
        return moved
    if form == "swapped" and kind not in "OU":
        return values.astype(values.dtype.newbyteorder())
    if form == "read-only":
        values.setflags(write=False)
    if form == "mapped" and kind != "O":
        np.save(folder / "X.npy", values)
        return np.load(folder / "X.npy", mmap_mode="r")
    if form == "list":
        return values.tolist()
    if form == "subclass":
        return values.view(type("Mine", (np.ndarray,), {}))
    if form == "memoryview" and kind in ("f8", "f4", "i4", "i8"):
        return memoryview(values)
    if form in ("pandas", "nullable"):
        import pandas as pd

        frame = pd.DataFrame(values, columns=[f"x{i}" for i in range(X.shape[1])])
        nullable = form == "nullable" and kind not in ("O", "U", "g", "f2", "f4")
        return frame.convert_dtypes() if nullable else frame
    if form == "polars" and kind not in ("O", "g", "f2"):
        import polars as pl

        return pl.DataFrame({f"x{i}": values[:, i] for i in range(X.shape[1])})
    if form == "masked":
        return np.ma.masked_array(values)
    if kind not in "OU?" and kind not in ("f2", "g") and ("csr" in form or form in SPARSE):
        return as_sparse(values, form, rng)
    return values


def as_sparse(values: np.ndarray, form: str, rng: np.random.Generator) -> Any:
    import scipy.sparse as sp

    if form in SPARSE and form != "int64 csr":
        return getattr(sp, form if "array" in form else f"{form}_matrix")(values)
    X = sp.csr_array(values)
    if form == "int64 csr":
        X.indices, X.indptr = X.indices.astype(np.int64), X.indptr.astype(np.int64)
    if form == "unsorted csr":
        for start, end in zip(X.indptr[:-1], X.indptr[1:], strict=True):
            order = start + rng.permutation(end - start)
            X.indices[start:end], X.data[start:end] = X.indices[order], X.data[order]
        X.has_sorted_indices = False
    if form == "duplicate csr" and values.dtype.kind == "f":
        X = sp.csr_array(
            (np.repeat(X.data, 2) / 2, np.repeat(X.indices, 2), 2 * X.indptr), shape=X.shape
        )
    return X


def draw_y(rng: np.random.Generator, n: int, regressor: bool) -> tuple[Any, Any]:
    """Return y plainly, and in some form."""
    if regressor:
        y = rng.normal(size=(n, 2)) if rng.random() < 0.2 else rng.normal(size=n)
        forms = [
            y.copy(),
            np.asfortranarray(y),
            y.astype(">f8"),
            y.tolist(),
            np.repeat(y, 2, 0)[::2],
        ]
    else:
        y = rng.integers(0, rng.choice([1, 2, 3]), n)
        forms = [
            y.astype("i1"),
            y.tolist(),
            y.astype(">i8"),
            np.repeat(y, 2)[::2],
            y[::-1].copy()[::-1],
        ]
    return y, forms[rng.integers(len(forms))]


def run_case(number: int, folder: Path, planted: str | None = None) -> tuple[str, str]:
    """Run a case; return what came of it, and what it was. Raise AssertionError for a finding."""
    from fastbp import BackpropClassifier, BackpropRegressor

    rng = np.random.default_rng([7, number])
    regressor = bool(rng.integers(2))
    kind = KINDS[rng.integers(len(KINDS))]
    form = FORMS[rng.integers(len(FORMS))]
    params, odd = draw_params(rng, regressor)
    X = draw_numbers(rng, kind)
    spoiler = None
    if rng.random() < 0.1 and kind in ("f8", "g", "O", "f4"):
        spoiler = list(SPOILERS)[rng.integers(len(SPOILERS))]
        X = np.where(X == X[0, 0], SPOILERS[spoiler], X)
    y, y_given = draw_y(rng, len(X), regressor)
    weight = None
    if rng.random() < 0.2:
        weight = rng.integers(0, 3, len(X)).astype(rng.choice(["f8", "f4", "i8", ">f8"]))
    plain_kind = np.float32 if kind == "f4" and form not in AS_FLOAT64 else np.float64
    with np.errstate(all="ignore"):
        given = in_form(X, form, kind, rng, folder)
        plain = X.astype(plain_kind)
    estimator = BackpropRegressor if regressor else BackpropClassifier
    what = f"{estimator.__name__} {kind} {form} {X.shape} spoiler={spoiler} odd={odd} {params}"

    if planted == "crash":
        os.abort()
    if planted == "hang":
        time.sleep(10**6)
    if planted == "overflow":
        ctypes.memset(np.zeros(16, np.uint8).ctypes.data, 1, 64)
    if planted == "error":
        given = type("Broken", (), {"__array__": lambda *_: {}["no such"]})()
    if planted == "bits":
        given = np.where(plain == 0, 0.5, -plain).astype("f8")
        odd = spoiler = None
    found = outcome(estimator, params, given, y_given, weight)
    if callable(params.get("scoring")):
        return found[0], what  # what the user's own function raises is its own affair
    check_refusal(found, params, what)
    if "masked" in type(given).__name__.lower():
        named = "masked" in found[1] or odd is not None
        assert found[0] == "refused" and named, f"mask ignored: {what}"
        return "refused", what
    if odd is not None and odd in ("max_iter", "max_fun", "max_time", "random_state"):
        return found[0], what  # the clock decides, or chance
    expected = outcome(estimator, params, plain, y, weight)
    check_refusal(expected, params, what)
    assert found[0] == expected[0], f"{found[:2]} differs from {expected[:2]} of plain X: {what}"
    if found[0] == "fitted":
        for mine, other in zip(found[1], expected[1], strict=True):
            nan = mine.dtype.kind == "f"  # a gradient may overflow, where predictions do not
            same = np.array_equal(mine, other.astype(mine.dtype), equal_nan=nan)
            assert same, f"differs from plain X: {what}"
    return found[0], what


def outcome(estimator: Any, params: Any, X: Any, y: Any, weight: Any) -> tuple[str, Any]:
    """Fit and predict: arrays, or the error's message with its type."""
    model = estimator(**params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = set(vars(model))
        try:
            model.fit(X, y, weight)
        except Exception as error:
            assert set(vars(model)) == before, "a failed fit left attributes"
            kind = "refusal" if isinstance(error, REFUSALS) else "failure"
            return "refused", f"{kind}, {type(error).__name__}: {error}"
        results = [*model.coefs_, *model.intercepts_]
        assert all(np.isfinite(array).all() for array in results), "weights that are not finite"
        results += [np.asarray(getattr(model, name)(X)) for name in ("predict",)]
        if hasattr(model, "predict_proba"):
            results.append(model.predict_proba(X))
        results.append(model.loss_gradient(X, y).X if len(results[-1]) else results[-1])
        return "fitted", results


#: NotFittedError and InvalidParameterError are among them.
REFUSALS = (ValueError, TypeError, MemoryError)


def check_refusal(found: tuple[str, Any], params: dict[str, Any], what: str) -> None:
    """Raise AssertionError unless an error is of a type that it may be, and names a culprit."""
    if found[0] == "refused":
        kind, _, message = found[1].partition(": ")
        assert kind.startswith("refusal"), f"{found[1]}: {what}"
        culprits = rf"\b(X|y|{'|'.join(params)}|array|input|validation_fraction|weights)\b"
        assert re.search(culprits, message, re.I), f"names no culprit: {found[1]}: {what}"


# Shards, and the watchdog


def run_shard(first: int, step: int, last: int, planted: str | None, folder: Path) -> None:
    """Run cases, printing each number before the case, so that the watchdog knows."""
    counts: Counter[str] = Counter()
    for number in range(first, last, step):
        print(f"case {number}", flush=True)
        try:
            result, _ = run_case(number, folder, planted if number == 5 else None)
        except Exception as error:
            print(
                f"finding {number} {type(error).__name__}: {error}".replace("\n", " "), flush=True
            )
            continue
        counts[result] += 1
    print(f"done {counts['fitted']} {counts['refused']}", flush=True)


def watch(first: int, step: int, last: int, planted: str | None, env: dict[str, str]) -> Any:
    """Start a shard, and return a function that gives its counts and findings."""
    command = [sys.executable, str(HERE), "--shard", str(first), str(step), str(last)]
    if planted:
        command += ["--planted", planted]
    log = tempfile.TemporaryFile("w+")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=env)
    return process, log


def finish(shards: list[Any], patience: float) -> tuple[Counter[str], list[tuple[int, str]]]:
    """Wait for shards; a case that takes longer than patience is a hang."""
    counts: Counter[str] = Counter()
    findings: list[tuple[int, str]] = []
    seen = {id(log): (0, time.monotonic()) for _, log in shards}
    waiting = list(shards)
    while waiting:
        time.sleep(0.05)
        for process, log in list(waiting):
            size = os.fstat(log.fileno()).st_size
            if size != seen[id(log)][0]:
                seen[id(log)] = size, time.monotonic()
            silence = time.monotonic() - seen[id(log)][1]
            hangs = silence > (patience if size else SLOWEST_START)
            if process.poll() is None and not hangs:
                continue
            if hangs:
                process.kill()
                process.wait()
            waiting.remove((process, log))
            log.seek(0)
            lines = log.read().splitlines()
            log.close()
            last = [line.split()[1] for line in lines if line.startswith("case ")]
            number = int(last[-1]) if last else -1
            for line in lines:
                if line.startswith("finding "):
                    _, case, text = line.split(" ", 2)
                    findings.append((int(case), text))
                if line.startswith("done "):
                    counts["fitted"] += int(line.split()[1])
                    counts["refused"] += int(line.split()[2])
            if hangs:
                findings.append((number, f"hang: more than {patience:.0f} s"))
            elif not lines or not lines[-1].startswith("done "):
                said = lines[len(lines) - lines[::-1].index(f"case {number}") :] if last else lines
                tail = " | ".join(said[:60])  # a sanitizer's report begins with what it found
                findings.append((number, f"killed by signal, status {process.returncode}: {tail}"))
    return counts, findings


def catch_planted(env: dict[str, str], faults: dict[str, str]) -> None:
    """Raise unless faults of each kind, planted in case 5, are found, and nothing else."""
    for planted, sign in faults.items():
        patience = 8 if planted == "hang" else SLOWEST_CASE
        _, findings = finish([watch(5, 1, 7, planted, env)], patience)
        if len(findings) != 1 or findings[0][0] != 5 or sign not in findings[0][1]:
            raise SystemExit(f"a planted fault, {planted}, was not caught: {findings}")
    print(f"planted faults caught: {', '.join(faults)}")


def sweep(n_cases: int, env: dict[str, str], patience: float, title: str) -> bool:
    """Run all cases; print figures and findings; tell whether there were none."""
    begin = time.monotonic()
    shards = [watch(i, SHARDS, n_cases, None, env) for i in range(SHARDS)]
    counts, findings = finish(shards, patience)
    seconds = time.monotonic() - begin
    print(
        f"{title}: {n_cases} cases in {SHARDS} shards: {counts['fitted']} accepted, with the bits "
        f"of plain arrays, {counts['refused']} refused, {len(findings)} findings, {seconds:.0f} s"
    )
    for number, text in findings[:20]:
        print(f"  python tests/jobs/inputs.py --case {number}\n    {text[:2000]}")
    return not findings


def sanitized_environment(folder: Path) -> dict[str, str]:
    """Build the extension with sanitizers; return the environment to run it in."""
    build = (
        f"source tests/jobs/planted.bash; build_apart {folder} FASTBP_SANITIZE=address,undefined"
    )
    subprocess.run(["bash", "-euc", build], check=True)
    (module,) = folder.glob("fastbp/_core*.so")
    assert b"__asan_init" in module.read_bytes(), "built without sanitizers"
    libraries = [
        subprocess.run(
            ["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    return {
        **os.environ,
        "PYTHONPATH": str(folder),
        "PYTHONMALLOC": "malloc",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "LD_PRELOAD": " ".join(libraries),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="all cases; and with sanitizers")
    parser.add_argument("--case", type=int, help="run one case, and show it")
    parser.add_argument("--cases", type=int, help="how many cases")
    parser.add_argument("--shard", type=int, nargs=3, help=argparse.SUPPRESS)
    parser.add_argument("--planted", help=argparse.SUPPRESS)
    options = parser.parse_args()
    work = Path(os.environ.get("JOBS_WORK") or tempfile.mkdtemp())
    if options.case is not None:
        print(*run_case(options.case, work), sep="\n")
        return 0
    if options.shard:
        with tempfile.TemporaryDirectory(dir=work) as folder:
            run_shard(*options.shard, options.planted, Path(folder))
        return 0
    env = {**os.environ, "JOBS_WORK": str(work)}
    catch_planted(env, PLANTED)
    n_cases = options.cases or (N_CASES if options.exhaustive else N_SHORT)
    good = sweep(n_cases, env, SLOWEST_CASE, "inputs")
    if options.exhaustive:
        sanitized = {**sanitized_environment(work / "sanitized"), "JOBS_WORK": str(work)}
        catch_planted(sanitized, SANITIZED)
        n_cases = options.cases or N_SANITIZED
        good &= sweep(n_cases, sanitized, 3 * SLOWEST_CASE, "inputs under ASan and UBSan")
    return not good


if __name__ == "__main__":
    sys.exit(main())
