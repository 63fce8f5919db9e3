# SPDX-License-Identifier: BSD-3-Clause
"""Every code block of README.md runs as it stands."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from sklearn.datasets import load_breast_cancer

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
PYTHON = [text for language, text in BLOCKS if language == "python"]
SHELL = [text for language, text in BLOCKS if language == "bash"]
INSTALLS = [text for text in SHELL if text.startswith("pip install")]
USES = [text for text in SHELL if not text.startswith("pip install")]


def run(*command: str, cwd: Path, path: Path, **variables: str) -> str:
    environment = os.environ | {"PATH": f"{path}{os.pathsep}{os.environ['PATH']}"} | variables
    done = subprocess.run(
        command, cwd=cwd, env=environment, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_block_is_known() -> None:
    assert {language for language, _ in BLOCKS} == {"bash", "python"}
    assert PYTHON and INSTALLS and USES


@pytest.mark.parametrize("program", PYTHON)
def test_python(program: str, tmp_path: Path) -> None:
    here = Path(sys.executable).parent
    assert run(sys.executable, "-W", "error", "-c", program, cwd=tmp_path, path=here)


@pytest.mark.parametrize("script", USES)
def test_shell(script: str, tmp_path: Path) -> None:
    frame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "COLUMN"})
    frame.sample(150, random_state=0).to_csv(tmp_path / "FILE.csv", index=False)
    here = Path(sys.executable).parent
    assert run("bash", "-euc", script, cwd=tmp_path, path=here)


@pytest.mark.exhaustive
@pytest.mark.parametrize("script", INSTALLS)
def test_installation_from_a_clean_tree(script: str, tmp_path: Path) -> None:
    built = shutil.ignore_patterns(".git", "build", "*.egg-info", "*.so", "__pycache__")
    tree = Path(shutil.copytree(ROOT, tmp_path / "tree", ignore=built))
    run(sys.executable, "-m", "venv", "fresh", cwd=tmp_path, path=tree)
    # A pytest inside shows that it finds and imports every test; this run has them run.
    printed = run(
        "bash", "-euc", script, cwd=tree, path=tmp_path / "fresh" / "bin",
        PYTEST_ADDOPTS="--collect-only -q",
    )  # fmt: skip
    assert printed
