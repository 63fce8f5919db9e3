# SPDX-License-Identifier: BSD-3-Clause
"""The floating-point environment around a call: results do not depend on the caller's."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from . import _core

Method = TypeVar("Method", bound=Callable[..., Any])


def in_default_fpenv(method: Method) -> Method:
    """Run a method in the environment that a program starts with; put the caller's back.

    Rounding is to nearest, and subnormal numbers are numbers, whatever another library has set for
    this thread; flags, too, are afterwards as they were. The core has an environment of its own
    inside this one: what is meant here is the arithmetic of NumPy and SciPy.
    """

    @functools.wraps(method)
    def run(*args: Any, **kwargs: Any) -> Any:
        with _core.DefaultFpenv():
            return method(*args, **kwargs)

    return run  # type: ignore[return-value]
