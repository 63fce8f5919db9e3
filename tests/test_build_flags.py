# SPDX-License-Identifier: BSD-3-Clause
"""What setup.py gives to the compilers of Linux, macOS and Windows; none of them is run here."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import setuptools
from setuptools.dist import Distribution
from setuptools.errors import CompileError

ROOT = Path(__file__).parents[1]

Flags = tuple[list[str], list[str]]


class Compiler:
    """A compiler that refuses a program if it gets one of some flags."""

    def __init__(self, compiler_type: str, refused: tuple[str, ...]) -> None:
        self.compiler_type, self.refused = compiler_type, refused

    def compile(self, sources: list[str], output_dir: str, extra_postargs: list[str]) -> list[str]:
        assert "omp.h" in Path(sources[0]).read_text("utf-8")
        if set(self.refused) & set(extra_postargs):
            raise CompileError("no such flag")
        return []

    def link_executable(self, objects: Any, name: str, extra_postargs: list[str]) -> None:
        if set(self.refused) & set(extra_postargs):
            raise CompileError("no such flag")


@pytest.fixture
def flags_on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Flags]:
    """Return a function that gives the flags to compile and link with, on a system."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(setuptools, "setup", lambda **_: None)
    for name in ("FASTBP_OPENMP", "FASTBP_SANITIZE", "FASTBP_EMULATE_AMX"):
        monkeypatch.delenv(name, raising=False)
    module = SimpleNamespace(**runpy.run_path(str(ROOT / "setup.py")))

    def flags_on(platform: str, compiler: str = "unix", refused: tuple[str, ...] = ()) -> Flags:
        monkeypatch.setattr(sys, "platform", platform)
        command = module.build_ext(Distribution())
        command.compiler = Compiler(compiler, refused)
        return command.compiler_flags()

    return flags_on


def test_linux(flags_on: Callable[..., Flags]) -> None:
    compile_flags, link_flags = flags_on("linux")
    assert {"-std=gnu11", "-ffp-contract=off", "-fopenmp"} <= {*compile_flags}
    assert {"-fopenmp", "-Wl,-z,relro,-z,now"} <= {*link_flags}


def test_macos(flags_on: Callable[..., Flags]) -> None:
    # Apple's compiler hands -fopenmp on only so; another, such as Homebrew's, takes it as it is.
    compile_flags, link_flags = flags_on("darwin")
    assert compile_flags[-2:] == ["-Xclang", "-fopenmp"] and link_flags == ["-lomp"]
    compile_flags, link_flags = flags_on("darwin", refused=("-Xclang",))
    assert compile_flags[-1] == "-fopenmp" and link_flags == ["-fopenmp"]
    assert not [flag for flag in link_flags if flag.startswith("-Wl,")]  # the linker is not GNU's


def test_windows(flags_on: Callable[..., Flags]) -> None:
    compile_flags, link_flags = flags_on("win32", "msvc")
    assert compile_flags[-1] == "/openmp" and link_flags == []
    assert {"/std:c11", "/fp:precise"} <= {*compile_flags}
    assert all(flag.startswith("/") for flag in compile_flags)
    assert flags_on("win32", "msvc", ("/openmp",))[0][-1] == "/openmp:llvm"
    assert "-fopenmp" in flags_on("win32", "mingw32")[0]


@pytest.mark.parametrize(
    ("platform", "compiler", "refused"),
    [
        ("linux", "unix", ("-fopenmp",)),
        ("darwin", "unix", ("-fopenmp",)),
        ("win32", "msvc", ("/openmp", "/openmp:llvm")),
    ],
)
def test_a_compiler_without_openmp(
    flags_on: Callable[..., Flags],
    capsys: pytest.CaptureFixture[str],
    platform: str,
    compiler: str,
    refused: tuple[str, ...],
) -> None:
    flags = flags_on(platform, compiler, refused)
    assert not [flag for side in flags for flag in side if "omp" in flag]
    assert "built without OpenMP" in capsys.readouterr().out


def test_openmp_turned_off(flags_on: Callable[..., Flags], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTBP_OPENMP", "0")
    assert not [flag for side in flags_on("linux") for flag in side if "omp" in flag]
