# SPDX-License-Identifier: BSD-3-Clause
"""The pictures of benchmarks/README.md, from a report: python benchmarks/report.py draws them."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from figures import BFLOAT16_PEERS, Entry, Report, entries, fastest, ratios
from tables import machine_line

FLOAT32_TORCH = ("torch", "torch compiled")
# label, sides of which the fastest is drawn, colour, marker
DRAWN = (
    ("scikit-learn, float32 X", ("sklearn f32",), "#9a9a9a", "s"),
    ("PyTorch, the faster of eager and compiled", FLOAT32_TORCH, "#d98b3a", "^"),
    ("PyTorch bfloat16, the faster of both", BFLOAT16_PEERS, "#8c5a1c", "v"),
    ("JAX, jitted epoch", ("jax",), "#7b5ea7", "D"),
    ("fastbp, float64", ("fastbp f64",), "#7fb5d5", "o"),
    ("fastbp", ("fastbp",), "#0b5394", "o"),
    ('fastbp, "high"', ("fastbp high",), "#1b7f5c", "o"),
    ('fastbp, "medium"', ("fastbp medium",), "#4fae3d", "o"),
)
# what the summary draws of them, and where its label goes, in points
SUMMED_UP = (
    ("PyTorch, eager or compiled", FLOAT32_TORCH, "#d98b3a", "^"),
    ("JAX, jitted epoch", ("jax",), "#7b5ea7", "D"),
    ("fastbp, default settings", ("fastbp",), "#0b5394", "o"),
)
WIDTH_STYLES = {
    "default": ("#0b5394", "o", "default"),
    "high": ("#1b7f5c", "o", '"high"'),
    "medium": ("#4fae3d", "o", '"medium"'),
    "avx512": ("#7fb5d5", "s", "avx512, of AVX-512's peak"),
    "avx2": ("#d98b3a", "^", "avx2, of AVX2's peak"),
}


def _figure(report: Report, title: str, size: tuple[float, float]) -> Any:
    try:
        import matplotlib
    except ImportError as error:
        message = "pictures need matplotlib, which is not installed: pip install -e '.[bench]'"
        raise ImportError(message) from error
    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=size, dpi=150)
    axes.set_title(title, loc="left", fontsize=12, fontweight="bold", pad=24)
    axes.text(0, 1.02, machine_line(report), transform=axes.transAxes, fontsize=9, color="#555555")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure, axes


def draw_speedups(report: Report, path: Path) -> None:
    """Draw how many times sooner than scikit-learn each side trained, by workload."""
    found = entries(report)
    figure, axes = _figure(
        report,
        "Training: times sooner than scikit-learn on float64 X",
        (8.5, 1.6 + 0.75 * len(found)),
    )
    drawn = [row for row in DRAWN if any(fastest(entry, row[1]) for entry in found)]
    for place, (label, sides, colour, marker) in enumerate(drawn):
        offset = 0.3 - 0.6 * place / max(1, len(drawn) - 1)
        points = [_point(entry, sides) for entry in found]
        heights = [-i + offset for i, point in enumerate(points) if point]
        middles = [point[0] for point in points if point]
        least = [point[0] - point[1] for point in points if point]
        most = [point[2] - point[0] for point in points if point]
        ours = label.startswith("fastbp")
        axes.errorbar(
            middles,
            heights,
            xerr=[least, most],
            fmt=marker,
            color=colour,
            label=label,
            markersize=8 if label == "fastbp" else 6 if ours else 5,
            elinewidth=1,
        )
    axes.axvline(1, color="#555555", linewidth=1)
    for i in range(1, len(found)):
        axes.axhline(-i + 0.5, color="#e5e5e5", linewidth=0.8)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(_locator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.xaxis.minorticks_off()
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_yticks([-i for i in range(len(found))], [entry["name"] for entry in found])
    axes.set_ylim(-len(found) + 0.45, 0.55)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("median of the rounds; lines from the least to the greatest")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False, fontsize=9)
    figure.savefig(path, bbox_inches="tight")


def draw_summary(report: Report, path: Path) -> None:
    """Draw the same for the default settings and the float32 peers only, with the figures."""
    found = entries(report)
    figure, axes = _figure(
        report, "Training: times sooner than scikit-learn", (7, 0.6 + 0.42 * len(found))
    )
    for label, sides, colour, marker in SUMMED_UP:
        points = {-i: _point(entry, sides) for i, entry in enumerate(found)}
        middles = {height: point[0] for height, point in points.items() if point}
        ours = sides == ("fastbp",)
        axes.scatter(
            list(middles.values()),
            list(middles),
            s=110 if ours else 40,
            c=colour,
            marker=marker,
            label=label,
            zorder=3 if ours else 2,
        )
        for height, value in middles.items() if ours else ():
            axes.plot([1, value], [height, height], color=colour, linewidth=5, alpha=0.25, zorder=1)
            axes.text(
                1.01, height, f"{value:.1f}×", transform=axes.get_yaxis_transform(), va="center",
                color=colour, fontweight="bold", fontsize=12,
            )  # fmt: skip
    axes.axvline(1, color="#555555", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(_locator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}×")
    axes.xaxis.minorticks_off()
    axes.grid(axis="x", color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_yticks([-i for i in range(len(found))], [_described(entry) for entry in found])
    axes.set_ylim(-len(found) + 0.4, 0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("scikit-learn on float64 X: 1×; medians of the rounds")
    axes.legend(
        loc="upper center", bbox_to_anchor=(0.35, -0.15), frameon=False, fontsize=9, ncols=3
    )
    figure.savefig(path, bbox_inches="tight")


def _described(entry: Entry) -> str:
    """Return a workload's name and its shape."""
    layers = ", ".join(str(units) for units in entry["hidden"])
    return f"{entry['name']}: {entry['rows']:,} × {entry['features']} → {layers}"


def _locator() -> Any:
    from matplotlib.ticker import LogLocator

    return LogLocator(subs=(1, 2, 5))


def _point(entry: Entry, sides: tuple[str, ...]) -> tuple[float, float, float] | None:
    """Return the median, least and greatest ratio of the fastest of some sides."""
    name = fastest(entry, sides)
    if name is None or "sklearn" not in entry["sides"]:
        return None
    values = ratios(entry, name, "sklearn")
    return median(values), min(values), max(values)


def draw_shares(report: Report, path: Path) -> None:
    """Draw the share of the multiply-add peak by the width of the layers."""
    found = report["parts"]["widths"]
    figure, axes = _figure(report, "Share of the float32 multiply-add peak, whole fits", (8, 4.6))
    for name, shares in found.items():
        if not shares:
            continue
        colour, marker, label = WIDTH_STYLES[name]
        widths = [int(width) for width in shares]
        axes.plot(
            widths, list(shares.values()), color=colour, marker=marker, label=label, linewidth=1.8
        )
    axes.axhline(1, color="#555555", linewidth=1)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    if max(share for shares in found.values() for share in shares.values()) > 3:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(_locator())
        axes.yaxis.minorticks_off()
    else:
        axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.grid(color="#eeeeee")
    axes.set_axisbelow(True)
    axes.set_xlabel("units of both hidden layers, and columns of X; batches of 1024 rows, Adam")
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path, bbox_inches="tight")
