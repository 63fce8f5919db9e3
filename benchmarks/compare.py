# SPDX-License-Identifier: BSD-3-Clause
"""What moved between two runs: python benchmarks/compare.py BEFORE AFTER

For each workload and side: how many times faster the second run was. By default each speed is taken
relative to scikit-learn's in the same round, since machines drift; `--absolute` compares times. A
side has moved when the ranges of its rounds in the two runs do not overlap.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from statistics import median
from typing import NamedTuple

from figures import Entry, Report, entries, mean, ratios
from tables import layout

REFERENCE = "sklearn"
SIZES = ("rows", "features", "hidden", "outputs", "batch", "epochs", "source")


class Change(NamedTuple):
    """How a side's speed on a workload changed."""

    workload: str
    side: str
    ratio: float  # of the medians, after to before: above 1 is faster
    moved: bool


def compare(before: Report, after: Report, *, absolute: bool) -> list[Change]:
    """Return the changes of all workloads and sides that both runs have, in the same sizes."""
    earlier = {entry["name"]: entry for entry in entries(before)}
    changes = []
    for entry in entries(after):
        other = earlier.get(entry["name"])
        if other is None or any(entry[key] != other[key] for key in SIZES):
            continue
        for side in entry["sides"]:
            if side not in other["sides"] or (side == REFERENCE and not absolute):
                continue
            old, new = speeds(other, side, absolute), speeds(entry, side, absolute)
            apart = min(new) > max(old) or max(new) < min(old)
            changes.append(Change(entry["name"], side, median(new) / median(old), apart))
    return changes


def speeds(entry: Entry, side: str, absolute: bool) -> list[float]:
    """Return a side's speed in each round: fits per second, or times the reference's speed."""
    if absolute:
        return [1.0 / seconds for seconds in entry["sides"][side]["seconds"]]
    return ratios(entry, side, REFERENCE)


def rows(changes: list[Change]) -> list[list[str]]:
    """Return the table: a row for each workload, a column for each side."""
    sides = list(dict.fromkeys(change.side for change in changes))
    names = list(dict.fromkeys(change.workload for change in changes))
    cells = {(c.workload, c.side): f"{c.ratio:.2f}{' *' if c.moved else '  '}" for c in changes}
    table = [["", *sides]]
    table += [[name, *(cells.get((name, side), "–") for side in sides)] for name in names]
    means = [mean(c.ratio for c in changes if c.side == side) for side in sides]
    return [*table, ["geometric mean", *(f"{value:.2f}  " for value in means)]]


def differences(before: Report, after: Report) -> list[str]:
    """Return lines about what else differs between the runs: machine, family, versions, commit."""
    lines = []
    pairs = [("commit", before["commit"], after["commit"])]
    for key in ("cpu", "isa", "threads", "compiler", "python", "libraries"):
        pairs.append((key, before["environment"][key], after["environment"][key]))
    for key, old, new in pairs:
        if isinstance(old, dict):
            names = [name for name in new if old.get(name) != new[name]]
            lines += [f"{name:<12}{old.get(name)} → {new[name]}" for name in names]
        elif old != new:
            lines.append(f"{key:<12}{old} → {new}")
    return lines


def main(argv: list[str] | None = None) -> int:
    """Print what changed; the exit status is 1 where the runs have nothing in common."""
    parser = argparse.ArgumentParser(description="What moved between two runs of run.py.")
    parser.add_argument("before", metavar="BEFORE")
    parser.add_argument("after", metavar="AFTER")
    parser.add_argument("--absolute", action="store_true", help="times, not ratios to scikit-learn")
    args = parser.parse_args(argv)
    before, after = (json.loads(Path(f).read_text("utf-8")) for f in (args.before, args.after))
    print("\n".join(differences(before, after)))
    changes = compare(before, after, absolute=args.absolute)
    if not changes:
        print("the runs have no workload and side in common")
        return 1
    unit = "times" if args.absolute else "times, relative to scikit-learn in the same round"
    print(f"\nFaster by so many {unit} (*: moved beyond the spread of the rounds)")
    print("\n".join(layout(rows(changes))))
    moved = [f"{c.workload} {c.side} {c.ratio:.2f}" for c in changes if c.moved]
    print(f"\nmoved: {', '.join(moved) if moved else 'nothing'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
