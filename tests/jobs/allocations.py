# SPDX-License-Identifier: BSD-3-Clause
"""Allocations of the extension fail in turn: a MemoryError, nothing changed, the next call works.

A preloaded library (tests/failing_memory.c) counts the allocations of a call and fails number 0,
1, 2, … until none is left: that one only or, of the module's own, all from there on. Each call must
raise MemoryError and leave the estimator bit for bit as it was, or else give the bits of an
undisturbed one; called again, it must give those. Swept are

own     malloc, calloc, realloc, aligned_alloc, posix_memalign and mmap whose return address lies in
        the extension module: the C core's, one calloc per network;
behalf  these and the ones that Python's C code makes for the module: the stack, from the allocation
        outwards, comes to the module before it comes to Python's interpreter loop or to NumPy.
        Python runs with PYTHONMALLOC=malloc, so that an object is a block; what its types recycle
        is none.

Not covered: allocations of NumPy, also for the module's arrays, of SciPy, scikit-learn and all
Python code; OpenMP's own, after whose failure libgomp ends the process; the dynamic linker's
thread-local blocks, after whose failure it does so, too.
"""

from __future__ import annotations

import argparse
import copy
import random
import re
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from faults import digest_of_all
from memory_calls import DENSE, SMALL, Call, Memory, Y, all_calls, fit_of, preloaded_environment

from fastbp import BackpropClassifier

KINDS = {"own": 1, "behalf": 2}
N_SAMPLED = 6  # allocations on the module's behalf, of each call, in the short form
NONE_SO_LATE = 10**9


def outcome(call: Call, model: Any) -> str:
    """Call, and return a fingerprint of what came out and of what the model then is."""
    return fingerprint(model, call.run(model))


def fingerprint(model: Any, result: Any) -> str:
    return f"{digest_of_all(model)} {joblib.hash(result)}"


class Sweep:
    """Fails allocations of calls, counts them and what is wrong."""

    def __init__(self, memory: Memory, all_of_them: bool) -> None:
        self.memory, self.all_of_them = memory, all_of_them
        self.n_sites = dict.fromkeys(KINDS, 0)
        self.n_failed, self.n_calls, self.n_unharmed = 0, 0, 0

    def of(self, call: Call) -> Iterator[str]:
        """Fail in every way, and give what is wrong."""
        expected = [outcome(call, copy.deepcopy(call.model)) for _ in range(2)][-1]
        for kind in KINDS:
            for lasting in (False, True):
                for at in self.numbers(call, kind, lasting):
                    where = f"{call.name}, {kind} {at}{' and later ones' if lasting else ''}"
                    print(f"case {where}", flush=True)
                    yield from (f"{where}: {fault}" for fault in self.case(call, expected))

    def numbers(self, call: Call, kind: str, lasting: bool) -> Iterator[int]:
        """Give which allocation is to fail, until none did."""
        self.kind, self.lasting = KINDS[kind], lasting
        if kind == "behalf" and lasting:
            return  # Python ends the process if it cannot even make the error
        n_sites = self.count(call)
        if not lasting:
            self.n_sites[kind] += n_sites
        if kind == "behalf" and not self.all_of_them:
            for self.at in sorted(random.sample(range(n_sites), min(N_SAMPLED, n_sites))):
                yield self.at
            return
        self.at, self.fired = 0, True
        while self.fired:
            yield self.at
            self.at += 1

    def count(self, call: Call) -> int:
        model = copy.deepcopy(call.model)
        self.memory.run(self.kind, NONE_SO_LATE, False, lambda: call.run(model))
        return int(self.memory.library.allocations_seen())

    def case(self, call: Call, expected: str) -> Iterator[str]:
        """Call once while an allocation fails."""
        model = copy.deepcopy(call.model)
        state = digest_of_all(model)
        result, n_failed = self.memory.run(
            self.kind, self.at, self.lasting, lambda: call.run(model)
        )
        self.fired = n_failed > 0
        self.n_failed += n_failed
        self.n_calls += self.fired
        if not isinstance(result, Exception):
            self.n_unharmed += self.fired
            if fingerprint(model, result) != expected:
                yield "no error, but other bits"
            return
        if not isinstance(result, MemoryError):
            yield f"{type(result).__name__}: {result}"
        del result  # with the frames that it holds
        if digest_of_all(model) != state:
            yield "changed the estimator"
        elif outcome(call, model) != expected:
            yield "the next call gives other bits"


