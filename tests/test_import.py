# SPDX-License-Identifier: BSD-3-Clause
"""``import fastbp`` costs little, and loads nothing that only some need."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import fastbp

IMPORT = """
import json, sys, time

import sklearn.neural_network

before, begin = {*sys.modules}, time.process_time()
import fastbp

print(json.dumps([time.process_time() - begin, sorted({*sys.modules} - before)]))
"""

EXTRAS = {"IPython", "matplotlib", "pandas", "polars", "rich", "skops", "torch"}


def test_import_costs_at_most_30_ms_beyond_scikit_learns() -> None:
    # With bytecode, which the first import writes unless an installer has.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    seconds = []
    for _ in range(4):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT], env=environment, text=True, capture_output=True,
            check=True,
        )  # fmt: skip
        taken, modules = json.loads(done.stdout)
        seconds.append(taken)
    assert {name.partition(".")[0] for name in modules}.isdisjoint(EXTRAS)
    assert min(seconds) <= 0.03


def test_sources_that_were_not_compiled_say_so(tmp_path: Path) -> None:
    compiled = shutil.ignore_patterns("*.so", "*.pyd", "__pycache__")
    sources = shutil.copytree(Path(fastbp.__file__).parent, tmp_path / "fastbp", ignore=compiled)
    # An editable install would find the compiled part elsewhere.
    program = (
        "import sys; sys.meta_path = [f for f in sys.meta_path if 'ditable' not in str(f)]; "
        "import fastbp"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert f"fastbp is missing in {sources}. In a clone's own folder" in done.stderr
    assert "pip install -e ." in done.stderr
