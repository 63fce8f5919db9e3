# SPDX-License-Identifier: BSD-3-Clause
"""What `import fastbp` takes beyond `import sklearn.neural_network`, in fresh processes."""

from __future__ import annotations

from statistics import median
from typing import Any

from figures import number

TITLE = "Import time, ms"

PROGRAM = """
import time
start = time.perf_counter()
import sklearn.neural_network
middle = time.perf_counter()
import fastbp
print(middle - start, time.perf_counter() - middle)
"""


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Import both, in that order, in one process after the other."""
    import os
    import subprocess
    import sys

    from workers import python_path

    environment = {**os.environ, "PYTHONPATH": python_path()}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # pip compiles what it installs
    times = []
    for _ in range(3 if settings["quick"] else 11):
        command = [sys.executable, "-c", PROGRAM]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        times.append([1e3 * float(value) for value in done.stdout.split()])
    # The first compiles, and fills the caches of the file system.
    theirs, ours = (list(values) for values in zip(*times[1:], strict=True))
    return {
        "milliseconds": {"": median(ours)},
        "rounds": ours,
        "sklearn_milliseconds": median(theirs),
    }


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    values = found["rounds"]
    return [
        ["", "median", "least", "greatest"],
        ["fastbp beyond it", *(number(f(values)) for f in (median, min, max))],
        ["sklearn.neural_network", number(found["sklearn_milliseconds"]), "–", "–"],
    ]
