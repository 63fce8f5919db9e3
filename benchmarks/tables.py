# SPDX-License-Identifier: BSD-3-Clause
"""The tables of a run as text, and the same rows for benchmarks/README.md."""

from __future__ import annotations

from statistics import median
from typing import Any

from figures import (
    FLOAT32_PEERS,
    Entry,
    Report,
    entries,
    fastest,
    gflops,
    mean,
    number,
    ratios,
    share_of_peak,
    speed,
    spread,
)
from floors import floor
from peers import HELD

Row = list[str]


def layout(rows: list[Row], *, left: bool = False) -> list[str]:
    """Return rows as lines of columns: the first to the left, the others to the right or `left`."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    sides = ["<", *("<" if left else ">" for _ in widths[1:])]
    return [
        "  ".join(f"{row[i]:{sides[i]}{widths[i]}}" for i in range(len(row))).rstrip()
        for row in rows
    ]


def markdown(rows: list[Row]) -> list[str]:
    """Return rows as a Markdown table, the first being its head."""
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    return [lines[0], "|" + "---|" * len(rows[0]), *lines[1:]]


def machine_line(report: Report) -> str:
    """Return what every figure depends on: CPU, family, threads."""
    facts = report["environment"]
    return f"{facts['cpu']}, family {facts['isa']}, {facts['threads']} threads"


def side_names(report: Report) -> list[str]:
    """Return every side timed on some workload, in the order of the run."""
    return list(dict.fromkeys(name for entry in entries(report) for name in entry["sides"]))


def speed_rows(report: Report) -> list[Row]:
    """Return thousand samples per second."""
    names = side_names(report)
    rows = [["", *names]]
    for entry in entries(report):
        rows.append(
            [
                entry["name"],
                *(
                    f"{speed(entry, name) / 1e3:,.1f}" if name in entry["sides"] else "–"
                    for name in names
                ),
            ]
        )
    return rows


def comparisons(report: Report) -> list[tuple[str, str]]:
    """Return the pairs of sides to take ratios of; "best f32 peer" is the workload's own."""
    names = side_names(report)
    pairs = [("fastbp", "sklearn"), ("fastbp", "best f32 peer"), ("fastbp f64", "sklearn")]
    pairs += [("fastbp high", "best f32 peer"), ("fastbp medium", "best bf16 peer")]
    for family in ("avx512", "avx2"):
        pairs.append((f"fastbp {family}", f"best {family} peer"))
    return [
        pair
        for pair in pairs
        if pair[0] in names and any(peers(e, pair[1]) for e in entries(report))
    ]


def peers(entry: Entry, name: str) -> str | None:
    """Return the side that a name such as "best f32 peer" stands for on a workload."""
    groups = {
        "best f32 peer": FLOAT32_PEERS,
        "best bf16 peer": ("torch bf16", "torch bf16 compiled"),
        "best avx512 peer": ("torch avx512", "torch compiled avx512"),
        "best avx2 peer": ("torch avx2", "torch compiled avx2"),
    }
    return fastest(entry, groups.get(name, (name,)))


def ratio_rows(report: Report) -> list[Row]:
    """Return how many times sooner: median of the rounds, least and greatest."""
    pairs = comparisons(report)
    rows = [["", *(f"{ours} / {theirs}" for ours, theirs in pairs)]]
    medians: list[list[float]] = [[] for _ in pairs]
    for entry in entries(report):
        row = [entry["name"]]
        for column, (ours, theirs) in zip(medians, pairs, strict=True):
            rival = peers(entry, theirs)
            if ours not in entry["sides"] or rival is None:
                row.append("–")
                continue
            values = ratios(entry, ours, rival)
            column.append(median(values))
            label = "" if rival == theirs else f" {rival}"
            row.append(spread(values) + label)
        rows.append(row)
    rows.append(["geometric mean", *(number(mean(c)) if c else "–" for c in medians)])
    return rows


def arithmetic_rows(report: Report) -> list[Row]:
    """Return GFLOP/s of whole fits, shares of the peak, and a step beside its floor."""
    default = report["environment"]["isa"]
    rows = [["", "fastbp", "GFLOP/s", "of the peak", "sustained"]]
    rows[0] += ["step µs", "floor", "operations", "bytes"]
    for entry in entries(report):
        for side in [name for name in entry["sides"] if name.startswith("fastbp")]:
            label = side.removeprefix("fastbp").strip()
            family = label if label in HELD else default
            units = "avx512" if family == "amx" else family
            shares = [share_of_peak(entry, side, units, sustained) for sustained in (False, True)]
            row = [
                entry["name"],
                label or f"default ({family})",
                f"{gflops(entry, side):,.0f}",
                *("–" if share is None else f"{share:.0%}" for share in shares),
            ]
            least = floor(report, entry, side, family)
            if least is None:
                row += ["–"] * 4
            else:
                times = (least.measured, least.least, least.operations, least.bytes)
                row += [f"{time:,.1f}" for time in times]
            rows.append(row)
    return rows


def part_lines(title: str, rows: list[Row]) -> list[str]:
    """Return a titled table."""
    return ["", title, *layout(rows)]


def training(report: Report) -> list[str]:
    """Return the tables of training."""
    if not entries(report):
        return []
    lines = part_lines(
        f"Training, thousand samples per second, median ({machine_line(report)})",
        speed_rows(report),
    )
    lines += part_lines(
        "Times sooner: median of the rounds (least to greatest)", ratio_rows(report)
    )
    lines += part_lines(
        "Arithmetic of whole fits beside the float32 multiply-add peak, at best and sustained"
        " (AVX-512's, where the family is amx)",
        arithmetic_rows(report),
    )
    return lines


def goal_rows(verdicts: list[Any]) -> list[Row]:
    """Return the table of goals."""
    rows = [["figure", "goal", "measured", "met"]]
    for verdict in verdicts:
        met = "–" if verdict.met is None else "yes" if verdict.met else "NO"
        rows.append([verdict.figure, verdict.goal, verdict.measured, met])
    return rows
