# SPDX-License-Identifier: BSD-3-Clause
"""Run the jobs: checks that need a build, a tool or a minute of their own.

    python tests/jobs/run.py                       the short form of every job
    python tests/jobs/run.py --exhaustive          the long form
    python tests/jobs/run.py soak fuzz             these only
    python tests/jobs/run.py --at-once 2           two at a time, each one's output in one piece
    python tests/jobs/run.py --list                names, and what each shows

A job is a file beside this one, NAME.py or NAME.sh, whose first comment line or docstring says what
it shows. It runs in the repository's root with the environment at hand; JOBS_WORK names an empty
folder, removed afterwards, for what it builds. It must first catch a fault planted for it, and it
exits with 0 if it caught that and found no other.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import IO

JOBS = Path(__file__).resolve().parent
ROOT = JOBS.parent.parent
INTERPRETERS = {".py": [sys.executable], ".sh": ["bash", "-euo", "pipefail"]}
SHORT_LIMIT, LONG_LIMIT = 900, 6 * 3600  # seconds; no job needs nearly that long, but one may hang

running: set[int] = set()  # leaders of the jobs' sessions


def find_jobs() -> dict[str, Path]:
    """Return the jobs' files by name."""
    files = sorted(path for path in JOBS.iterdir() if path.suffix in INTERPRETERS)
    return {path.stem: path for path in files if path.name != Path(__file__).name}


def describe(path: Path) -> str:
    """Return the first line of a job that says something."""
    for line in path.read_text("utf-8").splitlines():
        text = line.strip("#\"' ")
        if text and not line.startswith("#!") and "SPDX" not in line:
            return text
    raise ValueError(f"{path} does not say what it shows")


def run_job(name: str, path: Path, exhaustive: bool, output: IO[bytes] | None) -> bool:
    """Run one job, under a time limit, and tell whether it passed."""
    command = [*INTERPRETERS[path.suffix], str(path), *(["--exhaustive"] if exhaustive else [])]
    limit = LONG_LIMIT if exhaustive else SHORT_LIMIT
    with tempfile.TemporaryDirectory(prefix=f"fastbp-{name}-", ignore_cleanup_errors=True) as work:
        # a session of its own, so that what the job has started ends with it
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, "JOBS_WORK": work},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,
        ) as process:
            running.add(process.pid)
            try:
                return process.wait(limit) == 0
            except subprocess.TimeoutExpired:
                print(f"{name}: more than {limit} s", file=sys.stderr)
                return False
            finally:
                end_session(process.pid)
                running.discard(process.pid)


def report_job(name: str, path: Path, exhaustive: bool, at_once: bool) -> bool:
    """Run one job and print its name, its output, how it ended and what it took."""
    title = f"\n=== {name}: {describe(path)}"
    begin = time.monotonic()
    if at_once:
        with tempfile.TemporaryFile() as output:
            passed = run_job(name, path, exhaustive, output)
            output.seek(0)
            text = output.read().decode("utf-8", "replace")
    else:
        print(title, flush=True)
        passed, title, text = run_job(name, path, exhaustive, None), "", ""
    end = f"=== {name}: {'passed' if passed else 'FAILED'}, {time.monotonic() - begin:.0f} s"
    print(f"{title}\n{text}{end}" if at_once else end, flush=True)
    return passed


def end_session(leader: int) -> None:
    """Kill whatever is left of a job."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def end_all(number: int, frame: object) -> None:
    """End at a signal, and the jobs too: in sessions of their own, they do not hear of it."""
    for leader in list(running):
        end_session(leader)
    os._exit(128 + number)


def main() -> int:
    jobs = find_jobs()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(jobs))
    parser.add_argument("--exhaustive", action="store_true", help="the long forms")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="jobs at a time")
    parser.add_argument("--list", action="store_true", help="print names and what each shows")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(jobs)):
        parser.error(f"no job {', '.join(unknown)}; there are {', '.join(jobs)}")
    if options.list:
        for name, path in jobs.items():
            print(f"{name:24} {describe(path)}")
        return 0
    chosen = options.names or list(jobs)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_all)
    run = partial(report_job, exhaustive=options.exhaustive, at_once=options.at_once > 1)
    with ThreadPool(options.at_once) as pool:
        passed = pool.starmap(run, [(name, jobs[name]) for name in chosen], chunksize=1)
    failed = [name for name, well in zip(chosen, passed, strict=True) if not well]
    print(f"\n=== {len(chosen) - len(failed)} passed, {len(failed)} failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
