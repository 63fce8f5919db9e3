# SPDX-License-Identifier: BSD-3-Clause
"""Mutants of the C core: its sources with one small fault each, found by regular expressions.

Only the bodies of functions are changed, outside comments, strings and the preprocessor's lines.
The blanks that clang-format sets tell a binary operator from others.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

#: The kinds that are faults of a branch; the others are of arithmetic, constants and statements.
BRANCH_KINDS = {"relation", "logic", "condition"}

HIDDEN = re.compile(
    r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
    r"|^[ \t]*#(?:\\\n|/\*.*?\*/|[^\n])*",
    re.S | re.M,
)
OPERATORS = {
    "relation": {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    "logic": {"&&": "||", "||": "&&"},
    "arithmetic": {"+": "-", "-": "+", "*": "/", "/": "*", "%": "/", "<<": ">>", ">>": "<<"}
    | {"&": "|", "|": "&", "^": "&", "+=": "-=", "-=": "+=", "*=": "/=", "/=": "*="}
    | {"|=": "&=", "&=": "|=", "<<=": ">>=", ">>=": "<<="},
}
BINARY = re.compile(r"(?<=[\w)\]])\s+([-+*/%<>=!&|^]{1,3})(?=\s)")
STEP = re.compile(r"\+\+|--")
CONSTANT = re.compile(r"(?<![\w.])[01](?![\w.])")
NOT = re.compile(r"!(?=[\w(])")
CONTROL = re.compile(r"\b(?:if|while) (?=\()")
CHOICE = re.compile(r"(?:(?<=[(])|(?<=return )|(?<= [=?:] )|(?<=, ))([\w.\->\[\]]+)\s\?\s")
#: A call, an assignment or a jump that is a whole statement.
STATEMENT = re.compile(
    r"(?<=[;{})\n])\s+((?:[*\w.\->\[\]]+(?:\([^;{}]*\)|\s[-+*/|&]?=\s[^;{}]*)|[\w.\->]+(?:\+\+|--)"
    r"|break|continue|goto \w+|return));"
)


class Mutant(NamedTuple):
    """``file``, from the core's folder on, with ``text[begin:end]`` replaced by ``new``."""

    file: str
    function: str
    line: int
    kind: str
    begin: int
    end: int
    new: str
    change: str
    """The line as it becomes, or what is dropped."""

    @property
    def key(self) -> str:
        """What names it in lists: no number of a line, so that it survives other changes."""
        return f"{self.file} {self.function}: {self.change}"

    def apply(self, text: str) -> str:
        return text[: self.begin] + self.new + text[self.end :]


def visible(text: str) -> str:
    """Return code of the same length, blank where there are comments, strings, directives."""
    return HIDDEN.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def closing(code: str, at: int) -> int:
    """Return the place behind the bracket that closes the one at ``at``."""
    pair = {"(": "()", "{": "{}"}[code[at]]
    depth = 0
    for place in range(at, len(code)):
        depth += (code[place] == pair[0]) - (code[place] == pair[1])
        if depth == 0:
            return place + 1
    raise ValueError(f"nothing closes {code[at : at + 40]!r}")


def functions(code: str) -> Iterator[tuple[str, int, int]]:
    """Give the name of each function, and where its body begins and ends."""
    at = 0
    while (begin := code.find("{", at)) >= 0:
        head = re.split(r"[;}]", code[at:begin])[-1].rstrip()
        end = closing(code, begin)
        names = re.findall(r"KERNEL\((\w+)\)|\b(\w+)\(", re.sub(r"__attribute__\S*", "", head))
        if head.endswith(")") and names:
            yield next(filter(None, names[0])), begin + 1, end - 1
        at = end


def changes(code: str, begin: int, end: int) -> Iterator[tuple[str, int, int, str]]:
    """Give what can be changed in a body: kind, place, and what stands there instead."""
    for found in BINARY.finditer(code, begin, end):
        for kind, others in OPERATORS.items():
            if other := others.get(found[1]):
                yield kind, *found.span(1), other
    for found in STEP.finditer(code, begin, end):
        yield "arithmetic", *found.span(), {"++": "--", "--": "++"}[found[0]]
    for found in CONSTANT.finditer(code, begin, end):
        yield "constant", *found.span(), {"0": "1", "1": "0"}[found[0]]
    for found in NOT.finditer(code, begin, end):
        yield "condition", *found.span(), ""
    for found in CHOICE.finditer(code, begin, end):
        yield "condition", *found.span(1), f"!{found[1]}"
    for found in CONTROL.finditer(code, begin, end):
        place = closing(code, found.end())
        condition = code[found.end() : place]
        if not re.fullmatch(r"\(!\w[^&|]*\)|[^&|]*[!=]= [^&|]*", condition):  # others do the same
            yield "condition", found.end(), place, f"(!{condition})"
    for found in STATEMENT.finditer(code, begin, end):
        yield "statement", *found.span(1), "(void)0"


def mutants(core: Path, file: str) -> list[Mutant]:
    """Return the mutants of one source, in the order of their places."""
    text = (core / file).read_text("utf-8")
    code = visible(text)
    ends = [found.start() for found in re.finditer("\n", text)]
    found = []
    for function, body, body_end in functions(code):
        for kind, begin, end, new in changes(code, body, body_end):
            if kind == "statement":
                new += "\n" * text.count("\n", begin, end)  # __LINE__ stays
                change = f"without {' '.join(text[begin:end].split())};"
            else:
                first, last = text.rfind("\n", 0, begin) + 1, text.find("\n", end)
                change = " ".join((text[first:begin] + new + text[end:last]).split())
            line = bisect(ends, begin) + 1
            found.append(Mutant(file, function, line, kind, begin, end, new, change))
    return sorted(found, key=lambda mutant: (mutant.begin, mutant.end, mutant.new))


def numbered(all_mutants: list[Mutant]) -> dict[str, Mutant]:
    """Return mutants by key; a key that comes again in a function has its number behind it."""
    by_key: dict[str, Mutant] = {}
    times: dict[str, int] = {}
    for mutant in all_mutants:
        n = times[mutant.key] = times.get(mutant.key, 0) + 1
        by_key[mutant.key + (f" #{n}" if n > 1 else "")] = mutant
    return by_key
