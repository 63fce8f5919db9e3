# SPDX-License-Identifier: BSD-3-Clause
"""No instruction that a CPU may lack stands outside the kernel family that needs it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest
from c_build import CORE, NO_COMPILER

from fastbp import _core

pytestmark = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or shutil.which("objdump") is None,
    reason="reads the instructions of x86-64 with objdump",
)

#: What each family's functions may have beyond the SSE2 of every x86-64 CPU.
ALLOWED = {
    "avx2": {"SSE4", "VEX", "ymm"},
    "avx512": {"SSE4", "VEX", "ymm", "zmm", "opmask", "EVEX"},
}
#: Families of split products, which are float32 only.
ALLOWED["avx512bf16"] = ALLOWED["avx512"] | {"BF16"}
ALLOWED["amx"] = ALLOWED["avx512bf16"] | {"tile"}
REALS = [(family, real) for family in ("avx2", "avx512") for real in ("f32", "f64")]
REALS += [("avx512bf16", "f32"), ("amx", "f32")]
#: Kinds of instruction, as objdump writes them after a tab.
KINDS = {
    "SSE4": (  # and SSE3, SSSE3, popcnt
        r"\t(?:(?:addsub|h(?:add|sub))p[sd]|movddup|movs[hl]dup|lddqu|ph(?:add|sub)\w+|pshufb"
        r"|psign[bwd]|pabs[bwd]|palignr|pmaddubsw|pmulhrsw|p?blend\w+|round[ps][sd]|dpp[sd]|ptest"
        r"|pmul(?:ld|dq)|pcmp(?:eq|gt)q|p(?:insr|extr)[bdq]|insertps|extractps|pm(?:in|ax)(?:s[bd]|u[wd])"
        r"|pmov[sz]x\w+|packusdw|movntdqa|mpsadbw|phminposuw|pcmp[ei]str[im]|crc32\w*|popcnt)\b"
    ),
    "BMI": (
        r"\t(?:andn|bextr|bls\w+|bzhi|mulx|pdep|pext|rorx|sarx|sh[lr]x|lzcnt|ad[co]x|movbe)[lq]?\b"
    ),
    "VEX": r"\tv(?!er[rw]\b)[a-z]",
    "ymm": r"%ymm\d",
    "zmm": r"%zmm\d",
    "opmask": r"%k[0-7]\b",
    "EVEX": r"%[xyz]mm(?:1[6-9]|2\d|3[01])\b",
    "BF16": r"\tv(?:dpbf16ps|cvtne2?ps2bf16)",
    "tile": r"%tmm\d|\t(?:[ls][dt]tilecfg|tilerelease)",
}


def objdump(file: str, *options: str) -> list[str]:
    command = ["objdump", *options, file]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


def sources(binary: str) -> dict[int, str]:
    """Return the source file of each function, by address; a function seen by others has none."""
    found, file = {}, ""
    for line in objdump(binary, "--syms"):
        symbol = re.match(r"([0-9a-f]+) (.{7}) (\S+)\s+[0-9a-f]+\s*(.*)", line)
        if symbol and "df" in symbol[2]:
            file = symbol[4]
        elif symbol and "F" in symbol[2]:
            found[int(symbol[1], 16)] = file
    return found


@cache
def kinds_by_source(binary: str = _core.__file__) -> dict[str, dict[str, str]]:
    """Return, for each source file, the kinds of instruction in it, with an example of each."""
    source_of = sources(binary)
    kinds: dict[str, dict[str, str]] = defaultdict(dict)
    source = ""
    for line in objdump(binary, "--disassemble", "--no-show-raw-insn", "--section=.text"):
        head = re.match(r"([0-9a-f]+) <(.*)>:$", line)
        if head:
            source = source_of.get(int(head[1], 16), "")
            kinds[source].setdefault("any", head[2])
            continue
        for kind, pattern in KINDS.items():
            if re.search(pattern, line):
                kinds[source].setdefault(kind, line.strip())
    return kinds


def family_of(source: str) -> str:
    return source.rpartition("_")[0] if (CORE / "isa" / source).is_file() else ""


def test_functions_are_told_by_their_source() -> None:
    names = {path.name for path in (CORE / "isa").glob("*_f[36][24].c") if path.name[:4] != "neon"}
    assert names <= set(kinds_by_source()), "the extension has been stripped"


@pytest.mark.parametrize(("family", "real"), REALS)
def test_a_family_has_its_instructions(family: str, real: str) -> None:
    assert ALLOWED[family] - {"SSE4"} <= set(kinds_by_source()[f"{family}_{real}.c"])


def misplaced(binary: str = _core.__file__) -> dict[str, dict[str, str]]:
    """Return, by source file, an instruction of each kind that its functions may not have."""
    found = {}
    for source, kinds in kinds_by_source(binary).items():
        allowed = ALLOWED.get(family_of(source), set()) | {"any"}
        if kinds.keys() - allowed:
            found[source] = {kind: kinds[kind] for kind in kinds.keys() - allowed}
    return found


def test_nothing_else_has_them() -> None:
    assert misplaced() == {}


def test_every_function_is_looked_at() -> None:
    """All code lies in .text, but for what the linker makes."""
    code = [line.split() for line in objdump(_core.__file__, "--section-headers", "--wide")]
    names = {words[1] for words in code if "CODE" in " ".join(words)}
    assert names <= {".text", ".init", ".fini", ".plt", ".plt.got", ".plt.sec"}
    assert {"train.c", "avx2_f64.c", ""} <= kinds_by_source().keys()


@pytest.mark.skipif(NO_COMPILER is not None, reason=str(NO_COMPILER))
def test_a_planted_instruction_is_found(tmp_path: Path) -> None:
    """Of each kind, in a function of a file that may have none, beside one that may."""
    lines = {
        "SSE4": "ptest %xmm0, %xmm0",
        "BMI": "andn %rax, %rax, %rax",
        "VEX": "vaddps %xmm0, %xmm0, %xmm0",
        "ymm": "vaddps %ymm0, %ymm0, %ymm0",
        "zmm": "vaddps %zmm0, %zmm0, %zmm0",
        "opmask": "kmovw %eax, %k1",
        "EVEX": "vaddps %xmm17, %xmm0, %xmm0",
        "BF16": "vdpbf16ps %zmm0, %zmm0, %zmm0",
        "tile": "tilerelease",
    }
    assert lines.keys() == KINDS.keys()
    for kind, line in lines.items():
        for name in ("train", "avx512_f32"):
            code = f'static void {name}(void) {{ __asm__ volatile("{line}"); }}\n'
            (tmp_path / f"{name}.c").write_text(f"__attribute__((used)) {code}")
        library = str(tmp_path / f"{kind}.so")
        files = [str(tmp_path / f"{name}.c") for name in ("train", "avx512_f32")]
        command = [*os.environ.get("CC", "cc").split(), "-shared", "-fPIC", "-O1", *files]
        subprocess.run([*command, "-o", library], check=True)
        found = misplaced(library)
        assert kind in found["train.c"]
        assert (kind in found.get("avx512_f32.c", {})) == (kind not in ALLOWED["avx512"])
