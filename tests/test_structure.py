# SPDX-License-Identifier: BSD-3-Clause
"""The layering of the C core: who may include, name and do what."""

import os
import re
import shutil
import subprocess
import sysconfig
from functools import cache
from pathlib import Path

import pytest

from fastbp import _core

ROOT = Path(__file__).parents[1]
CSRC = ROOT / "csrc"
C_FILES = sorted(path for path in CSRC.rglob("*") if path.suffix in {".c", ".h", ".def"})
CORE = [path for path in C_FILES if path.parent == CSRC]
KERNELS = [path for path in C_FILES if path.parent == CSRC / "kernels"]
FAMILIES = [path for path in C_FILES if path.parent == CSRC / "isa"]
COMPILED = [path for path in CORE + FAMILIES if path.suffix == ".c"]

# From the bottom up, by stem. A file may include its own layer and those below.
LAYERS = [
    {"registry", "fbp"},
    {"pace"},
    {"internal"},
    {
        "arena",
        "team",
        "phases",
        "dispatch",
        "data",
        "dropout",
        "sparse",
        "split",
        "tasks",
        "form",
        "loss",
        "net",
        "parameters",
        "retire",
        "shuffle",
        "widen",
    },
    {"forward", "backward", "gradient"},
    {"train", "predict", "rows", "check"},
]
LAYER = {stem: number for number, layer in enumerate(LAYERS) for stem in layer}
# What the core may know of the families: target macros, the floating-point environment, and, in
# dispatch.c, what a kernel says of its CPU.
OPEN_TO_THE_CORE = {"isa/target.h", "isa/fpenv.h", "isa/amx_cpu.h"}
# Families whose instructions every CPU of their architecture has: no target to open.
OPEN_EVERYWHERE = ("ref_", "sse2_", "neon_")
# The files that own a parallel region; team.h opens it.
REGION_OWNERS = {"train.c", "predict.c", "check.c", "parameters.c"}


def by_name(paths: list[Path]) -> pytest.MarkDecorator:
    names = [path.relative_to(CSRC).as_posix() for path in paths]
    return pytest.mark.parametrize("path", paths, ids=names)


@cache
def code(path: Path) -> str:
    """Return a file's code without comments; strings stay."""
    token = re.compile(r'"(?:\\.|[^"\\\n])*"|/\*.*?\*/|//[^\n]*', re.S)
    return token.sub(lambda found: found[0] if found[0][0] == '"' else " ", path.read_text("utf-8"))


def includes(path: Path) -> list[str]:
    """Return the project's own files that a file includes, from csrc on."""
    names = re.findall(r'^\s*#\s*include\s+"([^"]+)"', code(path), re.M)
    beside = {name: (path.parent / name).resolve() for name in names}
    found = [near if near.exists() else CSRC / name for name, near in beside.items()]
    return [included.relative_to(CSRC).as_posix() for included in found]


def system_includes(path: Path) -> set[str]:
    return set(re.findall(r"^\s*#\s*include\s+<([^>]+)>", code(path), re.M))


def registry(row: str) -> list[list[str]]:
    """Return the rows of one kind in registry.def, split at commas."""
    rows = re.findall(rf"^FBP_{row}\((.*)\)$", code(CSRC / "registry.def"), re.M)
    return [[cell.strip() for cell in cells.split(",")] for cells in rows]


ISAS = [cells[1] for kind in ("ISA", "SPLIT_ISA") for cells in registry(kind)]
KINDS = ("ACTIVATION", "LOSS", "SOLVER", "PRECISION")
OPTIONS = [row[1] for kind in KINDS for row in registry(kind)]


# Includes


@by_name(CORE)
def test_core_includes_its_own_layer_and_those_below(path: Path) -> None:
    assert path.stem in LAYER, "a new file of the core gets its place in LAYERS"
    for name in includes(path):
        if name in OPEN_TO_THE_CORE:
            continue
        assert "/" not in name
        assert LAYER[Path(name).stem] <= LAYER[path.stem], name


