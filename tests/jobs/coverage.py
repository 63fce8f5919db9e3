# SPDX-License-Identifier: BSD-3-Clause
"""The C tests execute every line of the core and take every branch (promise 19).

What no test executes is listed in tests/not_executed.txt, with a reason each. Short: the portable
family. Long: all families of this CPU, AMX's tiles in software.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import c_coverage
from c_build import CORE
from c_coverage import Lines
from explained import explanations
from mutants import functions, visible

NOT_EXECUTED = Path(__file__).resolve().parents[1] / "not_executed.txt"
#: Reasons that begin so are none in the long form.
PORTABLE_ONLY = "portable"
#: A hole: no test has a net of so many layers.
HOLE_FILE = "net.c"
HOLE_AT = "int fbp_spec_is_valid(const fbp_spec *s)\n{\n"
HOLE = "if (s && s->n_layers == 12345) return 0;"


def branches(counts: list[list[int]]) -> list[int]:
    """Return how often each branch of a line is taken, in all functions that hold it together.

    Where constants have decided a branch there are fewer: those with most have all.
    """
    most = max(map(len, counts))
    return [sum(column) for column in zip(*(c for c in counts if len(c) == most), strict=True)][1:]


class Hole(NamedTuple):
    file: str
    line: int
    function: str
    text: str
    missing: str

    def names(self) -> tuple[str, str]:
        """What the list may call it, itself or all of its function: no number of a line."""
        return f"{self.file}: {self.text}", f"{self.file} {self.function}"

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.missing}: {self.text}"


def functions_by_line(text: str) -> dict[int, str]:
    """Return the function that holds each line, its head included."""
    code = visible(text)
    of_line = {}
    for name, begin, end in functions(code):
        head = re.split(r"[;}]", code[: begin - 1])[-1].lstrip()
        first = code.count("\n", 0, begin - 1 - len(head.rstrip()))
        for line in range(first, code.count("\n", 0, end) + 2):
            of_line[line] = name
    return of_line


def holes(lines: Lines, core: Path) -> Iterator[Hole]:
    """Give the lines that have something not executed."""
    for file, by_number in sorted(lines.items()):
        text = (core / file).read_text("utf-8")
        of_line = functions_by_line(text)
        for number, counts in sorted(by_number.items()):
            taken = branches(counts)
            missing = ""
            if not any(count[0] for count in counts):
                missing = "not executed"
            elif n := taken.count(0):
                missing = f"not taken: {n} of {len(taken)} branches"
            if missing:
                line = " ".join(text.splitlines()[number - 1].split())
                yield Hole(file, number, of_line.get(number, ""), line, missing)


def of_this_cpu(lines: Lines) -> Lines:
    """Return the lines without families of other CPUs, which are named."""
    others = sorted(
        file
        for file, by_number in lines.items()
        if file.startswith("isa/") and not any(c[0] for cs in by_number.values() for c in cs)
    )
    if others:
        print("of other CPUs, or AMX's own:", ", ".join(others))
    return {file: by_number for file, by_number in lines.items() if file not in others}


def summary(lines: Lines) -> str:
    executed = [any(c[0] for c in counts) for by in lines.values() for counts in by.values()]
    taken = [bool(n) for by in lines.values() for counts in by.values() for n in branches(counts)]
    return (
        f"{sum(executed)} of {len(executed)} lines executed ({sum(executed) / len(executed):.1%}), "
        f"{sum(taken)} of {len(taken)} branches taken ({sum(taken) / len(taken):.1%})"
    )


def planted(work: Path) -> bool:
    """A copy of the core gets a branch that no test takes; it must be found."""
    core = work / "core"
    shutil.copytree(CORE, core)
    source = core / HOLE_FILE
    text = source.read_text("utf-8")
    if text.count(HOLE_AT) != 1:
        raise RuntimeError("the place to plant a hole in has changed: change it here, too")
    source.write_text(text.replace(HOLE_AT, f"{HOLE_AT}    {HOLE}\n"), "utf-8")
    folder = work / "planted"
    c_coverage.build(folder, core, only="api")
    lines = c_coverage.executed(folder, ["test_api"], work / "planted-counts", core)
    found = [hole for hole in holes(lines, core) if hole.text == HOLE]
    print(*found, sep="\n")
    return bool(found)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="all families of this CPU")
    options = parser.parse_args()
    reasons = {
        name: reason
        for name, reason in explanations(NOT_EXECUTED).items()
        if not (options.exhaustive and reason.startswith(PORTABLE_ONLY))
    }
    with tempfile.TemporaryDirectory(dir=os.environ.get("JOBS_WORK")) as name:
        work = Path(name)
        if not planted(work):
            print("the planted hole was not seen")
            return 1
        defines = "" if options.exhaustive else c_coverage.PORTABLE
        programs = c_coverage.build(work / "build", defines=defines)
        lines = c_coverage.executed(work / "build", programs, work / "counts")
    found = list(holes(of_this_cpu(lines), CORE))
    unexplained = [hole for hole in found if not any(name in reasons for name in hole.names())]
    print(*unexplained, sep="\n")
    print(
        f"{summary(lines)}; {len(found)} lines lack something, {len(unexplained)} without a reason"
    )
    return int(bool(unexplained))


if __name__ == "__main__":
    sys.exit(main())
