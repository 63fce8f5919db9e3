# SPDX-License-Identifier: BSD-3-Clause
"""Run the jobs: checks that need a build, a tool or a minute of their own.

    python tests/jobs/run.py                       the short form of every job
    python tests/jobs/run.py --exhaustive          the long form
    python tests/jobs/run.py soak fuzz             these only
    python tests/jobs/run.py --list                names, and what each shows

A job is a file beside this one, NAME.py or NAME.sh, whose first comment line or docstring says what
it shows. It runs in the repository's root with the environment at hand; JOBS_WORK names an empty
folder, removed afterwards, for what it builds. It must first catch a fault planted for it, and it
exits with 0 if it caught that and found no other.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

JOBS = Path(__file__).resolve().parent
ROOT = JOBS.parent.parent
INTERPRETERS = {".py": [sys.executable], ".sh": ["bash", "-euo", "pipefail"]}
SHORT_LIMIT, LONG_LIMIT = 900, 6 * 3600  # seconds; no job needs nearly that long, but one may hang


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


def run_job(name: str, path: Path, exhaustive: bool) -> bool:
    """Run one job, under a time limit, and tell whether it passed."""
    print(f"\n=== {name}: {describe(path)}", flush=True)
    command = [*INTERPRETERS[path.suffix], str(path), *(["--exhaustive"] if exhaustive else [])]
    limit = LONG_LIMIT if exhaustive else SHORT_LIMIT
    begin = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=f"fastbp-{name}-") as work:
        environment = {**os.environ, "JOBS_WORK": work}
        # a session of its own, so that what the job has started ends with it
        with subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True
        ) as process:
            try:
                status = process.wait(limit)
                result = "passed" if status == 0 else f"FAILED ({status})"
            except subprocess.TimeoutExpired:
                result = f"FAILED (more than {limit} s)"
            finally:
                end_session(process)
    print(f"=== {name}: {result}, {time.monotonic() - begin:.0f} s", flush=True)
    return result == "passed"


def end_session(process: subprocess.Popen[bytes]) -> None:
    """Kill whatever is left of a job."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def main() -> int:
    jobs = find_jobs()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(jobs))
    parser.add_argument("--exhaustive", action="store_true", help="the long forms")
    parser.add_argument("--list", action="store_true", help="print names and what each shows")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(jobs)):
        parser.error(f"no job {', '.join(unknown)}; there are {', '.join(jobs)}")
    if options.list:
        for name, path in jobs.items():
            print(f"{name:24} {describe(path)}")
        return 0
    chosen = options.names or list(jobs)
    failed = [name for name in chosen if not run_job(name, jobs[name], options.exhaustive)]
    print(f"\n=== {len(chosen) - len(failed)} passed, {len(failed)} failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
