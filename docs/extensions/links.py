# SPDX-License-Identifier: BSD-3-Clause
"""Check the pages as built: inner links arrive, nothing is loaded from elsewhere.

Sphinx checks references between sources; this checks what a browser meets, headings and theme
included. Also here: what an included page of the repository links to becomes a page here.
"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.util import logging

logger = logging.getLogger(__name__)
# links of the repository's pages, as they stand there, and the documentation's own page
MOVED = {
    ("performance", "(NOTES.md)"): "(benchmark_notes.md)",
    ("contributing", "(README.md)"): "(generated/fastbp.show_versions.rst)",
    ("contributing", "(tests/README.md)"): "(tests.md)",
    ("contributing", "(csrc/README.md"): "(internals.md",
    ("contributing", "(benchmarks/README.md)"): "(performance.md)",
}


class Page(HTMLParser):
    """The addresses that a page offers, loads and links to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {value for key in ("id", "name") if (value := found.get(key))}
        if tag in ("img", "script", "source", "iframe") and found.get("src"):
            self.loaded.append(found["src"] or "")
        elif tag == "link" and found.get("rel") not in ("next", "prev", "canonical"):
            self.loaded.append(found.get("href") or "")
        elif tag in ("a", "link") and found.get("href"):
            self.linked.append(found["href"] or "")


def faults(folder: Path) -> list[str]:
    """Return what is wrong with the links of all pages in a folder."""
    paths = (path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts)
    pages = {path: Page(path) for path in paths}
    found = []
    for path, page in pages.items():
        where = path.relative_to(folder)
        for address in dict.fromkeys([*page.loaded, *page.linked]):
            parts = urlsplit(address)
            if parts.scheme == "data":
                continue
            if parts.scheme or parts.netloc:
                if address in page.loaded:
                    found.append(f"{where} loads {address}")
                continue
            target = (
                path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            )
            if not target.is_file():
                found.append(f"{where} links to {address}, which does not exist")
            elif parts.fragment and target in pages:
                if parts.fragment.startswith(
                    ":~:text="
                ):  # words that the browser looks for
                    continue
                if unquote(parts.fragment) not in pages[target].anchors:
                    found.append(f"{where} links to {address}, which has no such place")
    return found


def check(app, exception) -> None:
    if exception is None and app.builder.name == "html":
        for fault in faults(Path(app.outdir)):
            logger.warning("%s", fault, type="links")


def move(app, relative_path, parent_docname, content) -> None:
    """Let links of an included page lead to pages of the documentation."""
    for (page, link), moved in MOVED.items():
        if page == parent_docname:
            content[0] = content[0].replace(link, moved)


def setup(app) -> dict:
    app.connect("build-finished", check)
    app.connect("include-read", move)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
