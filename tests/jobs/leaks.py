# SPDX-License-Identifier: BSD-3-Clause
"""LeakSanitizer over calls of all kinds, failed allocations included: nothing is lost.

LeakSanitizer is preloaded behind tests/failing_memory.c, which fails allocations of the extension's
own. Judged are leaks whose stack has the extension module in its first five frames, that library's
own frames left out: Python and its libraries lose blocks themselves. Blocks are malloc's: small
objects lie in Python's arenas, where only the job ``soak`` would see them grow.
"""

from __future__ import annotations

import argparse
import copy
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2]))

from memory_calls import MAIN, Memory, all_calls, preloaded_environment

N_FRAMES = 5
OWN = 1  # allocations whose return address lies in the module
OPTIONS = "exitcode=0:fast_unwind_on_malloc=0:malloc_context_size=10:max_leaks=0"
LIMIT = 1800  # seconds


def work(all_of_them: bool, planted: bool) -> None:
    """Call, undisturbed and with the first allocations failing; planted: nothing is freed."""
    memory, n_calls, n_failed = Memory(), 0, 0
    memory.library.lose_blocks(planted)
    for call in all_calls():
        if not all_of_them and call.name.split(", ")[1] not in MAIN:
            continue
        for at in (10**9, 0, 1, 2):
            model = copy.deepcopy(call.model)
            _, failed = memory.run(OWN, at, False, lambda c=call, m=model: c.run(m))  # type: ignore[misc]
            n_calls, n_failed = n_calls + 1, n_failed + failed
        if planted:
            break
    print(f"{n_calls} calls, {n_failed} with a failed allocation", flush=True)


def leaks_of_module(report: str) -> list[str]:
    """Return the leaks of a report whose first frames lie in the extension module."""
    found = []
    for leak in re.split(r"\n(?=(?:Direct|Indirect) leak of)", report)[1:]:
        frames = [line for line in leak.splitlines() if re.match(r"\s+#\d+ ", line)]
        others = [frame for frame in frames if "failing_memory" not in frame]
        first = others[: N_FRAMES + 1]  # and malloc itself
        if any("fastbp/_core." in frame for frame in first):
            found.append(leak.split("\n\n")[0])
    return found


def run(*arguments: str) -> tuple[str, str]:
    """Run this file under LeakSanitizer; return what it printed, and the report."""
    compiler = os.environ.get("CC", "cc").split()
    sanitizer = subprocess.check_output([*compiler, "-print-file-name=liblsan.so"], text=True)
    environment = preloaded_environment(sanitizer.strip()) | {"LSAN_OPTIONS": OPTIONS}
    del environment["PYTHONMALLOC"]  # a stack for each object would take minutes
    command = [sys.executable, str(Path(__file__).resolve()), "--work", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT)
    if done.returncode != 0 or "calls" not in done.stdout:
        raise SystemExit(f"status {done.returncode}: {done.stderr[-3000:]}")
    return done.stdout.strip(), done.stderr


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--exhaustive", action="store_true", help="all kinds of estimators")
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--planted", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.work:
        work(options.exhaustive, options.planted)
        return 0
    planted = leaks_of_module(run("--planted")[1])
    if not planted:
        print("planted leaks, of what the extension frees, were not seen")
        return 1
    said, report = run(*(["--exhaustive"] if options.exhaustive else []))
    found = leaks_of_module(report)
    print(f"planted leaks seen: {len(planted)}; {said}: {len(found)} leaks", *found[:10], sep="\n")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
