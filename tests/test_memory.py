# SPDX-License-Identifier: BSD-3-Clause
"""The most memory that a fit takes, beyond X, y and what the model held before.

Each case runs in a process of its own, whose high-water mark the kernel keeps (VmHWM, in which
memory of the C core counts, too). The plan is that of csrc/README.md, section Memory; beyond it are
some MB for threads, small arrays and the allocator.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from fastbp import _core

CLEAR_REFS = Path("/proc/self/clear_refs")
pytestmark = pytest.mark.skipif(not CLEAR_REFS.exists(), reason="the kernel keeps no mark here")

UNITS = (16, 1000, 1000, 10)
N_WEIGHTS = 16 * 1000 + 1000 * 1000 + 1000 * 10
BATCH = 32
SLACK = 3 << 20

PROGRAM = """
import sys, warnings
from pathlib import Path
import numpy as np
import scipy.sparse as sp
from fastbp import BackpropClassifier

warnings.simplefilter("ignore")

def status(key):
    lines = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))

rng = np.random.default_rng(0)
{prepare}
small = BackpropClassifier((8,), **params).fit(X[:100], y[:100])
small.predict(X[:100])
del small
Path("/proc/self/clear_refs").write_text("5")
before = status("VmRSS:")
{call}
print(status("VmHWM:") - before)
"""

MANY_WEIGHTS = """
X, y = rng.random((320, 16), dtype=np.float32), rng.integers(0, 10, 320)
params = {params}
model = BackpropClassifier((1000, 1000), batch_size=32, max_iter=3, random_state=0, **params)
"""


def most_memory(prepare: str, call: str) -> int:
    """Return by how many bytes a call raises the high-water mark of a fresh process."""
    program = PROGRAM.format(prepare=prepare, call=call)
    done = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    return int(done.stdout)


def plan(params: dict[str, object]) -> int:
    """Return the planned bytes: W, its transpose, moments, a copy; activations and deltas."""
    item = 8 if params.get("dtype") == "float64" else 4
    tiles = _core.default_isa(dtype=f"float{8 * item}") == "amx"
    per_weight = 5 - (params.get("solver") == "sgd") + (2 if tiles else 0)
    per_weight += bool(params.get("early_stopping"))
    return item * (per_weight * N_WEIGHTS + (6 if tiles else 2) * BATCH * sum(UNITS))


@pytest.mark.parametrize("again", ["", "model.fit(X, y)", "model.partial_fit(X, y)"])
@pytest.mark.parametrize(
    "params",
    [{}, {"dtype": "float64"}, {"solver": "sgd"}, {"early_stopping": True}],
    ids=["adam", "float64", "sgd", "early_stopping"],
)
def test_a_fit_of_many_weights_keeps_to_the_plan(params: dict[str, object], again: str) -> None:
    if "partial_fit" in again:
        params = {name: value for name, value in params.items() if name != "early_stopping"}
    prepare = MANY_WEIGHTS.format(params=params)
    if again:  # the old model, kept for roll-back, is there already
        prepare += "model.partial_fit(X, y, classes=np.arange(10))" if "partial" in again else again
    taken = most_memory(prepare, again or "model.fit(X, y)")
    assert taken <= 1.2 * plan(params) + SLACK
    # As much lives at least: weights, transpose and moments; so the mark was really measured.
    assert taken >= 0.5 * plan(params)


ROWS = 100_000
DENSE = "X = rng.random(({rows}, 120), dtype=np.{dtype}){cut}"
CSR = "X = sp.random({rows}, {columns}, 60 / {columns}, 'csr', np.{dtype}, random_state=rng)"


@pytest.mark.parametrize("early_stopping", [False, True], ids=["all", "early_stopping"])
@pytest.mark.parametrize(
    "make",
    [
        DENSE.format(rows=ROWS, dtype="float32", cut=""),
        DENSE.format(rows=ROWS, dtype="float64", cut=""),
        DENSE.format(rows=2 * ROWS, dtype="float32", cut="[::2, 10:110]"),
        CSR.format(rows=ROWS, columns=120, dtype="float32"),
        CSR.format(rows=ROWS, columns=1200, dtype="float64"),
    ],
    ids=["float32", "float64", "slice", "csr", "csr_of_many_columns"],
)
def test_a_fit_of_many_rows_copies_no_X(make: str, early_stopping: bool) -> None:
    prepare = f"""
params = {{"early_stopping": {early_stopping}}}
{make}
y = rng.integers(0, 10, {ROWS})
model = BackpropClassifier((20,), max_iter=3, batch_size=1000, random_state=0, **params)
"""
    # X has 40 MB and more; the order of the rows, codes of y and the like 32 bytes a row.
    assert most_memory(prepare, "model.fit(X, y)") <= 32 * ROWS + 2 * SLACK
