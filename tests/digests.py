# SPDX-License-Identifier: BSD-3-Clause
"""What 24 estimators learn, as digests: the same on every machine, or else on purpose.

    python tests/digests.py             compare with tests/digests.txt
    python tests/digests.py --update    write that file anew, after a change in what is computed

A column of the file is for what has bits of its own: the fused families, all alike; `sse2`; and
families of split products, where `=` says that nothing was split. A column that this machine cannot
compute is kept (`amx` is computed by a build with FASTBP_EMULATE_AMX=1).

The samples are drawn as integers and scaled by powers of two, so that no library's arithmetic is in
them. Not among the estimators are solver 'lbfgs', whose steps SciPy and its BLAS compute, and
learning_rate 'invscaling', which takes a power from the C library.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from fastbp import BackpropClassifier, BackpropRegressor, _base, _core

Array = NDArray[Any]

FILE = Path(__file__).with_suffix(".txt")
FUSED = "fused"


class Data(NamedTuple):
    """Samples as a test hands them over."""

    X: Any
    y: Any
    sample_weight: Array | None = None


def _integers(seed: int, n: int, bits: int) -> Array:
    """Draw integers of so many bits: the raw output of a generator, which NumPy never changes."""
    return (np.random.PCG64(seed).random_raw(n) >> np.uint64(64 - bits)).astype(np.int64)


def _rows(n: int, n_features: int, seed: int = 1) -> Array:
    """Draw from -1 … 1, in steps that float32 holds."""
    return (_integers(seed, n * n_features, 21).reshape(n, n_features) - 2**20) / 2**20


def _sparse_rows(n: int, n_features: int) -> Any:
    X = _rows(n, n_features)
    X[_integers(9, X.size, 4).reshape(X.shape) > 0] = 0
    return sp.csr_array(X)


def _codes(n: int, n_classes: int) -> Array:
    return _integers(2, n, 16) % n_classes


def _numbers(n: int, n_outputs: int = 1, *, least: float = -1.0) -> Array:
    """Draw targets from `least` on, over a range of 2."""
    y = _integers(3, n * n_outputs, 16).reshape(n, n_outputs) / 2**15 + least
    return y[:, 0] if n_outputs == 1 else y


def _weights(n: int) -> Array:
    return _integers(4, n, 3) / 4


def _classifier(X: Any, n_classes: int, sample_weight: Array | None = None, **params: Any) -> Any:
    return BackpropClassifier, params, Data(X, _codes(X.shape[0], n_classes), sample_weight)


def _regressor(X: Any, y: Array, sample_weight: Array | None = None, **params: Any) -> Any:
    return BackpropRegressor, params, Data(X, y, sample_weight)


#: Estimator, parameters beside `fitted`'s, and samples, by name.
CONFIGURATIONS: dict[str, tuple[type, dict[str, Any], Data]] = {
    "binary": _classifier(_rows(150, 13), 2),
    "softmax nesterov": _classifier(_rows(150, 13), 4, activation="tanh", solver="sgd"),
    "multilabel plain sgd": (
        BackpropClassifier,
        {"activation": "logistic", "solver": "sgd", "momentum": 0.0},
        Data(_rows(150, 13), _integers(5, 450, 1).reshape(150, 3)),
    ),
    "dropout, smoothed": _classifier(
        _rows(150, 13), 3, activation="gelu", dropout=0.3, label_smoothing=0.1
    ),
    "float64, decay": _classifier(
        _rows(150, 13),
        3,
        activation="mish",
        weight_decay=0.1,
        dtype="float64",
        class_weight="balanced",
    ),
    "early stopping": _classifier(
        _rows(150, 13), 2, _weights(150), activation="silu", early_stopping=True
    ),
    "sparse": _classifier(_sparse_rows(150, 200), 3),
    "sparse float64": _regressor(
        _sparse_rows(150, 200), _numbers(150, 2), activation="tanh", dtype="float64"
    ),
    "momentum, adaptive": _regressor(
        _rows(150, 13),
        _numbers(150),
        activation="identity",
        solver="sgd",
        nesterovs_momentum=False,
        learning_rate="adaptive",
    ),
    "huber, cosine": _regressor(
        _rows(150, 13),
        _numbers(150),
        loss="huber",
        activation="elu",
        learning_rate="cosine",
        warmup=0.5,
        dtype="float64",
    ),
    "quantiles, one cycle": _regressor(
        _rows(150, 13),
        _numbers(150),
        loss="quantile",
        quantile=[0.1, 0.5, 0.9],
        activation="selu",
        learning_rate="one_cycle",
    ),
    "absolute error, clipped": _regressor(
        _rows(150, 13),
        _numbers(150, 2),
        loss="absolute_error",
        activation="leaky_relu",
        max_grad_norm=0.5,
    ),
    "poisson float64": _regressor(
        _rows(150, 13),
        _codes(150, 5).astype(float),
        loss="poisson",
        activation="softplus",
        dtype="float64",
    ),
    "gamma, weighted": _regressor(
        _rows(150, 13), _numbers(150, least=0.5), _weights(150), loss="gamma", activation="tanh"
    ),
    "weighted float64": _regressor(
        _rows(150, 13), _numbers(150, 3), _weights(150), dtype="float64", solver="sgd"
    ),
    "no hidden layers": _classifier(_rows(150, 13), 3, hidden_layer_sizes=()),
    "wide, few rows": _regressor(
        _rows(48, 30), _numbers(48), hidden_layer_sizes=(300, 260), batch_size=24
    ),
    "wide float64": _classifier(
        _rows(48, 30),
        3,
        hidden_layer_sizes=(200, 200),
        activation="logistic",
        dtype="float64",
        batch_size=24,
    ),
    "deep": _classifier(_rows(150, 13), 2, hidden_layer_sizes=(16,) * 6),
    "batch in chunks": _regressor(
        _rows(4500, 5), _numbers(4500), hidden_layer_sizes=9, batch_size=4500
    ),
    "layers of their own": _classifier(
        _rows(150, 13), 5, hidden_layer_sizes=(31, 1, 50), activation=("gelu", "relu", "mish")
    ),
    "partial fit": _regressor(_rows(150, 13), _numbers(150), activation="softplus"),
    "high precision": _classifier(
        _rows(96, 64), 3, hidden_layer_sizes=(64, 64), matmul_precision="high"
    ),
    "medium precision": _regressor(
        _rows(96, 64),
        _numbers(96),
        hidden_layer_sizes=(64, 64),
        activation="tanh",
        matmul_precision="medium",
    ),
}


@contextmanager
def pinned(isa: str, n_threads: int) -> Iterator[None]:
    """Have estimators use a family, and just as many threads, however few CPUs there are."""

    class Net(_core.Net):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, fixed_threads=True, **options)

    before = _core._pinned_isa, _core.Net, _base.thread_limit
    try:
        _core._pinned_isa, _core.Net, _base.thread_limit = isa, Net, lambda n_jobs: n_threads
        yield
    finally:
        _core._pinned_isa, _core.Net, _base.thread_limit = before


def fitted(name: str, arrange: Callable[[Any], Any] = lambda array: array) -> Any:
    """Fit one of the estimators to its samples, X laid out in some way."""
    estimator, params, data = CONFIGURATIONS[name]
    usual = {"hidden_layer_sizes": (37, 18), "batch_size": 40, "max_iter": 3, "random_state": 0}
    model = estimator(**{**usual, "alpha": 0.01, "learning_rate_init": 0.01, **params})
    X = arrange(data.X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if name == "partial fit":
            for start in range(0, 150, 50):
                model.partial_fit(X[start : start + 50], data.y[start : start + 50])
            return model
        return model.fit(X, data.y, sample_weight=data.sample_weight)


def digest(model: Any, name: str) -> str:
    """Hash what was learnt: weights, losses, and what is predicted for the samples."""
    X = CONFIGURATIONS[name][2].X
    predict = getattr(model, "predict_proba", model.predict)
    arrays = [*model.coefs_, *model.intercepts_, model.loss_curve_, predict(X)]
    arrays += [model.validation_loss_curve_] if model.validation_loss_curve_ else []
    return digest_of(*arrays)


def digest_of(*arrays: Any) -> str:
    hashed = hashlib.sha256()
    for array in map(np.asarray, arrays):
        # adding 0 makes -0 a 0: the sign of a zero that an underflow left is not promised
        hashed.update(np.ascontiguousarray(array + array.dtype.type(0)).tobytes())
    return hashed.hexdigest()[:12]


def kinds_of_bits() -> dict[str, list[str]]:
    """Return the families at hand, those that give the same bits together."""
    fused = _core.fused_isas("float32")
    others = [isa for isa in _core.available_isas() if isa not in fused]
    return {FUSED: fused, **{isa: [isa] for isa in others}}


def compute(name: str, kind: str) -> str:
    """Return a digest by the fastest family of a kind."""
    with pinned(kinds_of_bits()[kind][-1], 2):
        return digest(fitted(name), name)


def read() -> dict[str, dict[str, str]]:
    """Return the file's digests by estimator and kind of bits."""
    head, *lines = (
        line for line in FILE.read_text("utf-8").splitlines() if line and line[0] != "#"
    )
    kinds = head.split()[1:]
    found = {}
    for line in lines:
        digests = line.split()[-len(kinds) :]
        name = line[: line.index(digests[0])].strip()
        found[name] = {
            kind: digests[0] if value == "=" else value
            for kind, value in zip(kinds, digests, strict=True)
        }
    return found


