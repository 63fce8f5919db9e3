# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark: python benchmarks/run.py [--quick] [--parts NAME …] [--json FILE]

Peaks first, then every part: training side by side with what a user could take instead, then the
others by name. The run ends with the table of goals. Figures are ratios within one run: an absolute
time means little on a shared machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import goals
import machine
import tables
from figures import Report
from measure import Pool, measure_workload
from parts import PARTS, QUICK
from peers import HELD, Side, all_sides
from workers import Worker, WorkerError
from workloads import SPECS, load

from fastbp._show_versions import format_libraries, format_machine

TRAINING = "training"


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description="Speed of fastbp beside what a user could take instead, verified first."
    )
    parts = [TRAINING, *PARTS]
    parser.add_argument("--parts", nargs="+", metavar="NAME", choices=parts, help=", ".join(parts))
    parser.add_argument(
        "--workloads",
        nargs="+",
        metavar="NAME",
        choices=SPECS,
        default=list(SPECS),
        help=", ".join(SPECS),
    )
    parser.add_argument("--sides", nargs="+", metavar="NAME", help="train these beside sklearn")
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 7, or 2 if quick")
    parser.add_argument("--quick", action="store_true", help="under a minute: smaller, fewer sides")
    parser.add_argument("--no-download", action="store_true", help="generate what is not at hand")
    parser.add_argument("--json", metavar="FILE", help="write everything measured here")
    args = parser.parse_args(argv)
    if args.rounds is None:
        args.rounds = 2 if args.quick else 7
    if args.parts is None:
        args.parts = [TRAINING, *QUICK] if args.quick else parts
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    return args


def choose_sides(args: argparse.Namespace, families: list[str]) -> list[Side]:
    """Return the contestants, and say who is left out."""
    every = bool(args.sides) or not args.quick
    sides, left_out = all_sides(families, compiled=every, held=every, quick=args.quick)
    if args.sides:
        unknown = set(args.sides) - {side.name for side in sides}
        if unknown:
            sys.exit(f"no such side here: {', '.join(sorted(unknown))}")
        sides = sides[:1] + [side for side in sides[1:] if side.name in args.sides]
    for line in left_out:
        print(f"left out  {line}")
    return sides


def train(args: argparse.Namespace, report: Report, peak: machine.Peak) -> None:
    """Measure the training of every workload into the report."""
    facts = report["environment"]
    families = [name for name in HELD if name in facts["isas"]]
    if facts["isa"] not in [*families, "amx"]:
        families.append(facts["isa"])
    sides = choose_sides(args, facts["isas"])
    with Pool(sides) as pool:
        for name in args.workloads:
            workload = load(name, quick=args.quick, download=not args.no_download)
            hidden = ", ".join(map(str, workload.spec.hidden))
            print(
                f"{name:<10}{len(workload.X):,} × {workload.spec.n_features} → {hidden} →"
                f" {workload.spec.n_outputs}, batch {workload.spec.batch_size},"
                f" epochs {workload.n_epochs}, {workload.source}",
                flush=True,
            )
            entry = measure_workload(
                workload, sides, pool, args.rounds, peak, families, facts["threads"], args.quick
            )
            for side, why in entry["wrong"].items():
                print(f"          {side} NOT TIMED: {why}")
            for side, why in entry["failed"].items():
                print(f"          {side} could not run: {why}")
            distances = [f"{s} {d['deviation']:.0e}" for s, d in entry["sides"].items()][1:]
            print(
                f"          relative difference of the losses: {', '.join(distances)}", flush=True
            )
            report["workloads"].append(entry)


def run_part(name: str, settings: dict[str, Any], report: Report) -> None:
    """Measure a part in a process of its own, and print its table."""
    part = import_module(f"parts.{name}")
    print(f"\n{part.TITLE} ({tables.machine_line(report)})", flush=True)
    try:
        with Worker(f"parts.{name}") as worker:
            result = worker.call("measure", settings=settings)
    except WorkerError as error:
        print(f"could not run: {error}")
        report["failed"][name] = str(error)
        return
    report["parts"][name] = result
    print("\n".join(tables.layout(part.rows(result))), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 where a side learnt something else."""
    args = parse_arguments(argv)
    start = time.monotonic()
    facts = machine.facts()
    print(f"{format_machine(facts)}\n{format_libraries(facts)}")
    report: Report = {
        "environment": facts,
        "commit": machine.commit(),
        "quick": args.quick,
        "rounds": args.rounds,
        "peaks": {},
        "workloads": [],
        "parts": {},
        "failed": {},
    }
    with tempfile.TemporaryDirectory() as folder:
        peak = machine.Peak(folder)
        if peak.program is None:
            print(f"left out  the machine's limits: {peak.why_not}")
        else:
            report["peaks"] = peak.measure(facts["threads"], 0.05 if args.quick else 0.5)
            print("\n".join(machine.describe(report["peaks"])))
        if TRAINING in args.parts:
            print()
            train(args, report, peak)
            print("\n".join(tables.training(report)), flush=True)
    settings = {
        "quick": args.quick,
        "rounds": args.rounds,
        "download": not args.no_download,
        "workloads": args.workloads,
        "threads": facts["threads"],
        "isa": facts["isa"],
        "isas": facts["isas"],
        "peaks": report["peaks"],
    }
    for name in args.parts:
        if name != TRAINING:
            run_part(name, settings, report)
    print(f"\nGoals ({tables.machine_line(report)})")
    print("\n".join(tables.layout(tables.goal_rows(goals.judge(report)), left=True)))
    report["seconds"] = round(time.monotonic() - start)
    print(f"\ntook {report['seconds']} s")
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    wrong = any(entry["wrong"] for entry in report["workloads"])
    return 1 if wrong or report["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
