# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of the core, each with one small fault, are caught by the C tests (promise 19).

A mutant is compiled for the portable family and run against the test programs that execute its
line, the quickest first, until one fails, crashes or hangs. One that does not compile, or whose
object code is that of the core, is not counted. Of those whose survival tests/survivors.txt does
not explain 95 % must be caught. Short: a sample. Long: all, the branches' first; with a file for
its results it goes on where it was interrupted:

    python tests/jobs/mutation.py --exhaustive --results FILE
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import queue
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import c_coverage
from c_build import C_TESTS, CORE
from explained import explanations
from mutants import BRANCH_KINDS, Mutant, mutants, numbered

SURVIVORS = Path(__file__).resolve().parents[1] / "survivors.txt"
N_SHORT, LEAST_CAUGHT = 25, 0.95
COUNTED = ("caught", "survives")
FLAGS = ["-std=gnu11", c_coverage.PORTABLE, "-fno-math-errno", "-ffp-contract=off"]
FLAGS += ["-fvisibility=hidden", "-fopenmp", "-w"]
TEMPLATES = ("isa/ref_f32.c", "isa/ref_f64.c")
COMPILER = os.environ.get("CC", "gcc")
SLOWEST = 3600  # seconds
IDLE_TICKS = 600  # tenths of a second without any use of a processor: nothing more will come


# Building


def speed(source: str) -> str:
    """Templates become much code: to optimize it takes five times as long."""
    return "-O0" if source in TEMPLATES else "-O1"


def compile_source(core: Path, source: str, to: Path) -> bytes | None:
    """Return an object's code, or None if the source does not compile."""
    to.parent.mkdir(parents=True, exist_ok=True)
    command = [COMPILER, *FLAGS, speed(source), "-I.", "-c", source, "-o", str(to)]
    done = subprocess.run(command, cwd=core, stderr=subprocess.PIPE)
    return to.read_bytes() if done.returncode == 0 else None


class Sound:
    """The core without a fault: its objects, what each is made of, the tests' objects and times."""

    def __init__(self, work: Path) -> None:
        self.folder = work / "sound"
        self.sources = sorted(
            path.relative_to(CORE).as_posix() for path in [*CORE.glob("*.c"), *CORE.glob("isa/*.c")]
        )
        with ThreadPool(2) as pool:
            codes = pool.map(self.compile, self.sources, chunksize=1)
            self.programs = sorted(path.stem for path in C_TESTS.glob("test_*.c"))
            pool.map(self.compile_test, self.programs, chunksize=1)
        self.code = dict(zip(self.sources, codes, strict=True))
        self.parts = {source: parts_of(source) for source in self.sources}
        self.seconds: dict[str, float] = {}

    def compile(self, source: str) -> bytes:
        code = compile_source(CORE, source, self.object(source))
        assert code is not None, source
        return code

    def compile_test(self, program: str) -> None:
        command = [COMPILER, *FLAGS, "-O1", f"-I{CORE}", "-c", f"{program}.c"]
        command += ["-o", str(self.folder / f"{program}.o")]
        subprocess.run(command, cwd=C_TESTS, check=True)

    def object(self, source: str) -> Path:
        return self.folder / source.replace(".c", ".o")

    def link(self, program: str, changed: dict[str, Path], to: Path) -> None:
        """Link a test program, with some objects of the core in place of the sound ones."""
        objects = [str(changed.get(source, self.object(source))) for source in self.sources]
        command = [COMPILER, "-fopenmp", str(self.folder / f"{program}.o"), *objects, "-lm"]
        subprocess.run([*command, "-o", str(to)], check=True)

    def time(self, folder: Path) -> None:
        """Run every program, which must pass, and note how long it computes."""

        def one(program: str) -> float:
            self.link(program, {}, folder / program)
            end, used = run_program(folder / program, 300)
            if end != "passed":
                raise RuntimeError(f"{program} {end} where nothing is planted")
            return used

        with ThreadPool(2) as pool:
            times = pool.map(one, self.programs, chunksize=1)
        self.seconds = dict(zip(self.programs, times, strict=True))


def parts_of(source: str) -> set[str]:
    """Return the core's files that a source is compiled from."""
    command = [COMPILER, *FLAGS, "-I.", "-MM", source]
    said = subprocess.run(command, cwd=CORE, check=True, stdout=subprocess.PIPE, text=True).stdout
    names = said.partition(":")[2].replace("\\\n", " ").split()
    return {os.path.relpath((CORE / name).resolve(), CORE) for name in names}


