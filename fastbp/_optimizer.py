# SPDX-License-Identifier: BSD-3-Clause
"""What a stochastic solver remembers from one call of ``partial_fit`` to the next."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ._weights import Weights

if TYPE_CHECKING:
    from ._base import BaseBackprop
    from ._core import Net

#: From here on the adaptive schedule stops the training instead of dividing the rate.
SMALLEST_ADAPTIVE_RATE = 1e-6


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
    def from_state(cls, state: dict[str, Any]) -> Optimizer:
        """Undo `to_state`."""
        moments = [Weights(list(coefs), list(biases)) for coefs, biases in state["moments"]]
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
            return self.learning_rate_init / float(rows_seen + 1) ** self.power_t
        return learning_rate

    def restore(self, net: Net, dtype: str) -> None:
        """Let a new net go on where the last one stopped."""
        if self.step_count > 0:
            moments = [tuple(moment.astype(dtype)) for moment in self.moments]
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
