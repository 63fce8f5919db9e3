# SPDX-License-Identifier: BSD-3-Clause
"""Planted failures: in a call of the core, or at any line of the package; and what they left."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import joblib

import fastbp
from fastbp import _core

PACKAGE = str(Path(fastbp.__file__).parent)
NET = _core.Net

#: What gives an estimator back what it had: no statement there can fail, nor be interrupted.
RESTORING = {"fit_or_restore"}
#: And the switch of BLAS to one thread and back: an interrupt in these microseconds can leave it.
SWITCHES = {"__enter__", "__exit__", "_threadpools"}


class Planted(BaseException):
    """An error that nothing but a ``finally`` or a bare ``except`` meets."""


def failing_net(method: str, error: type[BaseException], at: int = 1) -> Callable[..., Any]:
    """Return what stands in for the core's class of networks: call number ``at`` of a method fails.

    The calls of all networks count; the method "" is the making of one.
    """
    n_calls = 0

    def fail_in(name: str) -> None:
        nonlocal n_calls
        if name == method:
            n_calls += 1
            if n_calls == at:
                raise error("planted")

    class Net:
        def __init__(self, *args: Any, **options: Any) -> None:
            fail_in("")
            self.net = NET(*args, **options)

        def __getattr__(self, name: str) -> Any:
            fail_in(name)
            return getattr(self.net, name)

    return Net


class Failing:
    """While entered, raises an error before the line number ``at`` of the package runs.

    ``n_lines`` counts the lines that ran until then; ``where`` is the line, once it came to that.
    """

    def __init__(self, at: int, error: type[BaseException] = Planted) -> None:
        self.at, self.error = at, error
        self.n_lines = 0
        self.where = ""
        self.own: dict[CodeType, bool] = {}

    def __enter__(self) -> Failing:
        self.earlier = sys.gettrace()
        sys.settrace(self.on_call)
        return self

    def __exit__(self, *error: object) -> None:
        sys.settrace(self.earlier)

    def on_call(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        if code not in self.own:
            file, name = Path(code.co_filename).name, code.co_name
            exempt = name in RESTORING or file == "_one_fit.py"
            exempt |= file == "_threads.py" and name in SWITCHES
            self.own[code] = code.co_filename.startswith(PACKAGE) and not exempt
        return self.on_line if self.own[code] else None

    def on_line(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        if event == "line":
            self.n_lines += 1
            if self.n_lines == self.at:
                self.where = f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
                raise self.error("planted")
        return self.on_line


def digest_of_all(estimator: Any) -> str:
    """Return a fingerprint of every attribute, parameters included."""
    return str(joblib.hash(vars(estimator)))