def test_public_header_needs_nothing_but_the_registry() -> None:
    assert set(includes(CSRC / "fbp.h")) == {"registry.def"}
    assert system_includes(CSRC / "fbp.h") == {"stddef.h", "stdint.h"}


@by_name(KERNELS)
def test_kernels_include_only_kernels_and_the_registry(path: Path) -> None:
    assert path.name.endswith("_tmpl.c")
    assert not system_includes(path)
    assert all(name.startswith("kernels/") or name == "registry.def" for name in includes(path))


@by_name(FAMILIES)
def test_families_include_vocabulary_and_templates(path: Path) -> None:
    allowed = set()
    if path.suffix == ".c":
        allowed = {"internal.h", "split.h"} | {path for path in includes(path) if "_tmpl" in path}
    assert all(name.startswith("isa/") or name in allowed for name in includes(path))


@by_name([path for path in FAMILIES if path.suffix == ".c"])
def test_a_familys_headers_come_before_its_target(path: Path) -> None:
    # Functions of system headers and of internal.h must not be compiled for the family.
    text = code(path)
    if "FBP_TARGET_BEGIN" not in text:
        assert path.stem.startswith(OPEN_EVERYWHERE) or "kernels/" not in text
        return
    before, inside = text.split("FBP_TARGET_BEGIN", 1)
    assert re.search('#include "(internal|split).h"', before)
    assert not re.search(r"#\s*include\s*<", inside)


# Names


@by_name([path for path in CORE + KERNELS if path.name != "team.h"])
def test_intrinsics_live_in_isa(path: Path) -> None:
    assert not re.search(r"\b_(mm\d*|tile)_\w+|\b__m(128|256|512)|\bv\w+q_f(32|64)\b", code(path))
    assert not {name for name in system_includes(path) if re.search("mmintrin|neon|amx", name)}


def test_team_knows_no_intrinsic_but_pause() -> None:
    assert set(re.findall(r"\b_mm\d*_\w+", code(CSRC / "team.h"))) == {"_mm_pause"}


@by_name([path for path in CORE + KERNELS if path.name not in {"dispatch.c", "registry.def"}])
def test_family_names_live_in_isa_dispatch_and_registry(path: Path) -> None:
    names = "|".join(ISAS)
    found = re.findall(rf"\b(?:\w+_)?(?:{names})(?:_\w+)?\b", code(path), re.I)
    assert not found


@by_name([path for path in C_FILES if path.name != "registry.def"])
def test_option_names_live_in_the_registry(path: Path) -> None:
    strings = set(re.findall(r'"((?:\\.|[^"\\\n])*)"', code(path)))
    assert not strings & {*OPTIONS, *ISAS}


def test_registry_is_what_python_sees() -> None:
    seen = _core.names()
    for key, row in [
        ("activations", "ACTIVATION"),
        ("losses", "LOSS"),
        ("solvers", "SOLVER"),
        ("precisions", "PRECISION"),
    ]:
        assert list(seen[key]) == [cells[1] for cells in registry(row)]
    assert list(seen["isas"]) == ISAS
    assert [_core.loss_link(cells[1]) for cells in registry("LOSS")] == [
        cells[2] for cells in registry("LOSS")
    ]


# What code may do


@by_name([path for path in C_FILES if path.stem != "team"])
def test_openmp_lives_in_team(path: Path) -> None:
    assert not re.search(r"#\s*pragma\s+omp|_Pragma\(\"omp|\bomp_\w+\(", code(path))
    assert "omp.h" not in system_includes(path)
    if re.search(r"\bfbp_team_(run|barrier)\b", code(path)):
        assert path.name in REGION_OWNERS


@by_name(C_FILES)
def test_nothing_ends_the_process_prints_or_jumps(path: Path) -> None:
    forbidden = (
        "abort|exit|_exit|_Exit|quick_exit|assert|raise|signal|longjmp|setjmp|errno|perror"
        "|v?f?s?n?printf|puts|fputs|putchar|fopen|fwrite|getenv|system"
    )
    assert not re.findall(rf"\b(?:{forbidden})\b", code(path))


