# SPDX-License-Identifier: BSD-3-Clause
"""The most memory that a fit takes beyond X and y, beside the plan.

The kernel's own high-water mark of a fresh process (VmHWM in /proc/self/status, in which memory of
the C core counts), reset just before the call, after a small fit has loaded and started everything.
What is there already is not counted: X, y, and the old state of a model that is fitted again.

The plan, in numbers of the compute type (4 or 8 bytes): per weight W, its transpose, the solver's
moments and one more, with early stopping two; per batch row and unit two. With Adam and float32
these are 20 bytes (24) and 8; where tiles hold split weights 28 (32) and 24. Then there are 32
bytes per row of X, for y's codes, the order of the rows and the like, which Python keeps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, NamedTuple

TITLE = "Peak memory of a fit beyond X and y, MB"

#: rows, columns, hidden, batch
SHAPES = {
    "many weights": (4096, 1024, (2048, 2048), 1024),
    "one wide layer": (2048, 16, (3000, 3000), 200),
    "many rows": (200_000, 100, (100,), 200),
    "many columns": (20_000, 10_000, (100,), 200),
}
BYTES_PER_ROW = 32


class Case(NamedTuple):
    """What is fitted, and how."""

    shape: str
    kind: str  # of X: a type of dense rows, or "csr", values of float32
    dtype: str = "float32"  # of the arithmetic
    solver: str = "adam"
    early_stopping: bool = False
    call: str = "fit"  # "refit": a second fit; "partial_fit": a second call of it

    @property
    def name(self) -> str:
        """What the table calls it."""
        special = {
            "float64 arithmetic": self.dtype == "float64",
            self.solver: self.solver != "adam",
            "early stopping": self.early_stopping,
            self.call: self.call != "fit",
        }
        return ", ".join([self.shape, self.kind, *(name for name, it in special.items() if it)])


CASES = [
    Case("many weights", "float32"),
    Case("many weights", "float64"),
    Case("many weights", "float64", dtype="float64"),
    Case("many weights", "float32", solver="sgd"),
    Case("many weights", "float32", early_stopping=True),
    Case("many weights", "float32", call="refit"),
    Case("many weights", "float32", call="partial_fit"),
    Case("one wide layer", "float32"),
    Case("one wide layer", "float32", early_stopping=True),
    Case("many rows", "float32"),
    Case("many rows", "float64"),
    Case("many rows", "csr"),
    Case("many rows", "float32", early_stopping=True),
    Case("many columns", "csr"),
]


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Run each case in a process of its own; without /proc there is nothing to read."""
    from pathlib import Path

    from workers import Worker

    if not Path("/proc/self/clear_refs").exists():
        raise OSError("this system has no /proc/self/clear_refs")
    found: dict[str, Any] = {"times_plan": {}, "cases": {}}
    for case in CASES:
        with Worker("parts.peak_memory") as worker:
            extra, x_bytes = worker.call("fit_once", **case._asdict())
        planned = plan(case, settings["isa"])
        found["cases"][case.name] = {"extra": extra, "plan": planned, "X": x_bytes}
        found["times_plan"][case.name] = extra / planned
    return found


def plan(case: Case, isa: str) -> int:
    """Return the bytes that a fit is planned to take beyond X and y."""
    n_rows, n_columns, hidden, batch = SHAPES[case.shape]
    units = [n_columns, *hidden, 10]
    n_weights = sum(a * b for a, b in pairwise(units))
    tiles = isa == "amx" and case.dtype == "float32"
    moments = 2 if case.solver == "adam" else 1
    per_weight = 3 + moments + (2 if tiles else 0) + (1 if case.early_stopping else 0)
    per_unit = 6 if tiles else 2
    item = 4 if case.dtype == "float32" else 8
    numbers = per_weight * n_weights + per_unit * batch * sum(units)
    return item * numbers + BYTES_PER_ROW * n_rows


def fit_once(
    shape: str, kind: str, dtype: str, solver: str, early_stopping: bool, call: str
) -> tuple[int, int]:
    """Return by how many bytes a fit raised this process's high-water mark, and X's bytes."""
    import warnings
    from pathlib import Path

    import numpy as np

    from fastbp import BackpropClassifier

    warnings.simplefilter("ignore")
    _, _, hidden, batch = SHAPES[shape]
    X, x_bytes = samples(shape, kind)
    y = np.random.default_rng(1).integers(0, 10, X.shape[0])
    params: dict[str, Any] = {
        "max_iter": 2,
        "dtype": dtype,
        "solver": solver,
        "early_stopping": early_stopping,
        "random_state": 0,
    }
    BackpropClassifier((8,), **params).fit(X[:200], y[:200])
    model = BackpropClassifier(hidden, batch_size=batch, **params)
    if call == "refit":
        model.fit(X, y)
    elif call == "partial_fit":
        model.partial_fit(X, y, classes=np.arange(10))
    again = model.partial_fit if call == "partial_fit" else model.fit
    Path("/proc/self/clear_refs").write_text("5")  # the mark falls to what is in use now
    before = status("VmRSS")
    again(X, y)
    return status("VmHWM") - before, x_bytes


def samples(shape: str, kind: str) -> tuple[Any, int]:
    """Draw X; return it and its bytes."""
    import numpy as np
    import scipy.sparse as sp

    n_rows, n_columns, _, _ = SHAPES[shape]
    rng = np.random.default_rng(0)
    if kind == "csr":
        share = min(0.2, 100 / n_columns)
        X: Any = sp.random(n_rows, n_columns, share, format="csr", rng=rng, dtype=np.float32)
        return X, X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    dense = rng.random((n_rows, n_columns), dtype=np.dtype(kind).type)
    return dense, dense.nbytes


def status(key: str) -> int:
    """Return a figure of this process's memory in bytes."""
    from pathlib import Path

    for line in Path("/proc/self/status").read_text("utf-8").splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise OSError(f"no {key} in /proc/self/status")


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    table = [["", "beyond X and y", "plan", "times the plan", "X"]]
    for name, case in found["cases"].items():
        megabytes = [f"{case[key] / 1e6:,.1f}" for key in ("extra", "plan", "X")]
        ratio = f"{found['times_plan'][name]:.2f}"
        table.append([name, *megabytes[:2], ratio, megabytes[2]])
    return table