# Running


def limit_resources(seconds: float) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(SLOWEST)  # should nobody be there any more to end it


def processor_ticks(session: int) -> int:
    """Return what the processes of a session have used; a test may wait for a child."""
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has just ended
            continue
        if int(fields[3]) == session:
            used += int(fields[11]) + int(fields[12])
    return used


def run_program(path: Path, seconds: float) -> tuple[str, float]:
    """Return how a test program ends, and the seconds that it computed.

    Its time is the processor's, since the machine may be busy; if it takes none for long, it hangs.
    """
    process = subprocess.Popen(
        [path],
        cwd=path.parent,
        env={**os.environ, "FBP_FEWER_CASES": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        preexec_fn=lambda: limit_resources(seconds),
    )
    used, idle = 0, 0
    while (status := process.poll()) is None and idle < IDLE_TICKS:
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            now = processor_ticks(process.pid)
            idle, used = (idle + 1 if now <= used else 0), max(now, used)
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    seconds_used = used / os.sysconf("SC_CLK_TCK")
    if status is None or status == -signal.SIGXCPU:
        return "hangs", seconds_used
    return {0: "passed", 1: "fails"}.get(status, "crashes"), seconds_used


class Trial:
    """Builds and runs mutants, one at a time, in a folder of its own."""

    def __init__(self, sound: Sound, folder: Path) -> None:
        self.sound, self.folder = sound, folder
        self.core = folder / "core"
        shutil.copytree(CORE, self.core)

    def compile(self, mutant: Mutant) -> tuple[str, dict[str, Path]]:
        """Return what became of the mutant, and the objects that are not as before."""
        path = self.core / mutant.file
        text = path.read_text("utf-8")
        changed: dict[str, Path] = {}
        path.write_text(mutant.apply(text), "utf-8")
        try:
            for source in self.sound.sources:
                if mutant.file in self.sound.parts[source]:
                    to = self.folder / source.replace(".c", ".o")
                    code = compile_source(self.core, source, to)
                    if code is None:
                        return "does not compile", {}
                    if code != self.sound.code[source]:
                        changed[source] = to
        finally:
            path.write_text(text, "utf-8")
        return ("runs" if changed else "same code"), changed

    def run(self, mutant: Mutant, programs: Iterable[str]) -> dict[str, Any]:
        """Return what becomes of a mutant that these programs are to catch."""
        end, changed = self.compile(mutant)
        if not changed:
            return {"end": end}
        for program in sorted(programs, key=self.sound.seconds.__getitem__):
            path = self.folder / program
            self.sound.link(program, changed, path)
            limit = 5 * self.sound.seconds[program] + 3
            end, _ = run_program(path, limit)
            if end == "fails":  # twice: some tests depend on when the machine gets to them
                end, _ = run_program(path, limit)
            path.unlink()
            if end != "passed":
                return {"end": "caught", "by": program, "how": end}
        return {"end": "survives"}


# What executes a line


def executing(lines: dict[str, c_coverage.Lines], mutant: Mutant) -> list[str]:
    """Return the programs that execute a mutant's line, or the one that its statement begins in."""
    found = []
    for program, files in lines.items():
        of_file = files.get(mutant.file, {})
        at = max((line for line in of_file if line <= mutant.line), default=0)
        if any(counts[0] for counts in of_file.get(at, [])):
            found.append(program)
    return found


# Explanations


def reason_of(key: str, reasons: dict[str, str]) -> str | None:
    return reasons.get(key) or reasons.get(key.partition(": ")[0])


def judge(ends: dict[str, str], reasons: dict[str, str]) -> tuple[bool, float]:
    """Tell whether enough are caught, and the share of those whose survival is not explained."""
    caught = sum(end == "caught" for end in ends.values())
    unexplained = [k for k, end in ends.items() if end == "survives" and not reason_of(k, reasons)]
    share = caught / max(caught + len(unexplained), 1)
    return share >= LEAST_CAUGHT and caught > 0, share


# The job


class Job:
    def __init__(self, work: Path, results: Path | None) -> None:
        self.results = results
        self.done: dict[str, dict[str, Any]] = {}
        if results and results.exists():
            for line in results.read_text("utf-8").splitlines():
                one = json.loads(line)
                self.done[one["key"]] = one
        files = [path.relative_to(CORE).as_posix() for path in sorted(CORE.rglob("*.[ch]"))]
        self.mutants = numbered([mutant for file in files for mutant in mutants(CORE, file)])
        self.sound = Sound(work)
        (work / "timed").mkdir()
        self.sound.time(work / "timed")
        counted = work / "counted"
        programs = c_coverage.build(counted)
        self.lines = c_coverage.by_program(counted, programs, work / "counts")
        self.trials: queue.SimpleQueue[Trial] = queue.SimpleQueue()
        for i in range(2):
            self.trials.put(Trial(self.sound, work / f"trial{i}"))

    def order(self) -> list[str]:
        """Return keys, the branches' first, as a hash has them: the beginning is a fair sample."""

        def place(key: str) -> tuple[bool, str]:
            digest = hashlib.sha256(key.encode()).hexdigest()
            return self.mutants[key].kind not in BRANCH_KINDS, digest

        return sorted(self.mutants, key=place)

    def try_one(self, key: str, programs: list[str] | None = None) -> dict[str, Any]:
        mutant = self.mutants[key]
        chosen = executing(self.lines, mutant) if programs is None else programs
        if programs is None and not chosen:
            return {"key": key, "end": "not executed"}
        trial = self.trials.get()
        try:
            return {"key": key, "kind": mutant.kind, **trial.run(mutant, chosen)}
        finally:
            self.trials.put(trial)

    def note(self, one: dict[str, Any]) -> None:
        self.done[one["key"]] = one
        if self.results:
            with self.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(one) + "\n")
        if one["end"] == "survives":
            print("survives:", one["key"], flush=True)

    def run(self, keys: list[str], n_counted: int) -> None:
        """Try mutants until so many were caught or survived."""
        todo = [key for key in keys if key not in self.done]
        n = sum(self.done[key]["end"] in COUNTED for key in keys if key in self.done)

        def one_more(key: str) -> dict[str, Any] | None:
            return self.try_one(key) if n < n_counted else None

        with ThreadPool(2) as pool:
            for one in filter(None, pool.imap_unordered(one_more, todo)):
                self.note(one)
                n += one["end"] in COUNTED

    def planted(self, keys: list[str]) -> bool:
        """A weak program lets mutants survive, which must then be said."""
        elsewhere = [key for key in keys if self.mutants[key].file == "net.c"]
        weak = [self.try_one(key, ["test_pace"]) for key in elsewhere[:3]]
        ends = {one["key"]: one["end"] for one in weak if one["end"] in COUNTED}
        well, share = judge(ends, {})
        print(f"{len(ends)} mutants of net.c, and test_pace alone: {share:.0%} caught")
        return bool(ends) and not well and share == 0


