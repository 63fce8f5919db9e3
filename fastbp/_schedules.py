# SPDX-License-Identifier: BSD-3-Clause
"""Learning rates that change with every step, as factors of the rate that an epoch begins with.

With t the step, counted from 0, T the steps of a whole fit (``max_iter`` epochs) and W those of the
warmup (``warmup`` epochs, not always a whole number):

    warmup      min(1, (t + 1) / W), times whatever else there is
    cosine      (1 + cos(π · max(0, t - W) / (T - W))) / 2
    one_cycle   up from 1/25 to 1 until step P = 0.3 T - 1, down to 1/250,000 in step T - 1; each
                way from a to b as b + (a - b) · (1 + cos(π · share)) / 2

The cosine is Loshchilov and Hutter's (2017, eq. 5, one period), the cycle Smith and Topin's (2019),
of the rate alone.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ._base import BaseBackprop

Factors = NDArray[np.float64]

#: Schedules that are laid out over a whole fit.
OVER_A_FIT = ("cosine", "one_cycle")

FIRST_OF_CYCLE = 1 / 25
LAST_OF_CYCLE = FIRST_OF_CYCLE / 1e4
RISE_OF_CYCLE = 0.3  # its share of the steps

#: sin(x) / x in powers of x²; what is left out is below 1e-18 where x ≤ π / 4.
_SINE_SERIES = [(-1) ** k / math.factorial(2 * k + 1) for k in range(9)]


def warmup_factors(steps: Factors, warmup_steps: float) -> Factors:
    """Return the share of the rate that each step has."""
    return np.minimum(1.0, (steps + 1) / warmup_steps) if warmup_steps > 0 else np.ones(len(steps))


def cosine_factors(steps: Factors, n_steps: int, warmup_steps: float) -> Factors:
    """Return half a cosine from 1, in the first step after the warmup, to 0 after the last step."""
    return _ease(1.0, 0.0, np.maximum(0.0, steps - warmup_steps) / (n_steps - warmup_steps))


def one_cycle_factors(steps: Factors, n_steps: int) -> Factors:
    """Return half a cosine up and another down; the highest step has exactly 1, if one is."""
    peak = max(0.0, RISE_OF_CYCLE * n_steps - 1)
    last = max(n_steps - 1, peak + 1)  # a single step is the peak
    up = steps / peak if peak > 0 else np.ones(len(steps))
    return np.where(
        steps <= peak,
        _ease(FIRST_OF_CYCLE, 1.0, np.minimum(up, 1.0)),
        _ease(1.0, LAST_OF_CYCLE, np.maximum(0.0, (steps - peak) / (last - peak))),
    )


def _ease(start: float, end: float, share: Factors) -> Factors:
    """Return end + (start - end) · (1 + cos(π · share)) / 2, with the same bits on every CPU.

    NumPy's cosine has other last bits on a CPU without AVX2. With s = sin(π · share / 2), what is
    wanted is 1 - s² in the first half; the second half mirrors it. A Taylor series makes s.
    """
    angle_2 = (np.pi * np.minimum(share, 1 - share) / 2) ** 2  # ≤ (π / 4)²
    sine = np.full_like(share, _SINE_SERIES[-1])
    for term in _SINE_SERIES[-2::-1]:
        sine = sine * angle_2 + term
    fallen = angle_2 * sine**2
    return end + (start - end) * np.where(share <= 0.5, 1 - fallen, fallen)


class Schedule(NamedTuple):
    """The rates of one fit."""

    name: str  # of OVER_A_FIT, or another, which leaves all but the warmup alone
    epoch_steps: int
    n_steps: int  # of max_iter epochs
    warmup_steps: float

    @classmethod
    def of(cls, model: BaseBackprop, n_rows: int, batch_rows: int) -> Schedule | None:
        """Return an estimator's schedule for its next fit; None where no step is told apart."""
        if model.learning_rate not in OVER_A_FIT and model.warmup == 0:
            return None
        epoch_steps = math.ceil(n_rows / batch_rows)
        n_steps = model.max_iter * epoch_steps
        return cls(model.learning_rate, epoch_steps, n_steps, float(model.warmup) * epoch_steps)

    @property
    def ends_a_fit(self) -> bool:
        """Tell whether the last of ``max_iter`` epochs is where the training was meant to end."""
        return self.name in OVER_A_FIT

    def factors(self, epoch: int) -> Factors:
        """Return the factor of each step of an epoch, counted from 0."""
        steps = np.arange(epoch * self.epoch_steps, (epoch + 1) * self.epoch_steps, dtype=float)
        if self.name == "one_cycle":
            return one_cycle_factors(steps, self.n_steps)
        factors = warmup_factors(steps, self.warmup_steps)
        if self.name == "cosine":
            factors *= cosine_factors(steps, self.n_steps, self.warmup_steps)
        return factors


def refuse_impossible_schedules(model: BaseBackprop, incremental: bool) -> None:
    """Raise for a schedule and a warmup that exclude each other, or a call that is no whole fit."""
    schedule, warmup, max_iter = model.learning_rate, model.warmup, model.max_iter
    if incremental and (schedule in OVER_A_FIT or warmup > 0):
        found: tuple[str, Any, Any] = ("learning_rate", schedule, "constant")
        name, value, usual = ("warmup", warmup, 0) if warmup > 0 else found
        raise ValueError(
            f"partial_fit does not support {name}={value!r}, which is laid out over the epochs of "
            f"a fit; set {name}={usual!r}, or call fit."
        )
    if schedule == "one_cycle" and warmup > 0:
        raise ValueError(
            f"learning_rate='one_cycle' begins with a rise of its own; set warmup=0, got {warmup}, "
            "or choose another learning_rate."
        )
    if schedule == "cosine" and warmup >= max_iter:
        raise ValueError(
            f"warmup={warmup} leaves learning_rate='cosine' none of max_iter={max_iter} epochs; "
            "set a lower warmup or a higher max_iter."
        )
