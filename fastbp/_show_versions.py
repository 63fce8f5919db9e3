# SPDX-License-Identifier: BSD-3-Clause
"""What a bug report and a benchmark must say: the machine, the kernels, the libraries."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Libraries whose version matters; those not installed are said to be so.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "pandas", "skops")


def environment() -> dict[str, Any]:
    """Return the machine, the kernels and the libraries, ready for JSON.

    Returns
    -------
    dict
        ``cpu``, ``cores`` (those this process may use), ``isa`` (the kernel family in use),
        ``isas`` (those this CPU can run), ``threads`` (of a fit with ``n_jobs=None``), ``fastbp``,
        ``compiler``, ``openmp``, ``python``, ``platform``, ``libraries`` (version by name, None if
        not installed) and ``thread_pools`` (what threadpoolctl finds in the process).
    """
    import joblib

    from . import __version__, _core, _threads

    build = _core.build_info()
    return {
        "cpu": cpu_model(),
        "cores": joblib.cpu_count(),  # affinity and cgroup quota counted
        "isa": _core.default_isa(),
        "isas": _core.available_isas(),
        "threads": _threads.thread_limit(None),
        "fastbp": __version__,
        "compiler": build["compiler"],
        "openmp": build["openmp"],
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "libraries": {name: _library_version(name) for name in LIBRARIES},
        "thread_pools": _thread_pools(),
    }


def cpu_model() -> str:
    """Return the CPU's name, or its architecture where the system does not tell."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "cpu model"):
                return " ".join(value.split())
    except (OSError, UnicodeDecodeError):
        pass  # not Linux
    return platform.processor() or platform.machine()


def _library_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _thread_pools() -> list[dict[str, Any]]:
    from threadpoolctl import threadpool_info

    # Paths name the user's folders, which are nobody's business in a bug report.
    return [
        {
            "library": Path(pool["filepath"]).name,
            "api": pool["user_api"],
            "version": pool["version"],
            "threads": pool["num_threads"],
        }
        for pool in threadpool_info()
    ]


def format_machine(facts: dict[str, Any]) -> str:
    """Return the lines about CPU, family and threads: what a figure of speed depends on."""
    others = [isa for isa in facts["isas"] if isa != facts["isa"]]
    available = f" (also available: {', '.join(others)})" if others else ""
    cores = f"{facts['cores']} core{'s' if facts['cores'] != 1 else ''} usable"
    return "\n".join(
        [
            _line("CPU", f"{facts['cpu']}, {cores}"),
            _line("kernels", f"{facts['isa']}{available}"),
            _line("threads", facts["threads"]),
            _line("fastbp", f"{facts['fastbp']}, {facts['compiler']}, OpenMP {facts['openmp']}"),
        ]
    )


def format_libraries(facts: dict[str, Any]) -> str:
    """Return the lines about Python, the system, the libraries and their thread pools."""
    lines = [_line("Python", facts["python"]), _line("system", facts["platform"])]
    for name, number in facts["libraries"].items():
        lines.append(_line(name, number or "not installed"))
    for pool in facts["thread_pools"]:
        library = f"{pool['library']}: {pool['api']} {pool['version'] or ''}".rstrip()
        lines.append(_line("pool", f"{library}, {pool['threads']} threads"))
    return "\n".join(lines)


def _line(label: str, text: object) -> str:
    return f"{label:<13} {text}"


def show_versions() -> None:
    """Print the machine, the kernel family and the versions that a bug report needs.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.show_versions()  # doctest: +SKIP
    """
    facts = environment()
    print(format_machine(facts))
    print(format_libraries(facts))
