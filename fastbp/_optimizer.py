# SPDX-License-Identifier: BSD-3-Clause
"""What a stochastic solver remembers from one call of ``partial_fit`` to the next."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np

from . import _core
from ._schedules import OVER_A_FIT
from ._weights import Weights, check_weights

if TYPE_CHECKING:
    from ._base import BaseBackprop
    from ._core import Net

#: From here on the adaptive schedule stops the training instead of dividing the rate.
SMALLEST_ADAPTIVE_RATE = 1e-6

#: The core's solvers that train.
SOLVERS = [name for name in _core.names()["solvers"] if name != "gradient"]
SCHEDULES = ("constant", "invscaling", "adaptive", *OVER_A_FIT)

#: What an optimizer's numbers can be.
RANGES: dict[str, Callable[[Any], bool]] = {
    "learning_rate_init": lambda value: 0 < value < math.inf,
    "learning_rate": lambda value: 0 <= value < math.inf,
    "power_t": lambda value: 0 <= value < math.inf,
    "momentum": lambda value: 0 <= value <= 1,
    "beta_1": lambda value: 0 <= value < 1,
    "beta_2": lambda value: 0 <= value < 1,
    "epsilon": lambda value: 0 < value < math.inf,
    "step_count": lambda value: 0 <= value < 2**62,
}


@dataclass
class Optimizer:
    """A solver's hyper-parameters, as they were when it was made, and its state.

    ``learning_rate`` is the one that sgd's next step uses, and that Adam's last step used with its
    bias correction. ``moments`` are sgd's velocity, or Adam's two running means; empty at first.
    """

    solver: str
    learning_rate_init: float
    learning_rate: float
    schedule: str
    power_t: float
    momentum: float
    beta_1: float
    beta_2: float
    epsilon: float
    step_count: int = 0
    moments: list[Weights] = field(default_factory=list)

    @classmethod
    def from_parameters(cls, model: BaseBackprop) -> Optimizer:
        """Make a new one from an estimator's parameters."""
        if model.solver == "sgd":
            with_momentum = "nesterov" if model.nesterovs_momentum else "sgd"
            solver = with_momentum if model.momentum > 0 else "plain_sgd"
            schedule = model.learning_rate
        else:
            solver, schedule = model.solver, "constant"
        return cls(
            solver=solver,
            learning_rate_init=float(model.learning_rate_init),
            learning_rate=float(model.learning_rate_init),
            schedule=schedule,
            power_t=model.power_t,
            momentum=model.momentum,
            beta_1=model.beta_1,
            beta_2=model.beta_2,
            epsilon=model.epsilon,
        )

    @classmethod
    def to_begin_with(cls, model: BaseBackprop, incremental: bool) -> Optimizer:
        """Return the estimator's own, if this call goes on with it, otherwise a new one."""
        own: Optimizer | None = getattr(model, "_optimizer", None)
        if own is None or not (incremental or model.warm_start == "optimizer"):
            return cls.from_parameters(model)
        if not incremental and (own.solver == "adam") != (model.solver == "adam"):
            raise ValueError(
                f"warm_start='optimizer' cannot go on with solver={model.solver!r}: the last fit "
                "was another solver's. Set solver back, or warm_start=True to begin with a new one."
            )
        return own

    @classmethod
    def from_state(cls, state: Any, n_inputs: int, n_outputs: int) -> Optimizer:
        """Undo `to_state`; raise ValueError for what no optimizer of such a network can be."""
        names = {each.name for each in fields(cls)}
        if not isinstance(state, dict) or state.keys() != names:
            raise ValueError(f"it is no dict of {', '.join(sorted(names))}.")
        for name, is_right in RANGES.items():
            value = state[name]
            if not isinstance(value, Real) or not is_right(value):
                raise ValueError(f"{name} is {reprlib.repr(value)}.")
        solver, schedule, count = state["solver"], state["schedule"], state["step_count"]
        if solver not in SOLVERS or schedule not in SCHEDULES:
            raise ValueError(
                f"solver is {reprlib.repr(solver)}, schedule {reprlib.repr(schedule)}."
            )
        if not isinstance(count, Integral):
            raise ValueError(f"step_count is {reprlib.repr(count)}.")
        count = int(count)
        moments = _check_moments(state["moments"], n_inputs, n_outputs)
        n_moments = _core.solver_moments(solver)
        if len(moments) != n_moments and (count > 0 or moments):
            raise ValueError(f"{solver} has {n_moments} moments, got {len(moments)}.")
        return cls(**{**state, "moments": moments})

    def to_state(self) -> dict[str, Any]:
        """Return it as plain lists, strings, numbers and arrays, which any file format can hold."""
        moments = [[list(coefs), list(biases)] for coefs, biases in self.moments]
        return {**vars(self), "moments": moments}

    def step_arguments(self, learning_rate: float) -> dict[str, Any]:
        """Return a step's numbers for ``Net.train``, which corrects Adam's bias itself."""
        return {
            "learning_rate": self.learning_rate_init if self.solver == "adam" else learning_rate,
            "momentum": self.momentum,
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }

    def rate_after_epoch(self, learning_rate: float, rows_seen: int) -> float:
        """Return the next epoch's learning rate."""
        if self.schedule == "invscaling":
            with np.errstate(over="ignore"):
                return float(self.learning_rate_init / np.float64(rows_seen + 1) ** self.power_t)
        return learning_rate

    def restore(self, net: Net, dtype: str) -> None:
        """Let a new net go on where the last one stopped.

        Raises
        ------
        ValueError
            If the layers' sizes are no longer those of the moments.
        """
        if self.step_count > 0:
            moments = [moment.astype(dtype) for moment in self.moments]
            if any(moment.units != list(net.units) for moment in moments):
                raise ValueError(
                    "coefs_ has other layers than when the solver last saw them, so that it cannot "
                    "go on. Fit anew with warm_start=True or False."
                )
            state = {"solver": self.solver, "step_count": self.step_count, "moments": moments}
            net.set_solver_state(state, self.beta_1, self.beta_2)

    def after(self, state: dict[str, Any], learning_rate: float) -> Optimizer:
        """Return what the solver remembers after a training that left a net in that state."""
        steps = state["step_count"]
        if self.solver == "adam" and steps > 0:
            correction = (1 - self.beta_2**steps) ** 0.5 / (1 - self.beta_1**steps)
            learning_rate = self.learning_rate_init * correction
        moments = [Weights(*moment) for moment in state["moments"]]
        return replace(self, learning_rate=learning_rate, step_count=steps, moments=moments)


def _check_moments(moments: Any, n_inputs: int, n_outputs: int) -> list[Weights]:
    """Return moments from a state, such as a network with these ends can have."""
    pairs: list[Any] = moments if isinstance(moments, list) else [None]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("moments must be a list of pairs of lists.")
    for i, (coefs, intercepts) in enumerate(pairs):
        # Those of a training that diverged are not finite: its best weights were restored.
        weights = check_weights(coefs, intercepts, n_inputs, n_outputs, finite=False)
        if i == 1 and any((array < 0).any() for arrays in weights for array in arrays):
            raise ValueError("moments[1], of squares, holds a negative number.")
    return [Weights(*([np.asarray(a) for a in arrays] for arrays in pair)) for pair in pairs]
