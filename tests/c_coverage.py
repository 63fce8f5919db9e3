# SPDX-License-Identifier: BSD-3-Clause
"""What the C tests execute of the core: gcc's --coverage, read by gcov.

A line of a template is compiled for several families and types. It counts as executed, and a branch
as taken, if it is in any one of them.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

from c_build import C_TESTS, CORE, make

#: Templates' functions stay functions: copies of a line in one function cannot be told apart.
FLAGS = (
    "-O0 --coverage -fprofile-abs-path -fprofile-update=atomic -Dalways_inline=noinline -DCOUNTED"
)
PORTABLE = "-DFBP_NO_SIMD"
SLOWEST = 900  # seconds; a test program takes some

Lines = dict[str, dict[int, list[list[int]]]]
"""By file and line: for each function that holds the line its count, then its branches'."""


def build(
    folder: Path, core: Path = CORE, defines: str = PORTABLE, only: str | None = None
) -> list[str]:
    """Build test programs with counters, all or some, and return their names."""
    options = {} if only is None else {"ONLY": only}
    if PORTABLE in defines:
        options["IN_SOFTWARE"] = ""
    make("programs", CORE=core, BUILD=folder, OPT=FLAGS, DEFINES=defines, WARN="-w", **options)
    names = [path.name for path in folder.iterdir() if os.access(path, os.X_OK) and path.is_file()]
    return sorted(names)


def run(folder: Path, program: str, counts: Path) -> None:
    """Run a test program, which must pass; its counters are added to those in a folder."""
    environment = {
        **os.environ,
        "FBP_FEWER_CASES": "1",
        "GCOV_PREFIX": str(counts),
        "GCOV_PREFIX_STRIP": str(len(folder.resolve().parts) - 1),
    }
    done = subprocess.run(
        [folder / program],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SLOWEST,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{program} fails where nothing is planted\n{done.stdout[-2000:]}")


def read(folder: Path, counts: Path, core: Path = CORE) -> Lines:
    """Return what the counters in a folder say of the core."""
    core = core.resolve()
    found: Lines = {}
    for path in sorted(counts.rglob("*.gcda")):
        notes = (folder / path.relative_to(counts)).with_suffix(".gcno")
        path.with_suffix(".gcno").unlink(missing_ok=True)
        path.with_suffix(".gcno").symlink_to(notes.resolve())
        for file, lines in gcov(path, core):
            add(found.setdefault(file, {}), lines)
    return found


def gcov(path: Path, core: Path) -> Iterable[tuple[str, list[dict[str, Any]]]]:
    """Give the core's files that an object was made of, and what gcov says of their lines."""
    command = ["gcov", "--json-format", "--branch-probabilities", "--stdout", str(path)]
    said = subprocess.run(command, cwd=path.parent, stdout=subprocess.PIPE, check=True)
    for part in said.stdout.splitlines():
        for file in json.loads(part)["files"]:
            name = Path(os.path.normpath(C_TESTS / file["file"]))
            if name.is_relative_to(core):
                yield name.relative_to(core).as_posix(), file["lines"]


def add(lines: dict[int, list[list[int]]], said: list[dict[str, Any]]) -> None:
    for line in said:
        counts = [line["count"], *(branch["count"] for branch in line["branches"])]
        lines.setdefault(line["line_number"], []).append(counts)


def executed(folder: Path, programs: Iterable[str], work: Path, core: Path = CORE) -> Lines:
    """Run programs, two at a time, and return what they executed together."""
    with ThreadPool(2) as pool:
        pool.map(lambda program: run(folder, program, work), programs, chunksize=1)
    return read(folder, work, core)


def by_program(folder: Path, programs: Iterable[str], work: Path) -> dict[str, Lines]:
    """Return what each of some programs executes."""

    def one(program: str) -> tuple[str, Lines]:
        return program, executed(folder, [program], work / program)

    with ThreadPool(2) as pool:
        return dict(pool.map(one, programs, chunksize=1))
