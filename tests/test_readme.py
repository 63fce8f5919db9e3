# SPDX-License-Identifier: BSD-3-Clause
"""Every code block of README.md runs as it stands, and its figures are the benchmark's."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from blocks import applied, blocks, changed, without
from sklearn.datasets import load_breast_cancer

import fastbp

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = blocks(ROOT / "README.md")
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
    assert {language for language, _ in BLOCKS} == {"bash", "bibtex", "diff", "python"}
    assert PYTHON and INSTALLS and USES


@pytest.mark.parametrize("program", PYTHON)
def test_python(program: str, tmp_path: Path) -> None:
    here = Path(sys.executable).parent
    assert run(sys.executable, "-W", "error", "-c", program, cwd=tmp_path, path=here)


def test_the_change_of_one_line(tmp_path: Path) -> None:
    (diff,) = (text for language, text in BLOCKS if language == "diff")
    assert len(changed(diff)) == 2
    here = Path(sys.executable).parent
    scores = []
    for program in (without(diff), applied(diff)):
        show = "print(type(model).__module__.split('.')[0])"
        printed = run(sys.executable, "-c", program + show, cwd=tmp_path, path=here).split()
        scores.append(float(printed[0]))
    assert printed[1] == "fastbp"
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_the_citation() -> None:
    (text,) = (text for language, text in BLOCKS if language == "bibtex")
    assert text.count("{") == text.count("}")
    assert f"version = {{{fastbp.__version__}}}" in text
    cff = (ROOT / "CITATION.cff").read_text("utf-8")
    for field in ("title", "author", "version"):
        value = re.search(rf"{field} = \{{+([^}}]+)\}}", text)
        assert value and value[1] in cff, field


def test_the_figures_are_the_benchmarks() -> None:
    measured = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    table = measured.partition("### Training")[2].partition("Thousand samples")[0]
    rows = dict(re.findall(r"^\| ([\w ]+) \| ([\d.]+)", table, re.M))
    peers = dict(re.findall(r"^\| ([\w ]+) \| [^|]+ \| ([\d.]+)", table, re.M))
    figures = re.search(
        r"([\d.]+) times as fast as scikit-learn's \(geometric mean; ([\d.]+) on (\w+), ([\d.]+) on"
        r" (\w+)\), one row was predicted ([\d.]+) times",
        README.replace("\n", " "),
    )
    assert figures
    mean, most, where_most, least, where_least, row = figures.groups()
    assert mean == f"{float(rows['geometric mean']):.1f}"
    assert most == rows[where_most] and float(most) == max(map(float, rows.values()))
    assert least == f"{float(rows[where_least]):.1f}"
    assert float(rows[where_least]) == min(map(float, rows.values()))
    assert f"| one row, digits | {row} (" in measured
    # "took longer on all eight workloads": the best of all peers did
    assert "took longer on all eight workloads" in README.replace("\n", " ")
    assert len(peers) == 9 and all(float(ratio) > 1 for ratio in peers.values())
    # "at 88 % of the CPU's multiply-add peak"
    (share,) = re.findall(r"the widest trained at (\d+) % of", README)
    assert re.search(rf"^\| wide \| default \(\w+\) \| \d+ \| {share}% \|", measured, re.M)


def test_links_arrive() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert len(links) > 15
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


@pytest.mark.parametrize("script", USES)
def test_shell(script: str, tmp_path: Path) -> None:
    frame = load_breast_cancer(as_frame=True).frame.rename(columns={"target": "COLUMN"})
    frame.sample(150, random_state=0).to_csv(tmp_path / "FILE.csv", index=False)
    here = Path(sys.executable).parent
    assert run("bash", "-euc", script, cwd=tmp_path, path=here)


@pytest.mark.exhaustive
@pytest.mark.parametrize("script", INSTALLS)
def test_installation_from_a_clean_tree(script: str, tmp_path: Path) -> None:
    built = shutil.ignore_patterns(
        ".git", "build", "*.egg-info", "*.so", "__pycache__", "auto_examples", "generated"
    )
    tree = Path(shutil.copytree(ROOT, tmp_path / "tree", ignore=built))
    run(sys.executable, "-m", "venv", "fresh", cwd=tmp_path, path=tree)
    # A pytest inside shows that it finds and imports every test; this run has them run.
    printed = run(
        "bash", "-euc", script, cwd=tree, path=tmp_path / "fresh" / "bin",
        PYTEST_ADDOPTS="--collect-only -q",
    )  # fmt: skip
    assert printed
