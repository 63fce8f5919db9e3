# SPDX-License-Identifier: BSD-3-Clause
"""The Python package on older x86-64 CPUs, which qemu-x86_64 emulates: family, digests, tests."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: By CPU: the family to be chosen there, and all that there are. The emulator knows no AVX-512.
CPUS = {
    "Nehalem": ("sse2", ["ref", "sse2"]),
    "Haswell": ("avx2", ["ref", "sse2", "avx2"]),
    "max": ("avx2", ["ref", "sse2", "avx2"]),
}
SOME = ["softmax nesterov", "huber, cosine", "early stopping", "sparse"]
LOOK = """
import json, sys
import digests
from fastbp import _core
names = json.loads(sys.argv[1]) or list(digests.CONFIGURATIONS)
found = {(n, k): digests.compute(n, k) for n in names for k in digests.kinds_of_bits()}
wrong = [case for case, digest in found.items() if digests.read()[case[0]][case[1]] != digest]
print(json.dumps([_core.default_isa(), _core.available_isas(), len(found), wrong]))
"""
PIN = "from fastbp import _core; _core.default_isa()"
#: An instruction of AVX2, in a program that says nothing of it.
PLANTED = 'int main(void) { __asm__ volatile("vpaddd %ymm0, %ymm0, %ymm0"); return 0; }'
#: Quick ones: the core's calls and families, and the digests by pytest.
TESTS = ["test_core_calls.py", "test_core_process.py", "test_digests.py"]


def run(cpu: str, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(ROOT / "tests"), os.environ.get("PYTHONPATH", ""), str(ROOT)])
    inherited = {name: value for name, value in os.environ.items() if name != "FASTBP_ISA"}
    environment = {**inherited, "PYTHONPATH": path, **variables}
    return subprocess.run(
        ["qemu-x86_64", "-cpu", cpu, *command], env=environment, capture_output=True, text=True
    )


def is_stopped_by_an_instruction(cpu: str) -> bool:
    """Tell whether a program with an instruction that the CPU lacks is ended by that."""
    source = Path(os.environ["JOBS_WORK"], "planted.c")
    program = source.with_suffix("")
    source.write_text(PLANTED)
    subprocess.run(["gcc", str(source), "-o", str(program)], check=True)
    return run(cpu, [str(program)]).returncode in (-signal.SIGILL, 128 + signal.SIGILL)


def refuses_what_is_missing(cpu: str) -> bool:
    done = run(cpu, [sys.executable, "-c", PIN], FASTBP_ISA="avx512")
    last = done.stderr.strip().splitlines()[-1]
    return (
        done.returncode == 1 and last.startswith("ValueError") and ", ".join(CPUS[cpu][1]) in last
    )


def looks_right(cpu: str, names: list[str]) -> bool:
    done = run(cpu, [sys.executable, "-c", LOOK, json.dumps(names)])
    if done.returncode != 0:
        print(done.stderr[-3000:])
        return False
    best, isas, n_digests, wrong = json.loads(done.stdout.splitlines()[-1])
    print(f"{cpu}: {best} of {', '.join(isas)}; {n_digests} digests, {len(wrong)} wrong {wrong}")
    return (best, isas, wrong) == (*CPUS[cpu], []) and n_digests > 0


def passes_tests(cpu: str) -> bool:
    files = [str(ROOT / "tests" / name) for name in TESTS]
    done = run(cpu, [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *files])
    print(done.stdout[-3000:])
    return done.returncode == 0


def main() -> int:
    if not is_stopped_by_an_instruction("Nehalem"):
        print("the emulated CPU ran an instruction that it lacks")
        return 1
    if "--exhaustive" not in sys.argv[1:]:
        return not looks_right("Nehalem", SOME)
    checks = [
        check
        for cpu in CPUS
        for check in (looks_right(cpu, []), refuses_what_is_missing(cpu), passes_tests(cpu))
    ]
    print(f"{sum(checks)} of {len(checks)} checks passed")
    return not all(checks)


if __name__ == "__main__":
    sys.exit(main())
