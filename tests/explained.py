# SPDX-License-Identifier: BSD-3-Clause
"""Lists of what is known and why: a reason is a line, what it explains the indented ones below."""

from __future__ import annotations

from pathlib import Path


def explanations(path: Path) -> dict[str, str]:
    """Return the reasons of a list by what they explain; lines that begin with # are comments."""
    reasons: dict[str, str] = {}
    reason = ""
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        if not line[0].isspace():
            reason = line
        elif not reason or line.strip() in reasons:
            raise ValueError(f"{path.name}: no reason, or two: {line.strip()}")
        else:
            reasons[line.strip()] = reason
    return reasons
