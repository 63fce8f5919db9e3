# SPDX-License-Identifier: BSD-3-Clause
"""The benchmark: its workloads, its verification, its arithmetic; nothing here is a timing."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

import fastbp

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
MODULES = (
    "compare data figures floors goals machine measure peers problem report run start tables"
    " turns workers workloads"
).split()


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Import the suite's modules from where they lie; they are no part of the package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delenv("FASTBP_DATA", raising=False)
    before = set(sys.modules)
    modules = {name: __import__(name) for name in MODULES}
    parts = {f"part_{name}": part_module(name) for name in modules["run"].PARTS}
    yield SimpleNamespace(**modules, **parts)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(BENCHMARKS)):
            del sys.modules[name]


def part_module(name: str) -> ModuleType:
    module = __import__(f"parts.{name}")
    part: ModuleType = getattr(module, name)
    return part


def entry(name: str = "digits", **seconds: list[float]) -> dict[str, Any]:
    """Return a workload's entry: 100 rows, 2 epochs, a thousand operations for each."""
    sides = {side.replace("_", " "): {"seconds": times} for side, times in seconds.items()}
    return {
        "name": name,
        "source": "generated",
        "rows": 100,
        "features": 10,
        "hidden": [10],
        "outputs": 2,
        "batch": 50,
        "epochs": 2,
        "weights": 120,
        "operations_per_sample": 1000,
        "gflops": {"avx512": [1e-3, 2e-3, 1e-3]},
        "sides": sides,
        "wrong": {},
        "failed": {},
    }


def report(*workloads: dict[str, Any], **parts: Any) -> dict[str, Any]:
    environment = {
        "cpu": "a CPU",
        "cores": 2,
        "isa": "avx512",
        "isas": ["avx2", "avx512"],
        "threads": 2,
        "compiler": "gcc 12",
        "python": "CPython 3.11",
        "libraries": {"numpy": "2.4", "torch": None},
        "caches": {"L2": 1000, "L3": 10_000},
    }
    limits = {
        "threads": 2,
        "gflops": {"avx512": [1e-3, 2e-3, 1e-3]},
        "memory_gbs": [1.0, 2.0],
        "l3_gbs": [4.0, 8.0],
        "barrier_us": 0.4,
        "region_us": 0.8,
    }
    return {
        "environment": environment,
        "commit": "0123456789abcdef",
        "quick": False,
        "rounds": 3,
        "peaks": limits,
        "workloads": list(workloads),
        "parts": parts,
        "failed": {},
    }


# Workloads and their data


