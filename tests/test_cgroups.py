# SPDX-License-Identifier: BSD-3-Clause
"""CPUs that control groups leave, on trees of files as systems and containers have them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from fastbp import _cgroups, _threads


class Tree(NamedTuple):
    """The process's groups, mounts as (type, top, place, controllers), quotas, and what is left."""

    groups: list[str]
    mounts: list[tuple[str, str, str, str]]
    files: dict[str, str]
    expected: int | None


V2_TOP = ("cgroup2", "/", "/sys/fs/cgroup", "rw,nsdelegate")
V1_CPU = ("cgroup", "/", "/sys/fs/cgroup/cpu,cpuacct", "rw,cpu,cpuacct")
V1_PIDS = ("cgroup", "/", "/sys/fs/cgroup/pids", "rw,pids")


def v2(group: str, expected: int | None, **quotas: str) -> Tree:
    """A v2 hierarchy; quotas by group, _ for /."""
    files = {
        "sys/fs/cgroup/" + name.strip("_").replace("_", "/") + "/cpu.max": text
        for name, text in quotas.items()
    }
    return Tree([f"0::{group}"], [V2_TOP], files, expected)


def v1(group: str, expected: int | None, **quotas: tuple[str, str]) -> Tree:
    """A v1 hierarchy; quota and period by group."""
    files = {}
    for name, texts in quotas.items():
        folder = "sys/fs/cgroup/cpu,cpuacct/" + name.strip("_").replace("_", "/")
        for file, text in zip(("cpu.cfs_quota_us", "cpu.cfs_period_us"), texts, strict=True):
            files[f"{folder}/{file}"] = text
    groups = [f"4:pids:{group}", f"3:cpu,cpuacct:{group}", f"1:name=systemd:{group}"]
    return Tree(groups, [V1_PIDS, V1_CPU], files, expected)


TREES = {
    # v2
    "no quota": v2("/", None, _="max 100000"),
    "container with 2 CPUs": v2("/", 2, _="200000 100000"),
    "a fraction is rounded up": v2("/", 2, _="150000 100000"),
    "less than one CPU": v2("/", 1, _="10000 100000"),
    "a little more than 3": v2("/", 4, _="300001 100000"),
    "another period": v2("/", 5, _="250000 50000"),
    "a service's own quota": v2("/a/b", 3, a_b="300000 100000"),
    "a slice's quota above it": v2("/a/b", 2, a="200000 100000", a_b="max 100000"),
    "the least of three": v2("/a/b", 1, _="400000 100000", a="100000 100000", a_b="900000 100000"),
    "a group beside it": v2("/a/b", None, c="100000 100000", a_b="max 100000"),
    "a group below it": v2("/a", None, a_b="100000 100000"),
    "without a period": v2("/", 2, _="200000"),
    "nothing legible": v2("/", None, _="what is this"),
    "an empty file": v2("/", None, _=""),
    "a container that sees its host's path": v2("/../../x", 2, _="200000 100000"),
    # v1
    "v1 without quota": v1("/", None, _=("-1", "100000")),
    "v1 container": v1("/", 2, _=("200000", "100000")),
    "v1 fraction": v1("/", 3, _=("250000", "100000")),
    "v1 below one": v1("/", 1, _=("1000", "100000")),
    "v1 group and slice": v1("/a/b", 2, a=("200000", "100000"), a_b=("-1", "100000")),
    "v1 docker with its host's path": Tree(
        ["3:cpu,cpuacct:/docker/1f"],
        [("cgroup", "/docker/1f", "/sys/fs/cgroup/cpu,cpuacct", "ro,cpu,cpuacct")],
        {
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
        4,
    ),
    # both, and other places
    "v1 has the controller, v2 is there": Tree(
        ["1:cpu:/a", "0::/a"],
        [
            ("cgroup", "/", "/sys/fs/cgroup/cpu", "rw,cpu"),
            ("cgroup2", "/", "/sys/fs/cgroup/unified", "rw"),
        ],
        {
            "sys/fs/cgroup/cpu/a/cpu.cfs_quota_us": "200000",
            "sys/fs/cgroup/cpu/a/cpu.cfs_period_us": "100000",
        },
        2,
    ),
    "mounted elsewhere": Tree(
        ["0::/x/y"],
        [("cgroup2", "/x", "/my\\040groups", "rw")],
        {"my groups/y/cpu.max": "100000 100000", "sys/fs/cgroup/cpu.max": "900000 100000"},
        1,
    ),
    "not mounted": Tree(["0::/"], [], {"sys/fs/cgroup/cpu.max": "100000 100000"}, None),
    "v1 of another controller": Tree(
        ["3:cpuset:/a"], [("cgroup", "/", "/sys/fs/cgroup/cpuset", "rw,cpuset")], {}, None
    ),
    "no /proc": Tree([], [], {}, None),
}


def plant(tree: Tree, root: Path) -> None:
    files = dict(tree.files)
    if tree.groups:
        files["proc/self/cgroup"] = "\n".join(tree.groups)
        lines = ["22 1 0:21 / /proc rw - proc proc rw", "23 1 8:1 / / rw - ext4 /dev/sda1 rw"]
        for i, (kind, top, place, options) in enumerate(tree.mounts):
            lines.append(
                f"{30 + i} 23 0:{30 + i} {top} {place} rw shared:7 - {kind} none {options}"
            )
        files["proc/self/mountinfo"] = "\n".join(lines)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n")


@pytest.mark.parametrize("name", TREES)
def test_quota(name: str, tmp_path: Path) -> None:
    plant(TREES[name], tmp_path)
    assert _cgroups.cpu_quota(tmp_path) == TREES[name].expected


def test_there_are_trees_enough() -> None:
    assert len(TREES) >= 24


def test_quota_of_this_process() -> None:
    quota = _cgroups.cpu_quota()
    assert quota is None or quota >= _threads._cpu_count()


@pytest.mark.parametrize(("quota", "expected"), [(None, 8), (3, 3), (1, 1), (9, 8)])
def test_the_quota_counts(
    quota: int | None, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_threads.joblib, "cpu_count", lambda: 8)
    monkeypatch.setattr(_threads, "cpu_quota", lambda: quota)
    assert _threads._cpu_count.__wrapped__() == expected
