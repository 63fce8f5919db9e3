# SPDX-License-Identifier: BSD-3-Clause
"""What the papers for contributors and the workflows name is there."""

import os
import re
import subprocess
import sys
from importlib.metadata import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAPERS = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "tests/README.md")]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
COMMANDS = "\n".join(path.read_text("utf-8") for path in [*PAPERS, *WORKFLOWS])


@pytest.mark.parametrize("paper", PAPERS, ids=lambda path: path.name)
def test_links_of_papers(paper: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", paper.read_text("utf-8")):
        name, _, part = link.partition("#")
        assert "://" not in link and (paper.parent / name).exists(), link
        titles = re.findall(r"^#+ (.*)$", (paper.parent / name).read_text("utf-8"), re.M)
        assert not part or part in [title.lower().replace(" ", "-") for title in titles], link


def test_the_four_recipes() -> None:
    recipes = (ROOT / "csrc" / "README.md").read_text("utf-8").partition("## How to add")[2]
    contributing = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    for thing in ("activation", "loss", "solver", "instruction set"):
        assert re.search(rf"\*\*.*{thing}", recipes, re.I), thing
        assert re.search(rf"- \[an? {thing}\]\(csrc/README.md#how-to-add\)", contributing), thing


@pytest.mark.parametrize("workflow", ["tests.yml", "sanitizers.yml", "wheels.yml", "docs.yml"])
def test_workflows_that_were_promised(workflow: str) -> None:
    text = (ROOT / ".github" / "workflows" / workflow).read_text("utf-8")
    assert "permissions:" in text and "timeout-minutes:" in text
    # Publishing is trusted: the index knows the workflow, and no password is kept.
    assert not re.search(r"secrets\.|password", text.replace("no password is kept", ""))


def test_publishing_is_trusted() -> None:
    text = (ROOT / ".github" / "workflows" / "wheels.yml").read_text("utf-8")
    assert "id-token: write" in text and "gh-action-pypi-publish" in text


def test_commands_name_what_is_there() -> None:
    steps = re.findall(r"^(\w+)\(\) \{", (ROOT / ".ci" / "run").read_text("utf-8"), re.M)
    used = [
        name
        for line in re.findall(r"bash \.ci/run((?: \w+)+)$", COMMANDS, re.M)
        for name in line.split()
    ]
    assert used and set(used) <= set(steps)
    extras = re.findall(r'-e "\.\[([\w,]+)\]"', COMMANDS)
    assert extras
    assert set(",".join(extras).split(",")) <= set(metadata("fastbp").get_all("Provides-Extra"))
    for script in re.findall(r"python ([\w/]+\.py)", COMMANDS):
        assert (ROOT / script).exists(), script


def test_the_tests_of_every_wheel_exist() -> None:
    files = re.findall(r"\{project\}/([\w/.]+)", (ROOT / "pyproject.toml").read_text("utf-8"))
    assert files and all((ROOT / file).exists() for file in files)


# What an extra brings, if it is missing. [plot], [progress] and [table] are tested with their uses.

MISSING = """
import sys
from importlib.machinery import PathFinder

class Finder(PathFinder):
    def find_spec(name, path=None, target=None):
        return None if name in {names} else PathFinder.find_spec(name, path, target)

sys.meta_path = [Finder if finder is PathFinder else finder for finder in sys.meta_path]
{program}
"""


def said_without(names: list[str], program: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", MISSING.format(names=names, program=program)],
        cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
        env={name: value for name, value in os.environ.items() if "PYTEST" not in name},
    )  # fmt: skip
    return done.stdout


def test_without_the_extra_bench() -> None:
    program = "import peers; print(peers.all_sides([])[1]); import plots; plots._figure({}, '', ())"
    program = f"sys.path.insert(0, {str(ROOT / 'benchmarks')!r}); {program}"
    said = said_without(["torch", "jax", "matplotlib"], program, ROOT)
    for name in ("PyTorch is", "JAX is", "which is"):
        assert f"{name} not installed: pip install -e '.[bench]'" in said


def test_without_the_extra_docs() -> None:
    program = f"import runpy; runpy.run_path({str(ROOT / 'docs' / 'conf.py')!r})"
    said = said_without(["numpydoc", "sphinx_gallery"], program, ROOT)
    assert re.search(
        r"needs .*numpydoc.*sphinx_gallery, not installed: pip install -e '.\[docs\]'", said
    )


def test_without_the_extra_test(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text("utf-8"))
    (tmp_path / "test_fails.py").write_text("import polars")
    said = said_without(["polars"], "import pytest; pytest.main()", tmp_path)
    assert re.search(r"need .*polars.*, not installed: pip install -e '.\[test\]'", said)


def test_the_extra_dev_pins_what_pre_commit_runs() -> None:
    hooks = (ROOT / ".pre-commit-config.yaml").read_text("utf-8")
    pins = re.findall(r'^    "([\w-]+)==', (ROOT / "pyproject.toml").read_text("utf-8"), re.M)
    assert {line.split()[0] for line in re.findall(r"entry: ([^,]+)", hooks)} == set(pins)
    assert 'pip install -e ".[dev]"' in hooks
