# SPDX-License-Identifier: BSD-3-Clause
"""The code blocks of Markdown pages."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple


class Block(NamedTuple):
    """A fenced block: its language and text."""

    language: str
    text: str


def blocks(page: Path) -> list[Block]:
    """Return a page's fenced blocks, directives such as ``{include}`` left out."""
    found = re.findall(r"^(```+)(\S*)[^\n]*\n(.*?)^\1$", page.read_text("utf-8"), re.M | re.S)
    return [Block(language, text) for _, language, text in found if not language.startswith("{")]


def without(diff: str) -> str:
    """Return the program that a diff begins with."""
    return _side(diff, "-")


def applied(diff: str) -> str:
    """Return the program that a diff ends with."""
    return _side(diff, "+")


def changed(diff: str) -> list[str]:
    """Return the lines that a diff removes or adds."""
    return [line for line in diff.splitlines() if line[:1] in ("-", "+")]


def _side(diff: str, sign: str) -> str:
    lines = diff.splitlines()
    assert all(line[:1] in ("", " ", "-", "+") for line in lines)
    return "".join(f"{line[1:]}\n" for line in lines if line[:1] in ("", " ", sign))
