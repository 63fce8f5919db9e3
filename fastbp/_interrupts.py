# SPDX-License-Identifier: BSD-3-Clause
"""What an interrupt (Ctrl-C) means: the end of a fit that keeps its model, or of all that runs.

Whoever presses Ctrl-C twice wants to get out, also where the first one ended a fit and the next one
has begun already. And a search would go on, with a candidate half trained scored like the others.
"""

from __future__ import annotations

import sys
import time
from types import FrameType

#: An interrupt that comes so soon after one that ended a fit raises.
SECONDS = 3.0

_SEARCHES = "sklearn.model_selection."

_last = -SECONDS  # when an interrupt ended a fit


def ends_the_fit_only() -> bool:
    """Tell whether an interrupt just caught ends a fit, which keeps what it found, and no more."""
    global _last
    before, _last = _last, time.monotonic()
    return _last - before >= SECONDS and not _is_within_search()


def forget() -> None:
    """Forget the last interrupt."""
    global _last
    _last = -SECONDS


def _is_within_search() -> bool:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_SEARCHES):
            return True
        frame = frame.f_back
    return False