@pytest.mark.parametrize(
    ("name", "operations"),
    [
        ("digits", 6 * (64 * 100 + 100 * 10) - 2 * 64 * 100),
        ("housing", 6 * (8 * 100 + 100) - 2 * 8 * 100),
        ("adult", 6 * (108 * 256 + 256 * 256 + 256 * 2) - 2 * 108 * 256),
        ("photo", 6 * (64 * 128 + 2 * 128 * 128 + 128 * 3) - 2 * 64 * 128),
    ],
)
def test_workloads(suite: Any, name: str, operations: int) -> None:
    workload = suite.workloads.load(name, quick=True, download=False)
    spec = workload.spec
    assert workload.X.shape == (spec.n_rows // 8, spec.n_features)
    assert workload.X.dtype == np.float64 and workload.X.flags.c_contiguous
    assert np.isfinite(workload.X).all() and np.abs(workload.X).max() < 30
    if spec.task == "classification":
        assert set(np.unique(workload.y)) == set(range(spec.n_outputs))
    else:
        assert workload.y.size == len(workload.X) * spec.n_outputs
    assert workload.operations_per_sample == operations
    assert suite.measure.describe(workload)["operations_per_sample"] == operations


def test_every_workload_is_defined(suite: Any) -> None:
    names = "digits housing adult fmnist fmnistw covtype wide photo".split()
    assert list(suite.workloads.SPECS) == names


def test_data_from_a_folder(suite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    pictures = rng.integers(0, 256, (40, 28, 28)).astype(np.uint8)
    labels = np.arange(40) % 10
    np.savez(tmp_path / "mnist.npz", X_train=pictures, y_train=labels)
    monkeypatch.setenv("FASTBP_DATA", str(tmp_path))
    workload = suite.workloads.load("fmnist", download=False)
    assert workload.source == "mnist"
    np.testing.assert_array_equal(workload.X, pictures.reshape(40, 784) / 255.0)
    np.testing.assert_array_equal(workload.y, labels)


def test_what_is_not_in_the_folder_is_downloaded_by_name(
    suite: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import pandas
    import sklearn.datasets

    asked = []

    def fetch(name: str, **options: Any) -> Any:
        asked.append(name)
        if name == "covertype":
            raise OSError("no network")
        data = pandas.DataFrame(np.random.default_rng(0).normal(size=(50, 8)))
        return SimpleNamespace(data=data, target=pandas.Series(np.arange(50.0)))

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    assert suite.workloads.load("housing").source == "openml houses"
    assert suite.workloads.load("covtype", quick=True).source == "generated"
    assert "covertype cannot be downloaded: OSError" in capsys.readouterr().out
    assert asked == ["houses", "covertype"]


# Verification


def test_peers_start_and_shuffle_as_scikit_learn_does(suite: Any) -> None:
    from sklearn.neural_network import MLPClassifier

    X, y = np.random.default_rng(0).normal(size=(6, 4)), np.arange(6) % 3
    layers, orders = suite.start.draw([4, 5, 3], 6, 2)
    model = MLPClassifier((5,), learning_rate_init=1e-30, max_iter=1, random_state=suite.start.SEED)
    with pytest.warns(UserWarning):
        model.fit(X, y)
    for (coef, intercept), theirs, biases in zip(
        layers, model.coefs_, model.intercepts_, strict=True
    ):
        np.testing.assert_array_equal(coef, theirs)
        np.testing.assert_array_equal(intercept, biases)
    assert all(sorted(order) == list(range(6)) for order in orders)
    assert not np.array_equal(*orders)


def test_a_problem_survives_its_folder(suite: Any, tmp_path: Path) -> None:
    problem = suite.problem.Problem.of(suite.workloads.load("digits", quick=True))
    problem.write(tmp_path)
    again = suite.problem.Problem.read(tmp_path)
    np.testing.assert_array_equal(again.X, problem.X)
    np.testing.assert_array_equal(again.y, problem.y)
    assert again.units == problem.units == [64, 100, 10]
    two_classes = suite.problem.Problem(
        np.zeros((3, 2)), np.array([0, 1, 1]), "classification", [4], 2, 1
    )
    assert two_classes.units == [2, 4, 1]


def test_agreement(suite: Any) -> None:
    peers = suite.peers
    default = peers.all_sides([])[0][-1]
    assert default.name == "fastbp"
    reference = [1.0] * 20
    assert peers.agrees(default, [1.0] * 10 + [1.04] * 10, reference)
    assert not peers.agrees(default, [1.0] * 10 + [1.06] * 10, reference)
    assert not peers.agrees(default, [1.002] + [1.0] * 19, reference)


def test_deviation(suite: Any) -> None:
    deviation = suite.peers.deviation
    assert deviation([1.0, 2.2], [1.0, 2.0]) == pytest.approx(0.1)
    assert deviation([1.0], [1.0, 2.0]) == float("inf")
    assert not deviation([float("nan")], [1.0]) <= 1.0


def test_who_takes_part(suite: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    peers = suite.peers
    monkeypatch.setattr(peers, "find_spec", lambda name: None)
    monkeypatch.setattr(peers, "has_matmul_precision", lambda: False)
    sides, left_out = peers.all_sides(["ref", "avx2"])
    assert [
        side.name for side in sides
    ] == "sklearn,sklearn f32,fastbp f64,fastbp avx2,fastbp".split(",")
    assert [line.split()[0] for line in left_out] == ["PyTorch", "JAX", "fastbp"]
    assert sides[-2].environment == {"FASTBP_ISA": "avx2"}
    monkeypatch.setattr(peers, "find_spec", lambda name: object())
    monkeypatch.setattr(peers, "has_matmul_precision", lambda: True)
    sides, left_out = peers.all_sides(["ref", "avx2", "avx512"])
    names = [side.name for side in sides]
    assert names[0] == "sklearn" and names[-1] == "fastbp" and not left_out
    for precision in ("", " bf16", " avx2", " avx512"):
        form = " bf16 compiled" if precision == " bf16" else f" compiled{precision}"
        assert f"torch{precision}" in names and f"torch{form}" in names
    assert {"jax", "fastbp high", "fastbp medium", "fastbp avx2", "fastbp avx512"} <= set(names)
    # Sides under other environments are other processes.
    assert len({side.process for side in sides if side.module == "peer_torch"}) == 3


def test_a_side_that_learns_something_else_is_not_timed(suite: Any) -> None:
    side = suite.peers.Side
    sides = [
        side("sklearn", "peer_estimators", (0.0, 0.0), {"library": "sklearn"}),
        side("other", "peer_estimators", (1e-8, 1e-8), {"library": "fastbp", "alpha": 1.0}),
        side("broken", "peer_estimators", (1e-8, 1e-8), {"library": "fastbp", "alpha": -1.0}),
    ]
    workload = suite.workloads.load("housing", quick=True, download=False)
    with suite.measure.Pool(sides) as pool:
        found = suite.measure.measure_workload(workload, sides, pool, 2)
    assert list(found["sides"]) == ["sklearn"] and len(found["sides"]["sklearn"]["seconds"]) == 2
    assert found["wrong"]["other"].startswith("ends at loss")
    assert "alpha" in found["failed"]["broken"]


def test_a_worker_that_dies_is_said_to_have_died(suite: Any) -> None:
    with suite.workers.Worker("os") as worker:
        assert worker.call("getpid") != os.getpid()
        with pytest.raises(suite.workers.WorkerError, match="status 3"):
            worker.call("_exit", status=3)


# Figures


def test_speed_and_share_of_the_peak(suite: Any) -> None:
    found = entry(sklearn=[1.0, 8.0, 4.0], fastbp_avx512=[0.25, 0.5, 0.5])
    assert suite.figures.speed(found, "sklearn") == 50.0
    assert suite.figures.gflops(found, "fastbp avx512") == pytest.approx(400 * 1000 / 1e9)
    share = suite.figures.share_of_peak(found, "fastbp avx512", "avx512")
    assert share == pytest.approx(4e-4 / 2e-3)
    share = suite.figures.share_of_peak(found, "fastbp avx512", "avx512", sustained=True)
    assert share == pytest.approx(4e-4 / 1e-3)
    assert suite.figures.share_of_peak(found, "fastbp avx512", "avx2") is None
    assert suite.figures.ratios(found, "fastbp avx512", "sklearn") == [4.0, 16.0, 8.0]
    assert suite.figures.spread([4.0, 16.0, 8.0]) == "8.00 (4.00 to 16.0)"


def test_the_best_peer_is_each_workloads_own(suite: Any) -> None:
    found = entry(sklearn_f32=[3.0], torch=[2.0], torch_compiled=[1.0], jax=[1.5], torch_bf16=[0.1])
    assert suite.tables.peers(found, "best f32 peer") == "torch compiled"
    assert suite.tables.peers(found, "best bf16 peer") == "torch bf16"
    assert suite.tables.peers(found, "best avx2 peer") is None


def test_floor(suite: Any) -> None:
    found = entry(fastbp_avx512=[8e-4], fastbp_f64=[8e-4])
    whole = report(found)
    floor = suite.floors.floor(whole, found, "fastbp avx512", "avx512")
    # 2 steps an epoch; 50 rows × 1000 operations at 2e-3 GFLOP/s.
    assert floor.operations == pytest.approx(50_000 / 2e-3 / 1e3)
    # X, 8000 bytes, and the state, 1920, fit the L2s together only in the second case.
    assert floor.bytes == pytest.approx(4000 / 8e3)
    assert floor.measured == pytest.approx(8e-4 * 1e6 / 4)
    assert floor.least == floor.operations
    assert suite.floors.floor(whole, found, "fastbp f64", "avx512").operations == pytest.approx(
        2 * floor.operations
    )
    whole["peaks"]["gflops"]["amx"] = [1.0, 6.0]
    found["sides"]["fastbp"] = {"seconds": [8e-4]}
    with_tiles = suite.floors.floor(whole, found, "fastbp", "amx")
    assert with_tiles.operations == pytest.approx(50_000 / 1.0 / 1e3)
    # Where bfloat16 pairs are multiplied without tiles.
    whole["environment"]["isas"].append("avx512bf16")
    whole["peaks"]["gflops"]["avx512bf16"] = [1.0, 4.0]
    found["sides"]["fastbp medium"] = {"seconds": [8e-4]}
    medium = suite.floors.floor(whole, found, "fastbp medium", "avx512")
    assert medium.operations == pytest.approx(50_000 / 4.0 / 1e3)
    whole["peaks"] = {}
    assert suite.floors.floor(whole, found, "fastbp avx512", "avx512") is None


def test_bandwidth_is_that_of_the_level(suite: Any) -> None:
    whole = report()
    assert suite.floors.bandwidth(whole, 2000) == float("inf")
    assert suite.floors.bandwidth(whole, 2001) == 8.0
    assert suite.floors.bandwidth(whole, 10_001) == 2.0


def test_goals(suite: Any) -> None:
    met = entry("digits", sklearn=[12.0], fastbp=[1.0], torch=[2.5], fastbp_f64=[2.0])
    missed = entry("wide", sklearn=[9.0], fastbp=[1.0], torch=[1.5], fastbp_f64=[2.0])
    verdicts = {v.figure: v for v in suite.goals.judge(report(met, missed))}
    assert len(verdicts) == len(suite.goals.GOALS) == 15
    first = verdicts["default against scikit-learn, float64 X"]
    assert first.met and first.measured == "geometric mean 10.4, digits 12.0, wide 9.00"
    second = verdicts["default against the best float32 peer"]
    assert second.met is False and second.measured == "digits 2.50, wide 1.50 ✗"
    assert verdicts["second core"].met is None
    assert verdicts["second core"].measured == "not measured"


@pytest.mark.parametrize(("slowdown", "met"), [(2.2, True), (2.3, False)])
def test_goals_of_parts(suite: Any, slowdown: float, met: bool) -> None:
    parts = {
        "busy_neighbour": {"slowdown": {"digits": slowdown}},
        "threads": {"second_core": {"digits": 1.0, "wide": 1.8 if met else 1.6}},
    }
    verdicts = {v.figure: v for v in suite.goals.judge(report(**parts))}
    assert verdicts["a busy neighbour on one core: times slower"].met is met
    assert verdicts["second core"].met is met


def test_computed_scaling(suite: Any) -> None:
    phases = dict.fromkeys(suite.part_phases.PHASES, 0.0) | {"forward": 100.0, "weights": 60.0}
    units = [1024, 768, 768]
    speedups = suite.part_phases.speedups
    # Tiles and tasks divide evenly by sixteen.
    assert speedups(phases, 0.0, units, 1024, 0.0)["16"] == pytest.approx(16.0)
    # A tenth outside stays; barriers come on top.
    with_python = speedups(phases | {"prepare": 8.0}, 8.0, units, 1024, 1.0)
    assert with_python["16"] == pytest.approx(176 / (16 + 160 / 16 + 2 * 4))
    # One tile of rows cannot be shared.
    alone = speedups(phases | {"weights": 0.0}, 0.0, units, 8, 0.0)
    assert set(alone.values()) == {1.0}
    assert suite.part_phases.longest(10, 4) == pytest.approx(0.3)


def test_planned_memory(suite: Any) -> None:
    weights = 1024 * 2048 + 2048 * 2048 + 2048 * 10
    units = 1024 + 2048 + 2048 + 10
    part = suite.part_peak_memory
    case, rest = part.Case("many weights", "float32"), 32 * 4096
    assert part.plan(case, "avx512") == 20 * weights + 8 * 1024 * units + rest
    sgd, double = case._replace(solver="sgd"), case._replace(dtype="float64")
    assert part.plan(sgd, "avx512") == 16 * weights + 8 * 1024 * units + rest
    for isa in ("avx512", "amx"):
        assert part.plan(double, isa) == 40 * weights + 16 * 1024 * units + rest
    stopped = case._replace(early_stopping=True)
    assert part.plan(stopped, "amx") == 32 * weights + 24 * 1024 * units + rest
    assert stopped.name == "many weights, float32, early stopping"
    assert len({case.name for case in part.CASES}) == len(part.CASES)


def test_turns(suite: Any) -> None:
    calls: list[str] = []

    def side(name: str, seconds: float) -> Any:
        def measure() -> float:
            calls.append(name)
            return seconds

        return measure

    found = suite.turns.in_turns({"a": side("a", 1.0), "b": side("b", 2.0)}, 2)
    assert calls == ["a", "b"] * 3
    assert suite.turns.times_sooner(found, "a", "b") == [2.0, 2.0]


# The limits


def test_peak_program(suite: Any, tmp_path: Path) -> None:
    peak = suite.machine.Peak(tmp_path)
    assert peak.program is not None, peak.why_not
    limits = peak.measure(1, 0.001)
    assert limits["gflops"] and all(
        value > 0 and sustained <= all_threads * 1.001
        for one, all_threads, sustained in limits["gflops"].values()
        for value in (one, all_threads, sustained)
    )
    assert min(*limits["memory_gbs"], *limits["l3_gbs"], limits["region_us"]) > 0
    pinned = set(fastbp._core.available_isas()) & set(suite.peers.HELD)
    assert pinned <= set(limits["gflops"])
    for family in pinned:
        assert set(peak.measure(1, 0.001, family)["gflops"]) == {family}
    text = "\n".join(suite.machine.describe(limits))
    assert "GFLOP/s" in text and "barrier" in text
    wrong = subprocess.run([str(peak.program), "0", "1"], capture_output=True)
    assert wrong.returncode == 2


def test_without_a_compiler(suite: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    peak = suite.machine.Peak(tmp_path)
    assert peak.program is None and "no C compiler" in peak.why_not
    assert peak.measure(2, 0.1) == {"gflops": {}}


# What is made of a report


def test_markdown_of_a_report(suite: Any) -> None:
    found = entry(sklearn=[3.0, 4.0, 5.0], torch=[2.0, 2.0, 2.0], fastbp=[1.0, 1.0, 1.0])
    lines = suite.report.section(report(found, import_time=None) | {"parts": {}})
    text = "\n".join(lines)
    assert "| digits | 4.00 (3.00 to 5.00) | 2.00 (2.00 to 2.00) torch |" in text
    assert "a CPU, 2 cores, family `avx512`" in text and "0123456789ab" in text
    before = f"above\n{suite.report.BEGIN}\nold\n{suite.report.END}\nbelow\n"
    after = suite.report.insert(before, ["new"])
    assert after == f"above\n{suite.report.BEGIN}\n\nnew\n\n{suite.report.END}\nbelow\n"
    assert suite.report.insert(after, ["new"]) == after
    with pytest.raises(ValueError, match="no marks"):
        suite.report.insert("above\nbelow\n", ["new"])


def test_the_readme_has_the_marks_and_names_all_parts(suite: Any) -> None:
    readme = (BENCHMARKS / "README.md").read_text("utf-8")
    assert suite.report.insert(readme, []) != readme
    for name in [*suite.run.PARTS, *suite.workloads.SPECS, "compare.py", "report.py"]:
        assert name in readme, name


def test_compare(suite: Any) -> None:
    before = report(entry(sklearn=[4.0, 4.0, 4.0], fastbp=[1.0, 1.1, 0.9], jax=[2.0, 3.0, 2.0]))
    after = report(entry(sklearn=[8.0, 8.0, 8.0], fastbp=[1.0, 1.1, 0.9], jax=[4.0, 4.1, 3.9]))
    changes = {c.side: c for c in suite.compare.compare(before, after, absolute=False)}
    assert changes.keys() == {"fastbp", "jax"}
    assert changes["fastbp"].ratio == pytest.approx(2.0) and changes["fastbp"].moved
    assert changes["jax"].ratio == pytest.approx(1.0) and not changes["jax"].moved
    changes = {c.side: c for c in suite.compare.compare(before, after, absolute=True)}
    assert changes["sklearn"].ratio == pytest.approx(0.5) and changes["sklearn"].moved
    assert changes["fastbp"].ratio == pytest.approx(1.0) and not changes["fastbp"].moved
    other = report(entry(sklearn=[4.0], fastbp=[1.0]) | {"rows": 7})
    assert suite.compare.compare(before, other, absolute=False) == []


# A run


def test_as_a_program(tmp_path: Path) -> None:
    output = tmp_path / "result.json"
    arguments = "--quick --no-download --workloads digits housing --rounds 1 --sides".split()
    arguments += ["sklearn f32", "fastbp f64", "fastbp", "--parts", "training", "import_time"]
    program = str(BENCHMARKS / "run.py")
    environment = {**os.environ, "PYTHONPATH": str(Path(fastbp.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, program, *arguments, "--json", str(output)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "NOT TIMED" not in done.stdout and "geometric mean" in done.stdout
    result = json.loads(output.read_text("utf-8"))
    assert [workload["name"] for workload in result["workloads"]] == ["digits", "housing"]
    assert {"cpu", "isa", "threads", "caches"} <= set(result["environment"])
    assert result["peaks"]["gflops"] and set(result["parts"]) == {"import_time"}
    for workload in result["workloads"]:
        assert set(workload["sides"]) == {"sklearn", "sklearn f32", "fastbp f64", "fastbp"}
        assert all(len(side["seconds"]) == 1 for side in workload["sides"].values())
        assert workload["sides"]["fastbp f64"]["deviation"] < 1e-8
    shutil.copy(BENCHMARKS / "README.md", tmp_path)
    compared = subprocess.run(
        [sys.executable, str(BENCHMARKS / "compare.py"), str(output), str(output)],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert compared.returncode == 0 and "moved: nothing" in compared.stdout, compared.stderr


@pytest.mark.parametrize("part", ["threads", "prediction", "subnormals", "sparse"])
def test_a_part_gives_a_table(suite: Any, part: str) -> None:
    settings = {
        "quick": True,
        "rounds": 1,
        "download": False,
        "workloads": ["digits"],
        "threads": 2,
        "isa": fastbp._core.default_isa(),
        "isas": [],
        "peaks": {},
    }
    with suite.workers.Worker(f"parts.{part}") as worker:
        result = worker.call("measure", settings=settings)
    rows = getattr(suite, f"part_{part}").rows(json.loads(json.dumps(result)))
    assert len(rows) > 1 and len({len(row) for row in rows}) == 1
    assert suite.tables.layout(rows)


def test_the_split_of_a_step(suite: Any, tmp_path: Path) -> None:
    phases = suite.part_phases
    program = phases.build(tmp_path, "-O0")
    isa = fastbp._core.default_isa()
    found = phases.split(program, isa, 2, suite.workloads.SPECS["digits"], 400)
    assert set(found) == {"step", *phases.PHASES}
    assert found["step"] > 0 and all(found[name] >= 0 for name in phases.PHASES)
    assert found["forward"] > 0 and found["backward"] > 0 and found["weights"] > 0
    workload = suite.workloads.load("digits", quick=True)
    outside = phases.outside(workload, 1)
    assert outside["per_epoch"] > 0
    computed = phases.speedups(found, outside["per_step"], [64, 100, 10], 200, 0.5)
    result = {
        "split": {"digits": {"1": found, "2": found}},
        "outside": {"digits": outside},
        "computed": {"digits": computed},
    }
    assert len({len(row) for row in phases.rows(result)}) == 1
