# SPDX-License-Identifier: BSD-3-Clause
"""The mutants of jobs/mutation.py, and the lists of what the C tests leave out."""

from __future__ import annotations

from pathlib import Path

import pytest
from c_build import CORE
from explained import explanations
from mutants import Mutant, functions, mutants, numbered, visible

TESTS = Path(__file__).parent
SOURCE = """\
/* if (a < b) return 0; */
#define LESS(a, b) \\
    ((a) < (b))
static const int table[] = {0, 1};

int KERNEL(pick)(const int *a, int n)
{
    int found = 2; // n < 0
    for (int i = 0; i < n; i++) {
        if (a[i] == 7 && !table[1]) found += a[i] * 3;
    }
    puts("a < b");
    return n > 2 ? found : -1;
}
"""
CHANGES = """\
for (int i = 1; i < n; i++) {
for (int i = 0; i <= n; i++) {
for (int i = 0; i < n; i--) {
if (!(a[i] == 7 && !table[1])) found += a[i] * 3;
if (a[i] != 7 && !table[1]) found += a[i] * 3;
if (a[i] == 7 || !table[1]) found += a[i] * 3;
if (a[i] == 7 && table[1]) found += a[i] * 3;
if (a[i] == 7 && !table[0]) found += a[i] * 3;
without found += a[i] * 3;
if (a[i] == 7 && !table[1]) found -= a[i] * 3;
if (a[i] == 7 && !table[1]) found += a[i] / 3;
without puts("a < b");
return n >= 2 ? found : -1;
return n > 2 ? found : -0;
"""


def of_source(tmp_path: Path) -> list[Mutant]:
    (tmp_path / "pick.c").write_text(SOURCE)
    return mutants(tmp_path, "pick.c")


def test_what_is_changed(tmp_path: Path) -> None:
    found = of_source(tmp_path)
    assert sorted(mutant.change for mutant in found) == sorted(CHANGES.splitlines())
    assert {mutant.function for mutant in found} == {"pick"}


def test_a_mutant_is_one_line_of_the_source(tmp_path: Path) -> None:
    before = SOURCE.splitlines()
    for mutant in of_source(tmp_path):
        after = mutant.apply(SOURCE).splitlines()
        assert len(after) == len(before)
        changed = [i for i, line in enumerate(after, 1) if line != before[i - 1]]
        assert changed == [mutant.line], mutant


def core_files() -> list[str]:
    return [path.relative_to(CORE).as_posix() for path in sorted(CORE.rglob("*.[ch]"))]


def test_mutants_of_the_core_have_names_of_their_own() -> None:
    found = [mutant for file in core_files() for mutant in mutants(CORE, file)]
    assert len(found) > 4000
    assert len(numbered(found)) == len(found)
    for file in ("net.c", "train.c", "kernels/gemm_tmpl.c"):
        assert sum(mutant.file == file for mutant in found) > 100


def test_survivors_are_mutants() -> None:
    names = numbered([mutant for file in core_files() for mutant in mutants(CORE, file)])
    known = set(names) | {f"{mutant.file} {mutant.function}" for mutant in names.values()}
    assert set(explanations(TESTS / "survivors.txt")) <= known


def test_lines_that_are_not_executed_are_in_the_core() -> None:
    known = set()
    for path in [*sorted(CORE.rglob("*.[ch]")), CORE / "registry.def"]:
        file, text = path.relative_to(CORE).as_posix(), path.read_text("utf-8")
        known |= {f"{file}: {' '.join(line.split())}" for line in text.splitlines()}
        known |= {f"{file} {name}" for name, _, _ in functions(visible(text))}
    assert set(explanations(TESTS / "not_executed.txt")) <= known


def test_nothing_is_explained_twice(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("# a comment\n\nA reason.\n    a.c: x;\n    a.c pick\n")
    assert explanations(path) == {"a.c: x;": "A reason.", "a.c pick": "A reason."}
    for wrong in ("    a.c: x;\n", "A reason.\n    a.c: x;\nAnother.\n    a.c: x;\n"):
        path.write_text(wrong)
        with pytest.raises(ValueError, match="no reason, or two"):
            explanations(path)
