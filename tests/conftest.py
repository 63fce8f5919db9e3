# SPDX-License-Identifier: BSD-3-Clause
"""Options of the test run."""

import signal
import sys
from importlib.util import find_spec
from typing import Any

import pytest

#: What the extra "test" brings, beside pytest.
NEEDED = ("hypothesis", "ipykernel", "matplotlib", "pandas", "polars", "rich", "skops", "xdist")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--exhaustive", action="store_true", help="also run the tests that take minutes"
    )


def pytest_configure() -> None:
    # A shell starts what it runs in the background with interrupts ignored; tests send them.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_earlier_interrupt() -> None:
    """Let no test's interrupt be the second one after another test's."""
    interrupts = sys.modules.get("fastbp._interrupts")
    if interrupts is not None:
        interrupts.forget()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--exhaustive"):
        return
    kept, left_out = [], []
    for item in items:
        (left_out if item.get_closest_marker("exhaustive") else kept).append(item)
    config.hook.pytest_deselected(items=left_out)
    items[:] = kept


def pytest_terminal_summary(terminalreporter: Any) -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing and (terminalreporter.stats.get("error") or terminalreporter.stats.get("failed")):
        terminalreporter.line(
            f"The tests need {', '.join(missing)}, not installed: pip install -e '.[test]'"
        )
