# SPDX-License-Identifier: BSD-3-Clause
"""What 24 estimators learn, over threads, runs, families, layouts of X and its alignment."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.append(str(Path(__file__).parents[2]))

import digests
from digests import CONFIGURATIONS, digest, fitted, kinds_of_bits, pinned
from problems import messy_csr

from fastbp import _core

THREADS = (1, 2, 3, 4, 5, 7, 8, 16)
RUNS = 20
Case = tuple[str, str, str, int, str]  # estimator, kind of bits, family, threads, layout


def at_offset(X: np.ndarray, n_bytes: int) -> np.ndarray:
    """Copy X to so many bytes behind the beginning of a page."""
    memory = np.empty(X.nbytes + 3 * 4096, np.uint8)
    begin = -memory.ctypes.data % 4096 + n_bytes
    placed = memory[begin : begin + X.nbytes].view(X.dtype).reshape(X.shape)
    placed[:] = X
    return placed


def within_nan(X: np.ndarray) -> np.ndarray:
    wide = np.full((X.shape[0], X.shape[1] + 5), np.nan)
    wide[:, 2:-3] = X
    return wide[:, 2:-3]


def read_only(X: np.ndarray) -> np.ndarray:
    X = X.copy()
    X.flags.writeable = False
    return X


DENSE: dict[str, Callable[[np.ndarray], Any]] = {
    "rows": np.ascontiguousarray,
    "columns": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "big-endian": lambda X: X.astype(">f8"),
    "part of wider rows": within_nan,
    "every other row": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "read-only": read_only,
    "a byte off": lambda X: at_offset(X, 1),
    "8 bytes into a page": lambda X: at_offset(X, 8),
    "40 bytes into a page": lambda X: at_offset(X, 40),
    "a cache line before a page's end": lambda X: at_offset(X, 4032),
    "four dimensions' memory": lambda X: np.stack([X, X], axis=2)[:, :, 1],
}
SPARSE: dict[str, Callable[[Any], Any]] = {
    "CSR": lambda X: X,
    "CSC": sp.csc_array,
    "CSR matrix, float32": lambda X: sp.csr_matrix(X).astype(np.float32),
    "CSR, unsorted, doubled": lambda X: messy_csr(X.toarray(), np.int32, np.random.default_rng(0)),
    "CSR, long indices": lambda X: messy_csr(X.toarray(), np.int64, np.random.default_rng(1)),
    "dense": lambda X: X.toarray(),
}


def layouts_of(name: str) -> dict[str, Callable[[Any], Any]]:
    return SPARSE if sp.issparse(CONFIGURATIONS[name][2].X) else DENSE


def all_cases() -> Iterator[Case]:
    """Every estimator by every family, with all threads; and with all layouts."""
    for name, (kind, isas) in itertools.product(CONFIGURATIONS, kinds_of_bits().items()):
        layouts = list(layouts_of(name))
        for isa in isas:
            yield from ((name, kind, isa, n, layouts[0]) for n in THREADS for _ in range(RUNS))
            yield from ((name, kind, isa, 2, layout) for layout in layouts)


def some_cases() -> Iterator[Case]:
    """Every estimator by every family, each time with other threads and another layout."""
    threads = itertools.cycle(THREADS)
    for i, (name, (kind, isas)) in enumerate(
        itertools.product(CONFIGURATIONS, kinds_of_bits().items())
    ):
        layouts = list(layouts_of(name))
        for j, isa in enumerate(isas):
            yield name, kind, isa, next(threads), layouts[(i + j) % len(layouts)]
        yield name, kind, isas[-1], next(threads), layouts[0]


def differences(cases: Iterator[Case]) -> tuple[int, list[Case]]:
    """Return how many cases there were, and those whose digest is not the file's."""
    expected = digests.read()
    n_cases, wrong = 0, []
    for case in cases:
        name, kind, isa, n_threads, layout = case
        with pinned(isa, n_threads):
            found = digest(fitted(name, layouts_of(name)[layout]), name)
        n_cases += 1
        if found != expected[name][kind]:
            wrong.append(case)
    return n_cases, wrong


class DependsOnThreads(_core.Net):
    """One weight's last bit is another where seven threads train."""

    def train(self, *args: Any, **options: Any) -> Any:
        progress = super().train(*args, **options)
        if self.n_threads == 7:
            coefs, intercepts = self.get_weights()
            coefs[-1][0, 0] = np.nextafter(coefs[-1][0, 0], 1, dtype=coefs[-1].dtype)
            self.set_weights(coefs, intercepts)
        return progress


def catches_planted_fault() -> bool:
    """Tell whether a sweep finds the one number of threads at which a last bit differs."""
    cases = [("deep", digests.FUSED, kinds_of_bits()[digests.FUSED][-1], n) for n in THREADS]
    net, _core.Net = _core.Net, DependsOnThreads
    try:
        _, wrong = differences((*case, "rows") for case in cases)
    finally:
        _core.Net = net
    return [case[3] for case in wrong] == [7]


def main() -> int:
    if not catches_planted_fault():
        print("the planted fault was not caught")
        return 1
    exhaustive = "--exhaustive" in sys.argv[1:]
    n_cases, wrong = differences(all_cases() if exhaustive else some_cases())
    print(f"{n_cases} fits by {', '.join(_core.available_isas())}, threads {THREADS}")
    print(f"{len(wrong)} with other bits than tests/digests.txt", *wrong[:20], sep="\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
