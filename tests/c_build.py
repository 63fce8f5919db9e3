# SPDX-License-Identifier: BSD-3-Clause
"""How the tests call tests/c/Makefile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

C_TESTS = Path(__file__).parent / "c"
CORE = C_TESTS.parents[1] / "csrc"


def _missing() -> str | None:
    if sys.platform == "win32":
        return "the C tests need a POSIX system"
    for tool in (os.environ.get("CC", "cc").split()[0], "make"):
        if shutil.which(tool) is None:
            return f"no {tool} here"
    return None


#: Why the C tests cannot be built here, or None.
NO_COMPILER = _missing()


def make(*targets: str, **variables: object) -> None:
    """Run make in tests/c; its output is shown when it fails."""
    assignments = [f"{name}={value}" for name, value in variables.items()]
    if "CC" in os.environ:
        assignments.append(f"CC={os.environ['CC']}")
    command = ["make", "-C", str(C_TESTS), "-j2", *targets, *assignments]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
