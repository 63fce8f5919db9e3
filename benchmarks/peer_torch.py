# SPDX-License-Identifier: BSD-3-Clause
"""PyTorch, in the forms in which it is fastest here.

The data lie prepared as tensors, the network is compiled and the optimizer made before the clock
starts; the order of the rows is given. What is timed is the loop over batches: gather, forward,
loss, backward, fused Adam. scikit-learn's penalty is Adam's weight decay, on weights alone, and its
epsilon, which it adds before it corrects the bias, is divided by that correction. The bfloat16
forms are autocast: float32 weights and moments, products in bfloat16, X kept in bfloat16.
"""

from __future__ import annotations

import time
from math import sqrt
from typing import Any

import numpy as np
import torch
from problem import Problem
from start import ALPHA, BETA_1, BETA_2, EPSILON, LEARNING_RATE, draw
from torch import Tensor, nn

_problem: Problem | None = None
_trainers: dict[tuple[bool, bool], Trainer] = {}


def load(folder: str) -> None:
    """Take the data of a workload."""
    global _problem
    _problem = Problem.read(folder)
    _trainers.clear()
    torch._dynamo.reset()


def fit(compiled: bool = False, bfloat16: bool = False, record: bool = False) -> dict[str, Any]:
    """Train a new model; with `record`, the losses carry the penalty, as scikit-learn's do."""
    assert _problem is not None
    key = compiled, bfloat16
    if key not in _trainers:
        _trainers[key] = Trainer(_problem, compiled, bfloat16)
    return _trainers[key].fit(record)


class Trainer:
    """A network of one form with its data, to be trained from the start any number of times."""

    def __init__(self, problem: Problem, compiled: bool, bfloat16: bool) -> None:
        self.batch_size = problem.batch_size
        self.bfloat16 = bfloat16
        layers, orders = draw(problem.units, len(problem.X), problem.n_epochs)
        self.start = [(torch.tensor(w.T).float(), torch.tensor(b).float()) for w, b in layers]
        self.orders = [torch.from_numpy(order) for order in orders]
        self.X = torch.from_numpy(problem.X).to(torch.bfloat16 if bfloat16 else torch.float32)
        self.y, self.loss, self.share = _targets(problem)
        self.linear = [nn.Linear(w.shape[1], w.shape[0]) for w, _ in self.start]
        parts: list[nn.Module] = [self.linear[0]]
        for linear in self.linear[1:]:
            parts += [nn.ReLU(), linear]
        self.model = nn.Sequential(*parts)
        self.batch_loss = torch.compile(self._batch_loss) if compiled else self._batch_loss

    def _batch_loss(self, x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16):
            z = self.model(x)
        return self.loss(z.float(), y)

    def _optimizer(self) -> torch.optim.Optimizer:
        groups = [
            {"params": [linear.weight for linear in self.linear]},
            {"params": [linear.bias for linear in self.linear]},
        ]
        betas = (BETA_1, BETA_2)
        return torch.optim.Adam(groups, LEARNING_RATE, betas, EPSILON, fused=True)

    def _penalty(self) -> float:
        """Return the penalty times the rows of a batch."""
        return 0.5 * ALPHA * sum(float((layer.weight.detach() ** 2).sum()) for layer in self.linear)

    def fit(self, record: bool) -> dict[str, Any]:
        with torch.no_grad():
            for linear, (weight, bias) in zip(self.linear, self.start, strict=True):
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
        optimizer = self._optimizer()
        n_rows, n_steps, losses = len(self.X), 0, []
        start = time.perf_counter()
        for order in self.orders:
            total, penalties = torch.zeros(()), 0.0
            for first in range(0, n_rows, self.batch_size):
                rows = order[first : first + self.batch_size]
                n_steps += 1
                for group, alpha in zip(optimizer.param_groups, (ALPHA, 0.0), strict=True):
                    group["weight_decay"] = alpha / len(rows)
                    group["eps"] = EPSILON / sqrt(1 - BETA_2**n_steps)
                x, y = self.X.index_select(0, rows), self.y.index_select(0, rows)
                loss = self.batch_loss(x, y)
                optimizer.zero_grad()
                loss.backward()
                if record:
                    penalties += self._penalty()
                optimizer.step()
                total += loss.detach() * len(rows)
            losses.append((float(total) * self.share + penalties) / n_rows)
        return {"losses": losses, "seconds": time.perf_counter() - start}


def _targets(problem: Problem) -> tuple[Tensor, Any, float]:
    """Return y, the loss whose gradient scikit-learn follows, and its share that it reports."""
    F = nn.functional
    if problem.task == "regression":
        y = torch.from_numpy(problem.y.reshape(len(problem.y), -1)).float()
        outputs = y.shape[1]
        return y, lambda z, y: 0.5 * outputs * F.mse_loss(z, y), 1.0 / outputs
    if problem.units[-1] == 1:
        y = torch.from_numpy(problem.y.reshape(-1, 1).astype(np.float32))
        return y, F.binary_cross_entropy_with_logits, 1.0
    return torch.from_numpy(problem.y), F.cross_entropy, 1.0
