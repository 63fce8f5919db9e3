# SPDX-License-Identifier: BSD-3-Clause
"""Timing in turns, for the parts: each side once a round."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any

from figures import spread

#: Seconds between two sides, for the threads of the one before to stop spinning; those of OpenBLAS
#: take 0.1.
PAUSE = 0.2


def seconds_of(call: Callable[[], Any]) -> float:
    """Return the time that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def in_turns(
    sides: Mapping[str, Callable[[], float]], n_rounds: int, *, warm: bool = True
) -> dict[str, list[float]]:
    """Ask every side for its seconds, in each of some rounds; `warm` is one more, not counted."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for number in range(-warm, n_rounds):
        for name, measure in sides.items():
            time.sleep(PAUSE)
            seconds = measure()
            if number >= 0:
                found[name].append(seconds)
    return found


def times_sooner(found: Mapping[str, list[float]], ours: str, theirs: str) -> list[float]:
    """Return how many times sooner `ours` was, round by round."""
    return [slow / fast for slow, fast in zip(found[theirs], found[ours], strict=True)]


def cell(values: list[float]) -> str:
    """Return a median and its spread for a table."""
    return spread(values)