def report(job: Job, reasons: dict[str, str]) -> bool:
    """Print what became of the mutants, and tell whether the tests are good enough."""
    well = True
    for name in ("branches", "others"):
        ends = {
            key: one["end"]
            for key, one in job.done.items()
            if (job.mutants[key].kind in BRANCH_KINDS) == (name == "branches")
        }
        counts = Counter(ends.values())
        explained = sum(e == "survives" and bool(reason_of(k, reasons)) for k, e in ends.items())
        enough, share = judge(ends, reasons)
        missing = ("same code", "does not compile", "not executed")
        rest = ", ".join(f"{end} {counts[end]}" for end in missing)
        print(
            f"{name}: of {len(ends)}, {counts['caught']} caught, {counts['survives']} survive, "
            f"{explained} of these explained: {share:.1%}; not counted: {rest}"
        )
        well &= enough or not ends
    return well


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="all mutants")
    parser.add_argument("--results", type=Path, help="where results are kept, and read if there")
    parser.add_argument("--only", default="", help="mutants whose name holds this")
    options = parser.parse_args()
    reasons = explanations(SURVIVORS)
    with tempfile.TemporaryDirectory(dir=os.environ.get("JOBS_WORK")) as folder:
        job = Job(Path(folder), options.results)
        keys = [key for key in job.order() if options.only in key]
        if not options.exhaustive:  # the long form sees whether what is explained still survives
            keys = [key for key in keys if not reason_of(key, reasons)]
        if not job.planted(job.order()):
            print("the planted weakness was not seen")
            return 1
        job.run(keys, len(keys) if options.exhaustive else N_SHORT)
        job.done = {key: one for key, one in job.done.items() if key in set(keys)}
        return int(not report(job, reasons))


if __name__ == "__main__":
    sys.exit(main())
