# SPDX-License-Identifier: BSD-3-Clause
"""The machine: what it is, and, by a small C program, what it can do at best right now."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PEERS = ("torch", "jax", "jaxlib")
# The second set is for an assembler that does not know tiles.
FLAGS = (["-std=gnu11", "-O3", "-fopenmp"], ["-std=gnu11", "-O3", "-fopenmp", "-DNO_TILES"])


class Peak:
    """peak.c, compiled; `program` is None where that does not work."""

    def __init__(self, folder: str | Path) -> None:
        self.program: Path | None = None
        self.why_not = "no C compiler is installed"
        compiler = c_compiler()
        program = Path(folder, "peak")
        for flags in FLAGS if compiler else ():
            command = [*compiler, *flags, str(HERE / "peak.c"), "-o", str(program)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode == 0:
                self.program = program
                return
            self.why_not = f"peak.c does not compile: {(done.stderr.splitlines() or [''])[0]}"

    def measure(self, n_threads: int, seconds: float, family: str | None = None) -> dict[str, Any]:
        """Return what peak.c prints; without a program, no figures."""
        if self.program is None:
            return {"gflops": {}}
        command = [str(self.program), str(n_threads), str(seconds), *([family] if family else [])]
        return json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


def c_compiler() -> list[str]:
    """Return the command of the C compiler, the environment's, Python's own, or gcc, if any."""
    configured = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
    for command in (configured.split(), ["gcc"]):
        if shutil.which(command[0]):
            return command
    return []


def facts() -> dict[str, Any]:
    """Return the machine, the kernels, the libraries and the peers, ready for JSON."""
    from fastbp._show_versions import environment

    found = environment()
    found["libraries"] |= {name: _version(name) for name in PEERS}
    found["caches"] = cache_sizes()
    return found


def cache_sizes() -> dict[str, int]:
    """Return the bytes of the data caches that one core sees, by level; empty if not known."""
    sizes = {}
    for folder in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        try:
            kind = (folder / "type").read_text("utf-8").strip()
            level = (folder / "level").read_text("utf-8").strip()
            size = (folder / "size").read_text("utf-8").strip()
        except OSError:
            continue
        if kind != "Instruction" and size.endswith("K"):
            sizes[f"L{level}"] = int(size[:-1]) * 1024
    return sizes


def commit() -> str | None:
    """Return the commit of the checkout around this file, with a + if it was changed since."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(HERE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "-uno") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def describe(peaks: dict[str, Any]) -> list[str]:
    """Return the lines about the limits, one thread and all of them."""

    def pair(values: list[float]) -> str:
        return f"{values[0]:,.0f} and {values[1]:,.0f}"

    n_threads = peaks.get("threads")
    lines = [f"limits    on 1 thread and on {n_threads}, measured now"]
    for name, values in peaks["gflops"].items():
        lines.append(f"  {name:<12}{pair(values)} GFLOP/s")
    for key, name in [("memory_gbs", "memory"), ("l3_gbs", "L3")]:
        one, all_ = peaks[key]
        lines.append(f"  {name:<12}{one:.1f} and {all_:.1f} GB/s read")
    lines.append(
        f"  barrier     {peaks['barrier_us']:.2f} µs, empty parallel region"
        f" {peaks['region_us']:.2f} µs"
    )
    return lines