# Planted faults


class Swallowing(BackpropClassifier):
    """Takes no failure seriously."""

    def fit(self, X: Any, y: Any) -> Any:  # type: ignore[override]
        try:
            return super().fit(X, y)
        except MemoryError:
            return self


class Careless(BackpropClassifier):
    """Fits without a draft, and without what gives the estimator back what it had."""

    fit = BackpropClassifier.fit.__wrapped__  # type: ignore[attr-defined]

    def _snapshot(self) -> Any:
        return self


def planted_calls(memory: Memory) -> dict[str, Call]:
    """Calls with a fault each, which must be seen."""
    model = BackpropClassifier(**SMALL).fit(DENSE, Y)
    careless = Careless(**SMALL)
    return {
        "other bits": Call("swallowed", Swallowing(**SMALL), fit_of(DENSE, Y)),
        "changed the estimator": Call("no draft", careless, fit_of(DENSE, Y)),
        "crash": Call("unchecked", model, lambda model: memory.library.careless(64) != 0),
    }


def sweep_planted(sign: str) -> None:
    memory = Memory()
    if sign == "crash":
        memory.watch("failing_memory")
    for fault in Sweep(memory, False).of(planted_calls(memory)[sign]):
        print(f"finding {fault}", flush=True)


# The process that is swept


def sweep_all(all_of_them: bool) -> None:
    sweep, n_calls = Sweep(Memory(), all_of_them), 0
    for call in all_calls():
        n_calls += 1
        for fault in sweep.of(call):
            print(f"finding {fault}", flush=True)
    assert min(sweep.n_sites.values()) > 0
    print(
        f"done {n_calls} kinds of calls with {sweep.n_sites['own']} allocations of the module's "
        f"own, {sweep.n_sites['behalf']} with those on its behalf: {sweep.n_calls} calls met "
        f"{sweep.n_failed} failures, {sweep.n_unharmed} of them unharmed",
        flush=True,
    )


def run(*arguments: str) -> tuple[int, list[str], str]:
    """Run this file with the library preloaded; return status, output, and what went wrong."""
    command = [sys.executable, str(Path(__file__).resolve()), *arguments]
    done = subprocess.run(command, env=preloaded_environment(), capture_output=True, text=True)
    lines = done.stdout.splitlines()
    return done.returncode, lines, f"{lines[-1:]}, status {done.returncode}: {done.stderr[-3000:]}"


def catches_planted_faults() -> bool:
    for sign in ("other bits", "changed the estimator", "crash"):
        status, lines, end = run("--planted", sign)
        found = [line for line in lines if re.match(f"finding .*{sign}", line)]
        if not (status == -signal.SIGSEGV if sign == "crash" else found):
            print(f"a planted fault, {sign}, was not caught: {end}")
            return False
    print("planted faults caught: a failure swallowed, a fit without a draft, a crash")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="every allocation, not some")
    parser.add_argument("--sweep", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--planted", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(0)
    if options.planted:
        sweep_planted(options.planted)
        return 0
    if options.sweep:
        sweep_all(options.exhaustive)
        return 0
    if not catches_planted_faults():
        return 1
    status, lines, end = run("--sweep", *(["--exhaustive"] if options.exhaustive else []))
    findings = [line for line in lines if line.startswith("finding ")]
    print(lines[-1][5:] if status == 0 else end, *findings[:30], sep="\n")
    return bool(status or findings)


if __name__ == "__main__":
    sys.exit(main())