def write(digests: dict[str, dict[str, str]]) -> None:
    kinds = list(next(iter(digests.values())))
    lines = [
        "# What 24 estimators learn (tests/digests.py). A change in what is computed shows here:",
        "# python tests/digests.py --update",
        "",
        "estimator".ljust(26) + "".join(kind.ljust(14) for kind in kinds),
    ]
    for name, values in digests.items():
        shown = ["=" if k != FUSED and v == values[FUSED] else v for k, v in values.items()]
        lines.append(name.ljust(26) + "".join(value.ljust(14) for value in shown))
    FILE.write_text("\n".join(line.rstrip() for line in lines) + "\n", "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--update", action="store_true", help="write the file anew")
    options = parser.parse_args()
    kept = read() if FILE.exists() else {}
    kinds = dict.fromkeys([FUSED, "sse2", "avx512bf16", "amx"])
    found = {}
    for name in CONFIGURATIONS:
        before = kept.get(name, {})
        found[name] = {kind: before.get(kind, "?") for kind in kinds}
        found[name].update({kind: compute(name, kind) for kind in kinds_of_bits()})
    changed = [
        f"{name}, {kind}: {kept.get(name, {}).get(kind)} became {value}"
        for name, values in found.items()
        for kind, value in values.items()
        if kept.get(name, {}).get(kind) != value
    ]
    print(*changed or ["nothing changed"], sep="\n")
    if options.update:
        write(found)
    return bool(changed) and not options.update


if __name__ == "__main__":
    sys.exit(main())
