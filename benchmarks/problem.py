# SPDX-License-Identifier: BSD-3-Clause
"""A workload on its way to the contestants' processes: arrays and a page of JSON in a folder."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from workloads import Workload

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """What a contestant is to learn."""

    X: Array  # [n_rows × n_features] float64
    y: Array  # int64 labels, or float64 values
    task: str
    hidden: list[int]
    batch_size: int
    n_epochs: int

    @property
    def units(self) -> list[int]:
        """Units of each layer, as scikit-learn lays them: two classes share one output."""
        if self.task == "regression":
            n_outputs = 1 if self.y.ndim == 1 else self.y.shape[1]
        else:
            n_classes = int(self.y.max()) + 1
            n_outputs = 1 if n_classes == 2 else n_classes
        return [self.X.shape[1], *self.hidden, n_outputs]

    @staticmethod
    def of(workload: Workload) -> Problem:
        """Return what a workload asks for."""
        spec = workload.spec
        return Problem(
            workload.X, workload.y, spec.task, [*spec.hidden], spec.batch_size, workload.n_epochs
        )

    def write(self, folder: str | Path) -> None:
        """Put it into a folder."""
        np.save(Path(folder, "X.npy"), self.X)
        np.save(Path(folder, "y.npy"), self.y)
        rest = {name: value for name, value in asdict(self).items() if name not in ("X", "y")}
        Path(folder, "problem.json").write_text(json.dumps(rest), "utf-8")

    @staticmethod
    def read(folder: str | Path) -> Problem:
        """Take it out of a folder."""
        rest = json.loads(Path(folder, "problem.json").read_text("utf-8"))
        return Problem(np.load(Path(folder, "X.npy")), np.load(Path(folder, "y.npy")), **rest)
