# SPDX-License-Identifier: BSD-3-Clause
"""Build the core's own tests (tests/c) and run them, where there is a C compiler and make."""

import platform
import re
import subprocess
from pathlib import Path

import pytest
from c_build import C_TESTS, NO_COMPILER, make

pytestmark = pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))


@pytest.fixture(scope="module")
def build() -> Path:
    """The programs, built with the flags of the extension; kept between runs."""
    folder = C_TESTS.parents[1] / "build" / "c" / "plain"
    make("programs", BUILD=folder)
    return folder


PROGRAMS = sorted(path.stem for path in C_TESTS.glob("test_*.c"))
if platform.machine() in ("x86_64", "AMD64"):  # split products once more, in emulated tiles
    PROGRAMS += [name.replace("test_", "emulated_") for name in PROGRAMS if "_split" in name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(build: Path, name: str) -> None:
    done = subprocess.run([build / name], capture_output=True, text=True, timeout=600)
    summary = re.search(r"(\d+) passed, (\d+) failed$", done.stdout.strip())
    assert done.returncode == 0, done.stdout + done.stderr
    assert summary is not None
    assert int(summary[1]) > 0
    assert int(summary[2]) == 0


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", ["math", "products", "updates", "rows"])
def test_long_form(build: Path, name: str) -> None:
    """Functions of every float; products of every shape up to 33³ and of 2,000 large ones."""
    subprocess.run([build / f"test_{name}", "--exhaustive"], check=True)
