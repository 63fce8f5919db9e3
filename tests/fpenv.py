# SPDX-License-Identifier: BSD-3-Clause
"""The floating-point environment of the calling thread, through the C library."""

from __future__ import annotations

import ctypes
import ctypes.util
import platform
from collections.abc import Iterator
from contextlib import contextmanager

MACHINE = platform.machine().lower()

# Where a fenv_t of glibc has the word (x86-64: MXCSR; AArch64: FPCR, then FPSR), and what is in it.
if MACHINE in ("x86_64", "amd64"):
    PLACE, SIZE = 28, 4
    DEFAULT, FLAGS = 0x1F80, 0x3F
    MODES = {
        "flush to zero": 0x9F80,
        "subnormals are zero": 0x1FC0,
        "both": 0x9FC0,
        "rounding down": 0x3F80,
        "rounding up": 0x5F80,
        "rounding to zero": 0x7F80,
        "all of it, and flags": 0xFFFF,
        "flags": 0x1FBF,
    }
else:
    PLACE, SIZE = 0, 8
    DEFAULT, FLAGS = 0, 0x9F << 32
    MODES = {
        "flush to zero": 1 << 24,
        "rounding up": 1 << 22,
        "rounding down": 2 << 22,
        "rounding to zero": 3 << 22,
        "all of it, and flags": 0x9F << 32 | 7 << 22,
        "flags": 0x9F << 32,
    }

#: Whether the tests know how an environment is laid out here.
KNOWN = ctypes.util.find_library("m") is not None and (
    platform.libc_ver()[0] == "glibc" and MACHINE in ("x86_64", "amd64", "aarch64")
)
LIBM = ctypes.CDLL(ctypes.util.find_library("m")) if KNOWN else None


def get_mode() -> int:
    """Return modes and flags of this thread."""
    environment = ctypes.create_string_buffer(64)
    LIBM.fegetenv(environment)
    return int.from_bytes(environment.raw[PLACE : PLACE + SIZE], "little")


def set_mode(mode: int) -> None:
    """Set them."""
    environment = ctypes.create_string_buffer(64)
    LIBM.fegetenv(environment)
    ctypes.memmove(ctypes.addressof(environment) + PLACE, mode.to_bytes(SIZE, "little"), SIZE)
    LIBM.fesetenv(environment)


@contextmanager
def mode_set(mode: int) -> Iterator[None]:
    """Set a mode for a while, and the default one again."""
    set_mode(mode)
    try:
        yield
    finally:
        set_mode(DEFAULT)
