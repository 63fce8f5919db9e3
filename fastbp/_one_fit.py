# SPDX-License-Identifier: BSD-3-Clause
"""One fit at a time on an estimator: of two, one would be lost.

A mark says that a fit is in progress. It carries the process's id: in a child, the thread that fits
is not there, and the estimator may be fitted. There is no lock, which a fork or an interrupt could
leave locked: a mark is set, and removed, by one operation of a dict.
"""

from __future__ import annotations

import os

Key = tuple[int, int]  # process's and estimator's id
_marks: dict[Key, object] = {}


def key_of(estimator: object) -> Key:
    """Return what a fit that begins now is known by."""
    return os.getpid(), id(estimator)


def begin(key: Key, mark: object, estimator: object) -> bool:
    """Set a mark and return True; raise if a fit of the estimator is in progress."""
    if _marks.setdefault(key, mark) is not mark:
        raise RuntimeError(
            f"This {type(estimator).__name__} is being fitted already, by another thread or "
            "further up. Wait until that has ended, or fit a clone."
        )
    return True


def is_set(key: Key, mark: object) -> bool:
    """Tell whether it is this mark that is set."""
    return _marks.get(key) is mark


#: ``remove(key, None)`` ends a fit. It is a method of the dict, so that no interrupt comes between.
remove = _marks.pop
