# SPDX-License-Identifier: BSD-3-Clause
"""Processes that run the contestants: each library by itself, under an environment of its own.

Two libraries in one process share what nobody sees: OpenMP teams that spin for the other, thread
limits, the allocator, instruction sets chosen once at import. So each module of contestants, in
each environment, has a process for the whole run. It answers one request at a time, a line of JSON
each way: which function of the module to call, with what.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


class WorkerError(Exception):
    """What went wrong in a worker, in one line."""


class Worker:
    """A process that loads one module, from now on; `call` runs a function of it there."""

    def __init__(self, module: str, environment: Mapping[str, str] | None = None) -> None:
        self.module = module
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "workers.py"), module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": python_path(), **(environment or {})},
        )

    def call(self, function: str, **arguments: Any) -> Any:
        """Call a function of the module there; arguments and result are what JSON can carry."""
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps([function, arguments]) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise WorkerError(f"{self.module} ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["result"]

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def python_path() -> str:
    """Return where this process finds its modules, for a child to find the same."""
    return os.pathsep.join(dict.fromkeys([str(HERE), *filter(None, sys.path)]))


def serve(module_name: str) -> None:
    """Answer requests until the input ends; whatever the libraries print goes to stderr."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    module: Any = None
    try:
        module = importlib.import_module(module_name)
    except Exception as error:
        why = error
        traceback.print_exc()
    for line in sys.stdin:
        function, arguments = json.loads(line)
        try:
            if module is None:
                raise why
            answer = {"result": getattr(module, function)(**arguments)}
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[:1]}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve(sys.argv[1])
