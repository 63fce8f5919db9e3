# SPDX-License-Identifier: BSD-3-Clause
"""Where the time of a step goes, by phase, and what follows for more threads than are here.

phases.c, compiled with the core's own sources, gives the split inside the core, on one thread and
on all. What a fit takes beyond the core (validation, drawing, shuffling, Python between epochs) is
the difference to the time in `Net.train`.

Computed, not measured, is the speed-up on up to 64 threads: from the split on one thread, the rows
phase cut into tiles of eight rows and the weights phase into tasks of 32 × 48, each as long as its
most loaded thread; what is outside the core and the step's preparation stay; two barriers grow with
the logarithm of the threads. Each thread is taken to have a core of the same speed, and bandwidth
to grow with them. The computed figure for the threads that are here stands beside the measured.
"""

from __future__ import annotations

from itertools import pairwise
from math import ceil, log2
from pathlib import Path
from typing import Any

from figures import number

TITLE = "A step by phase, µs; times sooner than one thread, computed from it for more threads"

TILE_ROWS = 8
TASK_ROWS, TASK_COLUMNS = 32, 48
COMPUTED = (2, 4, 8, 16, 32, 64)
PHASES = ("prepare", "gather", "forward", "loss", "backward", "weights", "wait")
ROWS_PHASES = ("gather", "forward", "loss", "backward")
CORE = Path(__file__).parents[2] / "csrc"
FLAGS = ["-std=gnu11", "-fno-math-errno", "-ffp-contract=off", "-fopenmp"]


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Split the steps of every workload."""
    import tempfile

    from workloads import SPECS, load

    threads = sorted({1, settings["threads"]})
    barrier = settings["peaks"].get("barrier_us", 0.0)
    found: dict[str, Any] = {"split": {}, "outside": {}, "computed": {}}
    with tempfile.TemporaryDirectory() as folder:
        program = build(Path(folder))
        for name in settings["workloads"]:
            spec = SPECS[name]
            workload = load(name, quick=settings["quick"], download=settings["download"])
            found["outside"][name] = outside(workload, settings["rounds"])
            found["split"][name] = {
                str(n): split(program, settings["isa"], n, spec, len(workload.X)) for n in threads
            }
            units = [spec.n_features, *spec.hidden, spec.n_outputs]
            found["computed"][name] = speedups(
                found["split"][name]["1"],
                found["outside"][name]["per_step"],
                units,
                spec.batch_size,
                barrier,
            )
    return found


def build(folder: Path, level: str = "-O3") -> Path:
    """Compile phases.c with the core, with marks between the phases; one process for each CPU."""
    import os
    import subprocess
    from multiprocessing.pool import ThreadPool

    from machine import c_compiler

    compiler = c_compiler()
    if not compiler:
        raise OSError("no C compiler is installed")
    sources = [Path(__file__).parents[1] / "phases.c", *CORE.glob("*.c"), *CORE.glob("isa/*.c")]
    flags = [*FLAGS, level, "-DFBP_TIME_PHASES", f"-I{CORE}"]

    def compile_one(source: Path) -> str:
        made = folder / f"{source.parent.name}_{source.stem}.o"
        subprocess.run([*compiler, *flags, "-c", str(source), "-o", str(made)], check=True)
        return str(made)

    with ThreadPool(os.cpu_count()) as pool:
        objects = pool.map(compile_one, sources, 1)
    program = folder / "phases"
    subprocess.run([*compiler, "-fopenmp", *objects, "-lm", "-o", str(program)], check=True)
    return program


def split(program: Path, isa: str, n_threads: int, spec: Any, n_rows: int) -> dict[str, float]:
    """Return the microseconds of a step and of its phases."""
    import json
    import subprocess

    units = [spec.n_features, *spec.hidden, spec.n_outputs]
    codes = int(spec.task == "classification")
    arguments = [isa, n_threads, codes, n_rows, spec.batch_size, *units]
    command = [str(program), *map(str, arguments)]
    found: dict[str, float] = json.loads(
        subprocess.run(command, capture_output=True, check=True).stdout
    )
    return found


def outside(workload: Any, n_rounds: int) -> dict[str, float]:
    """Return the microseconds of a fit that are not spent in the core's epochs."""
    import tempfile
    from statistics import median

    import peer_estimators
    from problem import Problem

    with tempfile.TemporaryDirectory() as folder:
        Problem.of(workload).write(folder)
        peer_estimators.load(folder)
    with timed_training() as spent:
        fits = []
        for _ in range(n_rounds + 1):  # the first warms up
            before = spent[0]
            seconds = peer_estimators.fit("fastbp")["seconds"]
            fits.append(1e6 * (seconds - (spent[0] - before)))
    n_steps = ceil(len(workload.X) / workload.spec.batch_size)
    per_epoch = median(fits[1:]) / workload.n_epochs
    return {"per_epoch": per_epoch, "per_step": per_epoch / n_steps, "epochs": workload.n_epochs}


def timed_training() -> Any:
    """Return a context in which the seconds in `Net.train` are added up in a list of one."""
    import time
    from contextlib import contextmanager

    from fastbp import _core

    @contextmanager
    def context() -> Any:
        original, spent = _core.Net, [0.0]

        class TimedNet(original):  # type: ignore[misc, valid-type]
            def train(self, *args: Any, **kwargs: Any) -> Any:
                start = time.perf_counter()
                progress = super().train(*args, **kwargs)
                spent[0] += time.perf_counter() - start
                return progress

        _core.Net = TimedNet  # type: ignore[misc]
        try:
            yield spent
        finally:
            _core.Net = original  # type: ignore[misc]

    return context()


def speedups(
    one: dict[str, float], outside: float, units: list[int], batch: int, barrier: float
) -> dict[str, float]:
    """Return the computed times sooner than one thread, by the number of threads."""
    rows = sum(one[phase] for phase in ROWS_PHASES)
    n_tiles = ceil(batch / TILE_ROWS)
    n_tasks = sum(ceil(a / TASK_ROWS) * ceil(b / TASK_COLUMNS) for a, b in pairwise(units))
    alone = outside + one["prepare"]
    found = {}
    for n in COMPUTED:
        shared = rows * longest(n_tiles, n) + one["weights"] * longest(n_tasks, n)
        found[str(n)] = (alone + rows + one["weights"]) / (alone + shared + 2 * barrier * log2(n))
    return found


def longest(n_pieces: int, n_threads: int) -> float:
    """Return the share of all pieces that the most loaded thread has."""
    return ceil(n_pieces / n_threads) / n_pieces


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    head = ["", "threads", "outside", *PHASES, "step", "sooner"]
    table = [[*head, *(f"{n} computed" for n in COMPUTED)]]
    for name, splits in found["split"].items():
        outside_core = found["outside"][name]["per_step"]
        one = splits["1"]["step"] + outside_core
        for n, phases in splits.items():
            step = phases["step"] + outside_core
            cells = [outside_core, *(phases[phase] for phase in PHASES), step]
            computed = found["computed"][name] if n == "1" else {}
            table.append(
                [
                    name if n == "1" else "",
                    n,
                    *(f"{cell:,.1f}" for cell in cells),
                    number(one / step) if n != "1" else "",
                    *(number(computed[str(m)]) if computed else "" for m in COMPUTED),
                ]
            )
    return table