@by_name([path for path in C_FILES if path.name != "arena.c"])
def test_memory_comes_from_the_arena(path: Path) -> None:
    allocators = set(re.findall(r"\b(\w*alloca?|\w*free|strn?dup)\s*\(", code(path)))
    # The net gives back the arena's one block.
    assert allocators <= ({"free"} if path.name == "net.c" else set())


@by_name(KERNELS)
def test_kernels_hold_no_state(path: Path) -> None:
    # static data would be shared by threads; const tables are welcome.
    text = re.sub(r"^\s*#(?:[^\n]*\\\n)*[^\n]*", "", code(path), flags=re.M)
    data = re.findall(r"^\s*(?:static|extern)\b[^;{(]*(?:;|=|\[)", text, re.M)
    assert [declaration for declaration in data if "const" not in declaration] == []


@by_name(C_FILES)
def test_no_dead_code(path: Path) -> None:
    assert not re.search(r"^\s*#\s*if\s+0\b", code(path), re.M)
    assert path.read_text("utf-8").startswith("/* SPDX-License-Identifier: BSD-3-Clause */\n")


# Symbols


def global_symbols(file: Path, *options: str) -> set[str]:
    listing = subprocess.run(
        ["nm", "--defined-only", *options, str(file)], text=True, capture_output=True, check=True
    ).stdout
    return {line.split()[-1] for line in listing.splitlines() if line.strip()}


def test_the_extension_exports_its_initialisation_only() -> None:
    assert global_symbols(Path(_core.__file__), "--dynamic") == {"PyInit__core"}


@by_name(COMPILED)
def test_visible_symbols_start_with_fbp(path: Path, tmp_path: Path) -> None:
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    assert shutil.which(compiler[0]), "the compiler that built the extension"
    made = tmp_path / "made.o"
    flags = ["-std=gnu11", "-O0", "-fno-math-errno", "-fopenmp", f"-I{CSRC}"]
    subprocess.run([*compiler, *flags, "-c", str(path), "-o", str(made)], check=True)
    assert all(name.startswith("fbp_") for name in global_symbols(made, "--extern-only"))


# The public header and its mirror


def test_every_public_function_is_documented() -> None:
    text = (CSRC / "fbp.h").read_text("utf-8")
    blocks = re.findall(r"/\*\*((?:(?!\*/).)*)\*/\s*((?:[^;{]*\bfbp_\w+\([^;]*;\s*)+)", text, re.S)
    documented = {name for _, heads in blocks for name in re.findall(r"\b(fbp_\w+)\(", heads)}
    assert documented == declared(text)
    for comment, heads in blocks:
        if "(*" not in heads:
            assert "Threads" in comment and "Memory" in comment, heads


def declared(text: str) -> set[str]:
    """Return the functions that a header or its mirror declares."""
    bare = re.sub(r"/\*.*?\*/|#[^\n]*", " ", text, flags=re.S)
    return set(re.findall(r"\b(fbp_\w+)\(", bare))


def test_pxd_mirrors_the_public_header() -> None:
    mirror = (ROOT / "fastbp" / "_fbp.pxd").read_text("utf-8")
    assert declared(mirror) == declared((CSRC / "fbp.h").read_text("utf-8"))
    assert re.findall(r"cdef extern from \"([^\"]+)\"", mirror) == ["fbp.h"]


# The build


def test_flags_keep_arithmetic_portable_and_exact() -> None:
    papers = [ROOT / "setup.py", *(ROOT / "tests" / "c").glob("Makefile")]
    for paper in papers:
        text = paper.read_text("utf-8")
        assert not re.search(r"-ffast-math|-Ofast|-march=native|-funsafe|/fp:fast", text)
        assert "-ffp-contract=off" in text
