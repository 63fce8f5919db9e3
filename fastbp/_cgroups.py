# SPDX-License-Identifier: BSD-3-Clause
"""CPUs that Linux control groups leave to a process: the least quota of its groups, v1 and v2.

The group is named in /proc/self/cgroup, by its path in the hierarchy; where that is mounted, and
which part of it is visible there, in /proc/self/mountinfo. A quota of any group above counts, too.
In a container all of that may begin at the container's own group, whose path then looks like the
root, or lies outside of what is visible (``/../..``): there the mount itself is the group.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath


def cpu_quota(root: str | Path = "/") -> int | None:
    """Return how many CPUs the quotas under a file system's root allow, rounded up, or None."""
    found = [quota for folder in _groups(Path(root)) if (quota := _quota(folder)) is not None]
    return max(1, math.ceil(min(found))) if found else None


def _quota(folder: Path) -> float | None:
    """Return the quota that a group's folder tells, in CPUs, of either version."""
    words = _words(folder / "cpu.max")
    if not words:
        words = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
    try:
        quota, period = float(words[0]), float(words[1]) if len(words) > 1 else 100_000.0
    except (IndexError, ValueError):  # no such files; "max"
        return None
    return quota / period if quota > 0 and period > 0 else None


def _groups(root: Path) -> Iterator[Path]:
    """Give the folders of the process's groups and of all above them, as far as there are any."""
    paths = _paths(root)
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        controller = "cpu" if kind[0] == "cgroup" else ""
        if controller not in paths or (controller and "cpu" not in kind[2].split(",")):
            continue
        top = root / _unescaped(fields[4]).lstrip("/")
        yield top
        for part in _below(paths[controller], _unescaped(fields[3])):
            top = top / part
            yield top


def _paths(root: Path) -> dict[str, str]:
    """Return the paths of the process's groups: that with controller cpu, and, for "", v2's."""
    paths = {}
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        for controller in controllers.split(","):
            paths[controller] = path
    return paths


def _below(path: str, top: str) -> tuple[str, ...]:
    """Return the parts of a group's path below the group that is mounted; none if it is not."""
    try:
        parts = PurePosixPath(path).relative_to(top).parts
    except ValueError:
        return ()
    return () if ".." in parts else parts


def _unescaped(name: str) -> str:
    r"""Return a name of mountinfo, in which a blank is ``\040``."""
    return name.encode().decode("unicode_escape") if "\\" in name else name


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()
