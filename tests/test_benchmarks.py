# SPDX-License-Identifier: BSD-3-Clause
"""The training benchmark: its workloads, its verification, its figures."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fastbp

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    """Import the benchmark's modules from where they lie; they are no part of the package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delenv("FASTBP_DATA", raising=False)
    return {name: __import__(name) for name in ("workloads", "peers", "run")}


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("digits", 6 * (64 * 100 + 100 * 10) - 2 * 64 * 100),
        ("housing", 6 * (8 * 100 + 100) - 2 * 8 * 100),
        ("adult", 6 * (108 * 256 + 256 * 256 + 256 * 2) - 2 * 108 * 256),
        ("photo", 6 * (64 * 128 + 2 * 128 * 128 + 128 * 3) - 2 * 64 * 128),
    ],
)
def test_workloads(modules: dict[str, ModuleType], name: str, operations: int) -> None:
    workload = modules["workloads"].load(name, quick=True)
    spec = workload.spec
    assert workload.X.shape == (spec.n_rows // 4, spec.n_features)
    assert workload.X.dtype == np.float64 and workload.X.flags.c_contiguous
    assert np.isfinite(workload.X).all() and np.abs(workload.X).max() < 30
    if spec.task == "classification":
        assert set(np.unique(workload.y)) == set(range(spec.n_outputs))
    else:
        assert workload.y.size == len(workload.X) * spec.n_outputs
    assert workload.operations_per_sample == operations
    assert workload.n_samples == len(workload.X) * workload.n_epochs


def test_every_workload_is_defined(modules: dict[str, ModuleType]) -> None:
    names = "digits housing adult fmnist fmnistw covtype wide photo".split()
    assert list(modules["workloads"].SPECS) == names


def test_a_side_that_learns_something_else_is_not_timed(
    modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    peers, run = modules["peers"], modules["run"]
    workload = modules["workloads"].load("housing", quick=True)
    sides = [
        peers.Estimator("sklearn", (None, peers.MLPRegressor), tolerances=(0.0, 0.0)),
        peers.Estimator(
            "other", (None, peers.BackpropRegressor), tolerances=(1e-8, 1e-8), alpha=1.0
        ),
    ]
    message = run.run_workload(workload, sides, 1)
    assert isinstance(message, str) and message.startswith("other ends at loss")


def test_agreement(modules: dict[str, ModuleType]) -> None:
    peers = modules["peers"]
    default = peers.all_peers()[-1]
    assert default.name == "fastbp"
    reference = [1.0] * 20
    assert peers.agrees(default, [1.0] * 10 + [1.04] * 10, reference)
    assert not peers.agrees(default, [1.0] * 10 + [1.06] * 10, reference)
    assert not peers.agrees(default, [1.002] + [1.0] * 19, reference)


def test_deviation(modules: dict[str, ModuleType]) -> None:
    deviation = modules["peers"].deviation
    assert deviation([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert deviation([1.0], [1.0, 2.0]) == float("inf")
    assert not deviation([float("nan")], [1.0]) <= 1.0


def test_as_a_program(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    args = ["--quick", "--workloads", "digits", "housing", "--rounds", "1", "--json", str(output)]
    command = [sys.executable, str(BENCHMARKS / "run.py"), *args]
    environment = {**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT TIMED" not in done.stdout and "geometric mean" in done.stdout
    result = json.loads(output.read_text("utf-8"))
    assert [workload["name"] for workload in result["workloads"]] == ["digits", "housing"]
    assert {"cpu", "isa", "threads"} <= set(result["environment"])
    for workload in result["workloads"]:
        assert set(workload["sides"]) == {"sklearn", "sklearn f32", "fastbp f64", "fastbp"}
        for side in workload["sides"].values():
            assert len(side["seconds"]) == 1
            samples = workload["rows"] * workload["epochs"]
            assert side["samples_per_second"] == pytest.approx(samples / side["seconds"][0])
        assert workload["sides"]["fastbp f64"]["deviation"] < 1e-8
