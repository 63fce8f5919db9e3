# SPDX-License-Identifier: BSD-3-Clause
"""Every code block of docs/ runs as it stands, and prints what the page says it prints."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import threadpoolctl
from blocks import Block, applied, blocks, changed, without
from sklearn.datasets import load_breast_cancer

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {page.relative_to(DOCS).as_posix(): page for page in sorted(DOCS.rglob("*.md"))}
BLOCKS = {name: blocks(page) for name, page in PAGES.items()}
PROGRAMS = [name for name, found in BLOCKS.items() if any(b.language == "python" for b in found)]
DIFFS = [(name, b.text) for name, found in BLOCKS.items() for b in found if b.language == "diff"]
SHELL = [(name, b.text) for name, found in BLOCKS.items() for b in found if b.language == "bash"]


@pytest.fixture(autouse=True)
def one_blas_thread() -> Iterator[None]:
    """On a busy machine scikit-learn's fits wait for their second thread far longer than needed."""
    with threadpoolctl.threadpool_limits(1, "blas"):
        yield


def run_page(page: list[Block], capsys: Any) -> None:
    """Run a page's programs one after another, as a reader does, and compare what they print."""
    namespace: dict[str, Any] = {"__name__": "page"}
    printed = ""
    for block in page:
        if block.language == "python":
            assert printed == "", f"the page does not show what is printed:\n{printed}"
            exec(compile(block.text, "page", "exec"), namespace)
            printed = capsys.readouterr().out
        elif block.language == "output":
            assert printed.split() == block.text.split(), f"{printed}\nis not\n{block.text}"
            printed = ""
    assert printed == "", f"the page does not show what is printed:\n{printed}"


def test_every_block_is_known() -> None:
    languages = {block.language for found in BLOCKS.values() for block in found}
    assert languages <= {"bash", "diff", "output", "python"}
    assert len(PROGRAMS) > 5 and DIFFS and SHELL


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run_page(BLOCKS[name], capsys)


def test_a_page_that_prints_something_else_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    program = Block("python", "print(1)\n")
    run_page([program, Block("output", "1\n")], capsys)
    for page in ([program, Block("output", "2\n")], [program], [program, program]):
        with pytest.raises(AssertionError):
            run_page(page, capsys)


@pytest.mark.parametrize(("name", "diff"), DIFFS)
def test_both_sides_of_diffs(name: str, diff: str, capsys: pytest.CaptureFixture[str]) -> None:
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    exec(without(diff), before)
    exec(applied(diff), after)
    assert before["model"].get_params().items() <= after["model"].get_params().items()
    assert type(before["model"]).__module__.startswith("sklearn.")
    assert type(after["model"]).__module__ == "fastbp"
    assert len(changed(diff)) == 2
    scores = [float(line) for line in capsys.readouterr().out.split()]
    assert scores[1] == pytest.approx(scores[0], abs=0.02)


@pytest.mark.parametrize(("name", "script"), SHELL)
def test_shell(name: str, script: str, tmp_path: Path) -> None:
    lines = [line for line in script.splitlines() if "pip install" not in line]
    frame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "COLUMN"})
    frame.sample(150, random_state=0).to_csv(tmp_path / "FILE.csv", index=False)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["bash", "-euc", "\n".join(lines)], cwd=tmp_path, env=environment, text=True,
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
