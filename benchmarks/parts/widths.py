# SPDX-License-Identifier: BSD-3-Clause
"""The share of the machine's float32 multiply-add peak by the width of the layers.

A network of w inputs, two hidden layers of w units and ten outputs, batches of 1024 rows: whole
fits with Adam and the gathering of rows counted, over the peak measured in between. A family with
tiles is set beside AVX-512's peak, and can pass it.
"""

from __future__ import annotations

from typing import Any

TITLE = "Share of the float32 multiply-add peak by layer width (batch 1024, whole fits)"

WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048)
BATCH = 1024
OPERATIONS = 2e10  # of a fit; a tenth of it if quick
PEAK_SECONDS = 0.1


def measure(settings: dict[str, Any]) -> dict[str, Any]:
    """Train networks of all widths, each side in a process of its own, in turns."""
    import tempfile

    from machine import Peak
    from peers import has_matmul_precision
    from workers import Worker

    sides: dict[str, tuple[dict[str, str], str]] = {"default": ({}, settings["isa"])}
    if has_matmul_precision():
        sides |= {p: ({"matmul_precision": p}, settings["isa"]) for p in ("high", "medium")}
    pinned = [isa for isa in ("avx512", "avx2") if isa in settings["isas"]]
    sides |= {isa: ({}, isa) for isa in pinned}
    free = Worker("parts.widths")
    workers = {isa: Worker("parts.widths", {"FASTBP_ISA": isa}) for isa in pinned}
    found: dict[str, Any] = {name: {} for name in sides}
    try:
        with tempfile.TemporaryDirectory() as folder:
            peak = Peak(folder)
            for width in WIDTHS[:6] if settings["quick"] else WIDTHS:
                rates: dict[str, list[float]] = {name: [] for name in sides}
                limits: dict[str, float] = {}
                for _ in range(min(settings["rounds"], 3)):
                    for name, (parameters, isa) in sides.items():
                        worker = workers.get(name, free)
                        rate = worker.call(
                            "fit", width=width, quick=settings["quick"], parameters=parameters
                        )
                        rates[name].append(rate)
                        family = "avx512" if isa == "amx" else isa
                        for values in peak.measure(settings["threads"], PEAK_SECONDS, family)[
                            "gflops"
                        ].values():
                            limits[family] = max(values[1], limits.get(family, 0.0))
                for name, (_, isa) in sides.items():
                    limit = limits.get("avx512" if isa == "amx" else isa)
                    if limit:
                        found[name][str(width)] = max(rates[name]) / limit
    finally:
        for worker in [free, *workers.values()]:
            worker.close()
    return found


def fit(width: int, quick: bool, parameters: dict[str, Any]) -> float:
    """Train one network; return GFLOP/s."""
    import time
    import warnings

    import numpy as np

    from fastbp import BackpropClassifier

    weights = 2 * width * width + 10 * width
    operations = 6 * weights - 2 * width * width
    n_rows = 8 * BATCH
    n_epochs = max(1, round(OPERATIONS * (0.1 if quick else 1.0) / (operations * n_rows)))
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n_rows, width), dtype=np.float32)
    y = rng.integers(0, 10, n_rows)
    model = BackpropClassifier(
        (width, width),
        batch_size=BATCH,
        max_iter=n_epochs,
        n_iter_no_change=np.inf,
        random_state=0,
        **parameters,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
    return 1e-9 * operations * n_rows * n_epochs / seconds


def rows(found: dict[str, Any]) -> list[list[str]]:
    """Return the table."""
    widths = list(dict.fromkeys(width for shares in found.values() for width in shares))
    table = [["width", *widths]]
    for name, shares in found.items():
        table.append([name, *(f"{shares[w]:.0%}" if w in shares else "–" for w in widths)])
    return table
