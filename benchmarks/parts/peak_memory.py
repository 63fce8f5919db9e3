# SPDX-License-Identifier: BSD-3-Clause
"""The most memory that a fit takes beyond X and y, beside the plan.

The kernel's own high-water mark of a fresh process (VmHWM in /proc/self/status, in which memory of
the C core counts), reset just before `fit`, after a small fit has loaded and started everything.
The plan, bytes: 20 per weight (28 where tiles hold split weights), 4 more with early stopping; 8
per batch row and unit (24 with tiles); and 32 per row of X, for y's codes, the order of the rows
and one shuffle of it, which Python keeps.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

TITLE = "Peak memory of a fit beyond X and y, MB"

#: rows, columns, hidden, batch
SHAPES = {
    "many weights": (8192, 1024, (2048, 2048), 1024),
    "many rows": (200_000, 100, (100,), 200),
}
CASES = [
    ("many weights", "float32", False),
    ("many weights", "float64", False),
    ("many weights", "float32", True),
    ("many rows", "float32", False),
    ("many rows", "float64", False),
    ("many rows", "csr", False),
]
BYTES_PER_ROW = 32


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Fit each case in a process of its own; without /proc there is nothing to read."""
    from pathlib import Path

    from workers import Worker

    if not Path("/proc/self/clear_refs").exists():
        raise OSError("this system has no /proc/self/clear_refs")
    found: dict[str, Any] = {"times_plan": {}, "cases": {}}
    for shape, kind, early_stopping in CASES:
        name = f"{shape}, {kind}{', early stopping' if early_stopping else ''}"
        with Worker("parts.peak_memory") as worker:
            extra, x_bytes = worker.call(
                "fit_once", shape=shape, kind=kind, early_stopping=early_stopping
            )
        planned = plan(shape, settings["isa"], early_stopping)
        found["cases"][name] = {"extra": extra, "plan": planned, "X": x_bytes}
        found["times_plan"][name] = extra / planned
    return found


def plan(shape: str, isa: str, early_stopping: bool) -> int:
    """Return the bytes that a fit is planned to take beyond X and y."""
    n_rows, n_columns, hidden, batch = SHAPES[shape]
    units = [n_columns, *hidden, 10]
    n_weights = sum(a * b for a, b in pairwise(units))
    tiles = isa == "amx"
    per_weight = (28 if tiles else 20) + (4 if early_stopping else 0)
    per_unit = 24 if tiles else 8
    return per_weight * n_weights + per_unit * batch * sum(units) + BYTES_PER_ROW * n_rows


def fit_once(shape: str, kind: str, early_stopping: bool) -> tuple[int, int]:
    """Return by how many bytes a fit raised this process's high-water mark, and X's bytes."""
    import warnings
    from pathlib import Path

    import numpy as np
    import scipy.sparse as sp

    from fastbp import BackpropClassifier

    warnings.simplefilter("ignore")
    n_rows, n_columns, hidden, batch = SHAPES[shape]
    rng = np.random.default_rng(0)
    if kind == "csr":
        X: Any = sp.random(n_rows, n_columns, 0.2, format="csr", rng=rng, dtype=np.float32)
        x_bytes = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    else:
        X = rng.random((n_rows, n_columns), dtype=np.dtype(kind).type)
        x_bytes = X.nbytes
    y = rng.integers(0, 10, n_rows)
    BackpropClassifier((8,), max_iter=1, early_stopping=early_stopping).fit(X[:200], y[:200])
    model = BackpropClassifier(
        hidden, batch_size=batch, max_iter=1, early_stopping=early_stopping, random_state=0
    )
    Path("/proc/self/clear_refs").write_text("5")  # the mark falls to what is in use now
    before = status("VmRSS")
    model.fit(X, y)
    return status("VmHWM") - before, x_bytes


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
