# SPDX-License-Identifier: BSD-3-Clause
"""``max_time``: when a fit's time is over, and what is said then."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable

from sklearn.exceptions import ConvergenceWarning

#: Seconds, from some moment on; a name of its own, so that tests can set the time.
clock = time.monotonic


class TimeIsOver(ValueError):
    """There was no time for as much training as a model needs."""


class TimeLimit:
    """The time that a fit may take, from the making of this object on."""

    def __init__(self, max_time: float | None) -> None:
        self.max_time = max_time
        self.end = math.inf if max_time is None else clock() + max_time

    @property
    def poll(self) -> Callable[[], bool] | None:
        """What the core is to ask, many times a second, whether to stop."""
        return None if self.max_time is None else self.is_over

    def is_over(self) -> bool:
        """Tell whether to stop."""
        return self.max_time is not None and clock() >= self.end

    def remaining(self) -> float:
        """Return the seconds left."""
        return self.end - clock()

    def error(self, unit: str) -> TimeIsOver:
        """Return the error for a fit without one whole epoch or iteration."""
        return TimeIsOver(
            f"max_time={self.max_time!r} seconds were over before the first whole {unit}. Give "
            "more time, or less data."
        )

    def warn(self, solver: str, n_iter: int) -> None:
        """Say that a fit ended early."""
        warnings.warn(
            f"{solver}: max_time={self.max_time!r} seconds were over after {n_iter} iterations and "
            "the optimization hasn't converged yet.",
            ConvergenceWarning,
            stacklevel=3,
        )
