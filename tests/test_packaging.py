# SPDX-License-Identifier: BSD-3-Clause
"""What is shipped: metadata and the sdist's contents. The wheel is tried by tests/jobs/wheel.py."""

import ast
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.metadata import metadata, requires, version
from pathlib import Path

import pytest

import fastbp

ROOT = Path(__file__).parents[1]

# Not in the sdist: what serves the repository only.
REPOSITORY_FILES = {".gitignore", ".ci", ".github"}
BUILT = shutil.ignore_patterns(
    ".git", "build", "dist", "*.egg-info", "*.so", "*.pyd", "*.o", "__pycache__", ".*_cache",
    ".hypothesis", ".venv", "venv", "results", "auto_examples", "generated",
)  # fmt: skip


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command; its output is the message if it fails."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the source tree without what was built in it."""
    return Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / "tree", ignore=BUILT))


@pytest.fixture(scope="module")
def sources(tree: Path) -> set[str]:
    return {name for name in files_below(tree) if name.split("/")[0] not in REPOSITORY_FILES}


@pytest.fixture(scope="module")
def sdist(tree: Path, sources: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    build = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    run(sys.executable, "-c", build, folder, cwd=tree)
    (archive,) = folder.iterdir()
    return archive


def test_version_is_the_packages_own() -> None:
    assert version("fastbp") == fastbp.__version__


def test_the_citation_is_of_this_version() -> None:
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert f"\nversion: {fastbp.__version__}\n" in text


def test_version_is_written_once() -> None:
    pattern = re.compile(rf"""["']{re.escape(fastbp.__version__)}["']""")
    papers = [ROOT / "setup.py", ROOT / "pyproject.toml", *ROOT.glob("fastbp/*.py*")]
    places = [path.name for path in papers if pattern.search(path.read_text("utf-8"))]
    assert places == ["__init__.py"]


def test_changelog_speaks_of_this_version() -> None:
    assert f"\n## {fastbp.__version__} " in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_metadata() -> None:
    fields = metadata("fastbp")
    assert fields["Requires-Python"] == ">=3.10"
    assert "BSD-3-Clause" in (fields["License-Expression"] or fields["License"])
    assert {"plot", "progress", "table", "test", "bench", "dev"} <= set(
        fields.get_all("Provides-Extra") or []
    )


def test_every_import_is_a_declared_dependency() -> None:
    # An extra's packages are imported where they are needed, with a message if they are missing.
    declared = {
        re.split(r"[^\w-]", line)[0].replace("scikit-learn", "sklearn")
        for line in requires("fastbp") or []
        if "extra ==" not in line or re.search(r'extra == "(plot|progress|table)"', line)
    }
    declared.add("IPython")  # a notebook has it
    imported = set()
    for path in ROOT.glob("fastbp/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").split(".")[0])
    assert imported - set(sys.stdlib_module_names) - {"fastbp"} <= declared


def test_sdist_holds_every_source(sdist: Path, sources: set[str]) -> None:
    with tarfile.open(sdist) as archive:
        members = {member.name.partition("/")[2] for member in archive if member.isfile()}
    made = {name for name in members if name.startswith("fastbp.egg-info/")}
    assert members - made - {"PKG-INFO", "setup.cfg"} == sources
