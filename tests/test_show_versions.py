# SPDX-License-Identifier: BSD-3-Clause
"""What bug reports and benchmarks say of the machine."""

import json
import os
import platform
from pathlib import Path

import numpy as np
import pytest
import sklearn

import fastbp
from fastbp import _core, _show_versions


def test_environment_is_complete() -> None:
    facts = json.loads(json.dumps(_show_versions.environment()))
    assert facts["fastbp"] == fastbp.__version__
    assert facts["isa"] == _core.default_isa()
    assert facts["isa"] in facts["isas"] == _core.available_isas()
    assert 1 <= facts["threads"] <= facts["cores"] <= (os.cpu_count() or 1)
    assert facts["compiler"] == _core.build_info()["compiler"]
    assert platform.python_version() in facts["python"]
    assert facts["libraries"]["numpy"] == np.__version__
    assert facts["libraries"]["scikit-learn"] == sklearn.__version__
    assert {pool["api"] for pool in facts["thread_pools"]} >= {"blas", "openmp"}
    assert all(facts[key] for key in ("cpu", "platform", "openmp"))


def test_prints_every_fact(capsys: pytest.CaptureFixture[str]) -> None:
    facts = _show_versions.environment()
    fastbp.show_versions()
    out = capsys.readouterr().out
    for key in ("cpu", "isa", "fastbp", "compiler", "openmp", "python", "platform"):
        assert facts[key] in out
    for name, number in facts["libraries"].items():
        assert name in out and (number or "not installed") in out


def test_names_no_folder_of_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    fastbp.show_versions()
    assert str(Path.home()) + os.sep not in capsys.readouterr().out


def test_threads_follow_the_limit_of_the_caller() -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        assert _show_versions.environment()["threads"] == 1


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        ("processor\t: 0\nmodel name\t: Some  CPU @ 2 GHz\n", "Some CPU @ 2 GHz"),
        ("processor\t: 0\nBogoMIPS\t: 50\nModel\t\t: Board 4\n", "Board 4"),
        ("", platform.processor() or platform.machine()),
        (None, platform.processor() or platform.machine()),
    ],
)
def test_cpu_model(monkeypatch: pytest.MonkeyPatch, cpuinfo: str | None, name: str) -> None:
    def read_text(*_: object) -> str:
        if cpuinfo is None:
            raise FileNotFoundError
        return cpuinfo

    monkeypatch.setattr(Path, "read_text", read_text)
    assert _show_versions.cpu_model() == name


def test_libraries_that_are_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_show_versions, "LIBRARIES", ("no-such-library",))
    facts = _show_versions.environment()
    assert "no-such-library not installed" in _show_versions.format_libraries(facts)
    assert facts["libraries"] == {"no-such-library": None}
