# SPDX-License-Identifier: BSD-3-Clause
"""Every example runs: on its own, without the network, without a warning, soon, with pictures."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fastbp

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))

# Runs an example as a gallery does; tells the pictures that it drew, with what is in them.
RUN = """
import json, runpy, socket, sys, time, warnings

def refuse(*args, **kwargs):
    raise OSError("an example needs nothing from the network")

socket.socket.connect = socket.getaddrinfo = refuse
warnings.simplefilter("error")
begin = time.perf_counter()
runpy.run_path(sys.argv[1], run_name="__main__")
seconds = min(time.perf_counter() - begin, time.process_time())
from matplotlib import pyplot

figures = [pyplot.figure(number) for number in pyplot.get_fignums()]
for figure in figures:
    figure.savefig(f"{figure.number}.png")
drawn = [sum(ax.has_data() for ax in figure.axes) for figure in figures]
print(json.dumps({"seconds": seconds, "drawn": drawn}))
"""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(example: Path, tmp_path: Path) -> None:
    package = str(Path(fastbp.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", RUN, str(example)], cwd=tmp_path, text=True, capture_output=True,
        env=os.environ | {"MPLBACKEND": "agg", "PYTHONPATH": package}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["drawn"] and all(told["drawn"])
    # A machine that is busy with other things slows the clock, more cores the sum of their times.
    assert told["seconds"] < 10
    assert [path.suffix for path in tmp_path.iterdir()] == [".png"] * len(told["drawn"])


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example_is_made_for_the_gallery(example: Path) -> None:
    text = example.read_text("utf-8")
    assert example.name.startswith("plot_")
    title, line, blank = (ast.get_docstring(ast.parse(text)) or "").splitlines()[:3]
    assert set(line) == {"="} and len(line) == len(title) and blank == ""
    assert len(re.findall(r"^# %%$", text, re.M)) >= 2
    assert len(text.splitlines()) <= 90


def test_the_examples_that_were_promised() -> None:
    subjects = "digits mixed_table early_stopping imbalanced quantiles sparse_text photograph"
    subjects += " same_bits stream speed sklearn_displays"
    assert {path.stem for path in EXAMPLES} >= {f"plot_{name}" for name in subjects.split()}
