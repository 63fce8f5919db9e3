# SPDX-License-Identifier: BSD-3-Clause
"""Training speed, side by side: python benchmarks/run.py [--quick] [--workloads NAME …]

Verify, then time: each side's first fit must reach the reference's losses, epoch by epoch. Then the
sides are timed in turns, round after round, and ratios are taken within a round, so that a machine
that slows down slows both sides of a ratio.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from peers import Fit, Peer, agrees, all_peers, deviation
from workloads import SPECS, Workload, load

from fastbp._show_versions import environment, format_libraries, format_machine

LABEL = 15
WIDTH = 24


@dataclass
class Result:
    """What one side did on one workload."""

    deviation: float
    loss: float
    seconds: list[float]


def run_workload(workload: Workload, peers: list[Peer], n_rounds: int) -> dict[str, Result] | str:
    """Verify and time all sides; return their results by name, or what is wrong."""
    first: dict[str, Fit] = {peer.name: peer.fit(workload) for peer in peers}
    reference = first[peers[0].name].losses
    results = {}
    for peer in peers:
        losses = first[peer.name].losses
        distance = deviation(losses, reference)
        if not agrees(peer, losses, reference):
            return (
                f"{peer.name} ends at loss {losses[-1]:.6g}, {peers[0].name} at"
                f" {reference[-1]:.6g}; the furthest epoch differs by {distance:.0e}"
            )
        results[peer.name] = Result(distance, losses[-1], [])
    for _ in range(n_rounds):
        for peer in peers:
            results[peer.name].seconds.append(peer.fit(workload).seconds)
    return results


def ratios(results: dict[str, Result], ours: str, theirs: str) -> list[float]:
    """Return how many times sooner `ours` was than `theirs`, in each round."""
    pairs = zip(results[theirs].seconds, results[ours].seconds, strict=True)
    return [slow / fast for slow, fast in pairs]


def speed(workload: Workload, result: Result) -> float:
    """Return samples per second, by the median of the rounds."""
    return workload.n_samples / median(result.seconds)


def describe(workload: Workload) -> str:
    """Return a workload's sizes and source on one line."""
    spec = workload.spec
    hidden = ", ".join(map(str, spec.hidden))
    return (
        f"{spec.name:<9}{len(workload.X):,} × {spec.n_features} → {hidden} → {spec.n_outputs}, "
        f"batch {spec.batch_size}, epochs {workload.n_epochs}, {workload.source}"
    )


def comparisons(peers: list[Peer]) -> list[tuple[str, str]]:
    """Return the pairs to take ratios of: fastbp over each other library, each precision once."""
    names = [peer.name for peer in peers]
    theirs = [name for name in names if not name.startswith("fastbp")]
    return [("fastbp", name) for name in theirs] + [("fastbp f64", "sklearn")]


def print_speeds(done: list[tuple[Workload, dict[str, Result]]], peers: list[Peer]) -> None:
    """Print the table of thousand samples per second, and fastbp's arithmetic in GFLOP/s."""
    names = [peer.name for peer in peers]
    print("\nThousand samples per second")
    print(f"{'':<{LABEL}}" + "".join(f"{name:>13}" for name in names) + f"{'fastbp GFLOP/s':>17}")
    for workload, results in done:
        speeds = [speed(workload, results[name]) for name in names]
        rate = speeds[-1] * workload.operations_per_sample / 1e9
        cells = "".join(f"{value / 1e3:>13,.1f}" for value in speeds)
        print(f"{workload.spec.name:<{LABEL}}{cells}{rate:>17,.0f}")


def print_ratios(done: list[tuple[Workload, dict[str, Result]]], peers: list[Peer]) -> None:
    """Print the table of ratios: median, least and greatest of the rounds."""
    pairs = comparisons(peers)
    print("\nTimes sooner: median of the rounds (least to greatest)")
    heads = [f"{ours} / {theirs}" for ours, theirs in pairs]
    print(f"{'':<{LABEL}}" + "".join(f"{head:>{WIDTH}}" for head in heads))
    medians: list[list[float]] = [[] for _ in pairs]
    for workload, results in done:
        row = f"{workload.spec.name:<{LABEL}}"
        for column, (ours, theirs) in zip(medians, pairs, strict=True):
            values = ratios(results, ours, theirs)
            column.append(median(values))
            cell = f"{median(values):.1f} ({min(values):.1f} to {max(values):.1f})"
            row += f"{cell:>{WIDTH}}"
        print(row)
    means = "".join(f"{geometric_mean(column):>{WIDTH}.1f}" for column in medians)
    print(f"{'geometric mean':<{LABEL}}{means}")


def commit() -> str | None:
    """Return the commit of the checkout that this file lies in."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def to_json(
    done: list[tuple[Workload, dict[str, Result]]], facts: dict[str, Any], n_rounds: int
) -> dict[str, Any]:
    """Return everything measured, ready for JSON."""
    return {
        "environment": facts,
        "commit": commit(),
        "rounds": n_rounds,
        "workloads": [
            {
                "name": workload.spec.name,
                "source": workload.source,
                "rows": len(workload.X),
                "features": workload.spec.n_features,
                "hidden": workload.spec.hidden,
                "outputs": workload.spec.n_outputs,
                "batch": workload.spec.batch_size,
                "epochs": workload.n_epochs,
                "sides": {
                    name: {
                        "loss": result.loss,
                        "deviation": result.deviation,
                        "seconds": result.seconds,
                        "samples_per_second": speed(workload, result),
                    }
                    for name, result in results.items()
                },
            }
            for workload, results in done
        ],
    }


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description="Training speed of fastbp beside scikit-learn's MLP, verified first."
    )
    names = ", ".join(SPECS)
    parser.add_argument(
        "--workloads", nargs="+", metavar="NAME", choices=SPECS, default=list(SPECS), help=names
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="default: 7, or 3 if quick")
    parser.add_argument("--quick", action="store_true", help="a quarter of the rows and epochs")
    parser.add_argument("--json", metavar="FILE", help="write everything measured here")
    args = parser.parse_args(argv)
    if args.rounds is None:
        args.rounds = 3 if args.quick else 7
    if args.rounds < 1:
        parser.error("--rounds must be at least 1")
    return args


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark; the exit status is 1 where a side learnt something else."""
    args = parse_arguments(argv)
    facts = environment()
    print(f"{format_machine(facts)}\n{format_libraries(facts)}\n")
    peers = all_peers()
    done, failures = [], []
    for name in args.workloads:
        workload = load(name, quick=args.quick)
        print(describe(workload), flush=True)
        results = run_workload(workload, peers, args.rounds)
        if isinstance(results, str):
            print(f"         NOT TIMED: {results}", flush=True)
            failures.append(name)
            continue
        worst = ", ".join(f"{p.name} {results[p.name].deviation:.0e}" for p in peers[1:])
        print(f"         loss {results[peers[0].name].loss:.6g}; relative difference: {worst}")
        done.append((workload, results))
    if done:
        print_speeds(done, peers)
        print_ratios(done, peers)
    if args.json:
        Path(args.json).write_text(json.dumps(to_json(done, facts, args.rounds), indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
