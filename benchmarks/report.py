# SPDX-License-Identifier: BSD-3-Clause
"""Put a run into benchmarks/README.md, tables and pictures: python benchmarks/report.py FILE

What stands there between the two marks is replaced by what run.py wrote to the JSON file. Nothing
in between is written by hand.
"""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path

import goals
import machine
import plots
import tables
from figures import Report

HERE = Path(__file__).parent
BEGIN = "<!-- Written by report.py: begin -->"
END = "<!-- Written by report.py: end -->"


def section(report: Report) -> list[str]:
    """Return the Markdown lines of a run."""
    facts = report["environment"]
    libraries = facts["libraries"]
    versions = ", ".join(
        f"{label} {libraries[name]}"
        for label, name in (
            ("NumPy", "numpy"),
            ("scikit-learn", "scikit-learn"),
            ("PyTorch", "torch"),
            ("JAX", "jax"),
        )
        if libraries.get(name)
    )
    rounds = f"{report['rounds']} round{'s' if report['rounds'] > 1 else ''}"
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, family `{facts['isa']}`, {facts['threads']}"
        f" threads; {facts['compiler']}, {versions}; medians of {rounds}"
        f"{', quick sizes' if report['quick'] else ''}; commit"
        f" {(report['commit'] or 'unknown')[:12]}.",
    ]
    lines += ["", "### Goals", "", *tables.markdown(tables.goal_rows(goals.judge(report)))]
    if report["workloads"]:
        lines += ["", "### Training", "", "![Times sooner than scikit-learn](speedups.png)", ""]
        lines += ["Times sooner: median of the rounds (least to greatest).", ""]
        lines += tables.markdown(tables.ratio_rows(report))
        lines += ["", "Thousand samples per second.", ""]
        lines += tables.markdown(tables.speed_rows(report))
        lines += [
            "",
            "GFLOP/s of whole fits, beside the family's float32 multiply-add peak in the same"
            " minutes (AVX-512's, where the family has tiles); a step in µs beside its floor, the"
            " larger of its operations and its bytes at the measured limits.",
            "",
        ]
        lines += tables.markdown(tables.arithmetic_rows(report))
    if "widths" in report["parts"]:
        lines += ["", "### Share of the peak", "", "![By layer width](peak_share.png)"]
    for name, result in report["parts"].items():
        part = import_module(f"parts.{name}")
        lines += ["", f"### {part.TITLE}", "", *tables.markdown(part.rows(result))]
    if report["peaks"]:
        lines += ["", "### The machine's limits in that run", "", "```"]
        lines += [*machine.describe(report["peaks"]), "```"]
    return lines


def insert(text: str, lines: list[str]) -> str:
    """Return a text with the lines between its marks replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the text has no marks {BEGIN} and {END}")
    return "\n".join([before + begin, "", *lines, "", end + after])


def main(argv: list[str] | None = None) -> None:
    """Write the tables and draw the pictures."""
    parser = argparse.ArgumentParser(description="Put a run into benchmarks/README.md.")
    parser.add_argument("file", metavar="FILE", help="what run.py --json wrote")
    parser.add_argument(
        "--folder", type=Path, default=HERE, help="of README.md and the pictures; default: this one"
    )
    args = parser.parse_args(argv)
    report: Report = json.loads(Path(args.file).read_text("utf-8"))
    readme = args.folder / "README.md"
    readme.write_text(insert(readme.read_text("utf-8"), section(report)), "utf-8")
    if report["workloads"]:
        plots.draw_speedups(report, args.folder / "speedups.png")
        plots.draw_summary(report, args.folder / "summary.png")
    if "widths" in report["parts"]:
        plots.draw_shares(report, args.folder / "peak_share.png")


if __name__ == "__main__":
    main()
