# SPDX-License-Identifier: BSD-3-Clause
"""What a verbose fit shows: a live display where one can be, elsewhere a line per epoch.

A display is live in a notebook, and on a terminal if rich is installed; only on the main thread of
a process that is no other's worker, and where no other live display has the terminal. It has no
thread of its own: the end of an epoch redraws it, and the core's poll meanwhile, both at most every
`REDRAW_SECONDS`. It never hides the cursor, so that no death of the process leaves it hidden.
"""

from __future__ import annotations

import html
import importlib.util
import math
import multiprocessing
import sys
import threading
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any

from ._time_limit import TimeLimit

if TYPE_CHECKING:
    from typing import Self

    from ._core import Net

Poll = Callable[[], bool]

REDRAW_SECONDS = 0.2
REDRAW_SHARE = 0.05  # of the time at most, on terminals that are slow
FLUSH_SECONDS = 1.0
HALF_LIFE = 2.0  # seconds after which an epoch counts half in the pace


class Pace:
    """How fast the epochs go, recent ones counting most, and how long the rest may take."""

    def __init__(self, n_rows: int, max_iter: int, limit: TimeLimit) -> None:
        self.n_rows = n_rows  # of an epoch
        self.max_iter = max_iter
        self.limit = limit
        self.begin = self.last = perf_counter()
        self.seconds = self.epochs = self.rows = 0.0

    def add(self, rows: int) -> None:
        """Note the end of an epoch or iteration that went through so many rows."""
        now = perf_counter()
        kept = 0.5 ** ((now - self.last) / HALF_LIFE)
        self.seconds = self.seconds * kept + now - self.last
        self.epochs = self.epochs * kept + 1
        self.rows = self.rows * kept + rows
        self.last = now

    def samples_per_second(self, rows: int = 0) -> float:
        """Return the rate; ``rows`` are done of an epoch that has not ended."""
        return (self.rows + rows) / max(self._seconds(rows), 1e-9)

    def seconds_left(self, n_iter: int, rows: int = 0) -> float:
        """Return the most time that is left after so many epochs, and rows of the next."""
        part = rows / self.n_rows
        if self.epochs + part == 0:
            return math.nan
        left = self._seconds(rows) / (self.epochs + part) * (self.max_iter - n_iter - part)
        return max(0.0, min(left, self.limit.remaining()))

    @property
    def elapsed(self) -> float:
        return perf_counter() - self.begin

    def _seconds(self, rows: int) -> float:
        running = perf_counter() - self.last if rows > 0 else 0.0
        return self.seconds + running


class Progress:
    """The progress of a fit that is not verbose: it shows nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def poll(self, net: Net, other: Poll | None = None) -> Poll | None:
        """Return what the core shall call now and then, while it trains ``net``."""
        return other

    def iteration(self, n_iter: int, loss: float, n_rows: int) -> None:
        """Show that an epoch or iteration ended, which went through so many rows."""

    def score(self, score: float) -> None:
        """Show the validation score after it."""

    def say(self, line: str) -> None:
        """Show a line about the training."""


class Lines(Progress):
    """scikit-learn's own lines, with the rate and the time left after the loss."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self.flushed = perf_counter()

    def iteration(self, n_iter: int, loss: float, n_rows: int) -> None:
        self.pace.add(n_rows)
        line = f"Iteration {n_iter}, loss = {loss:.8f}, {format_rate(self.pace)}"
        if n_iter < self.pace.max_iter:
            line += f", at most {format_duration(self.pace.seconds_left(n_iter))} left"
        self.say(line)

    def score(self, score: float) -> None:
        self.say(f"Validation score: {score:f}")

    def say(self, line: str) -> None:
        # A pipe, such as to tee, is to show them soon too.
        due = perf_counter() - self.flushed > FLUSH_SECONDS and hasattr(sys.stdout, "flush")
        print(line, flush=due)
        if due:
            self.flushed = perf_counter()


class Live(Progress):
    """A display that is redrawn in place."""

    def __init__(self, pace: Pace, unit: str) -> None:
        self.pace = pace
        self.unit = unit
        self.n_iter = 0
        self.rows = 0  # done of the epoch that runs
        self.loss: float | None = None
        self.validation_score: float | None = None
        self.ended = False
        self.next_redraw = 0.0

    def __exit__(self, *error: object) -> None:
        self.ended = True
        self.close()

    def draw(self) -> None:
        """Draw the display as it is to be now."""
        raise NotImplementedError

    def close(self) -> None:
        """Draw it for the last time."""
        self.draw()

    def poll(self, net: Net, other: Poll | None = None) -> Poll | None:
        def redraw_and_ask() -> bool:
            self.rows = net.progress.n_rows
            self.redraw()
            return other is not None and other()

        return redraw_and_ask

    def iteration(self, n_iter: int, loss: float, n_rows: int) -> None:
        self.pace.add(n_rows)
        self.n_iter, self.loss, self.rows = n_iter, loss, 0
        self.redraw()

    def score(self, score: float) -> None:
        self.validation_score = score

    def redraw(self) -> None:
        """Draw it, unless that was done only just now."""
        begin = perf_counter()
        if begin >= self.next_redraw:
            self.draw()
            end = perf_counter()
            self.next_redraw = end + max(REDRAW_SECONDS, (end - begin) / REDRAW_SHARE)

    @property
    def fraction(self) -> float:
        """The share of all epochs that is done."""
        return min(1.0, (self.n_iter + self.rows / self.pace.n_rows) / self.pace.max_iter)

    @property
    def count(self) -> str:
        return f"{self.unit} {self.n_iter} of {self.pace.max_iter}"

    def facts(self) -> list[str]:
        """Return all there is to say beside the count."""
        facts = []
        if self.loss is not None:
            facts.append(f"loss {format_number(self.loss)}")
        if self.validation_score is not None:
            facts.append(f"validation score {format_number(self.validation_score)}")
        left = self.pace.seconds_left(self.n_iter, self.rows)
        if not math.isnan(left):
            facts.append(format_rate(self.pace, self.rows))
        if self.ended:
            elapsed = self.pace.elapsed
            took = f"{elapsed:.2g} s" if elapsed < 60 else format_duration(elapsed)
            facts.append(f"took {took}")
        elif not math.isnan(left):
            facts.append(f"at most {format_duration(left)} left")
        return facts


class Terminal(Live):
    """On a terminal, through rich: what is printed meanwhile appears above."""

    def __init__(self, pace: Pace, unit: str) -> None:
        from rich.live import Live as RichLive

        super().__init__(pace, unit)
        self.console = _console()
        self.live = RichLive(
            console=self.console,
            get_renderable=self.render,
            auto_refresh=False,
            redirect_stderr=_is_terminal(sys.stderr),  # or rich would divert a file's lines
        )

    def __enter__(self) -> Self:
        try:
            self.live.start(refresh=True)
        except BaseException:  # an interrupt: sys.stdout must not stay diverted
            self.live.stop()
            raise
        return self

    def draw(self) -> None:
        self.live.refresh()

    def close(self) -> None:
        self.live.stop()  # which draws

    def say(self, line: str) -> None:
        self.console.print(line, markup=False, soft_wrap=True)

    def render(self) -> Any:
        from rich.text import Text

        options = self.console.options
        thick, thin = "#-" if options.ascii_only else "━─"
        text = Text(no_wrap=True, overflow="crop")
        width = options.max_width
        for i, (before, bar_width, after) in enumerate(layout(self.count, self.facts(), width)):
            n_thick = round(bar_width * self.fraction)
            text.append("\n" * (i > 0) + before)
            text.append(thick * n_thick, "bar.finished" if self.fraction == 1 else "bar.complete")
            text.append(thin * (bar_width - n_thick), "bar.back")
            text.append(after)
        return text


def _console() -> Any:
    from rich.console import Console

    class ConsoleWithCursor(Console):
        def show_cursor(self, show: bool = True) -> bool:
            return False  # to change it

    return ConsoleWithCursor(file=sys.stdout, highlight=False)


class Notebook(Live):
    """In a notebook: one output, which is updated."""

    def __enter__(self) -> Self:
        from IPython.display import display

        show: Any = display  # which has no types
        self.handle = show(self.bundle(), raw=True, display_id=True)
        return self

    def draw(self) -> None:
        self.handle.update(self.bundle(), raw=True)

    def say(self, line: str) -> None:
        print(line)

    def bundle(self) -> dict[str, str]:
        """Return the display as HTML, and as text for what cannot show that."""
        words = [self.count, *self.facts()]
        cells = "".join(
            f'<span style="white-space: nowrap">{html.escape(word)}</span>' for word in words
        )
        bar = f'<progress value="{self.fraction:.4f}" max="1" style="width: 8em"></progress>'
        style = (
            "display: flex; flex-wrap: wrap; align-items: center; column-gap: 1em; "
            "padding: 0 0.5em; font-variant-numeric: tabular-nums"
        )
        return {
            "text/plain": "  ".join(words),
            "text/html": f'<div style="{style}">{bar}{cells}</div>',
        }


def open_progress(
    verbose: bool | int, n_rows: int, max_iter: int, limit: TimeLimit, unit: str, live: bool = True
) -> Progress:
    """Return what shows the progress of a fit, to be entered around its epochs or iterations.

    ``live`` tells whether a live display is worth it, and no callback shows one.
    """
    if not verbose:
        return Progress()
    pace = Pace(n_rows, min(max_iter, 2**53), limit)  # beyond, an int is no float
    if live and _has_place_for_live():
        if _is_notebook():
            return Notebook(pace, unit)
        if _is_terminal(sys.stdout) and importlib.util.find_spec("rich") is not None:
            display = Terminal(pace, unit)
            if display.console.is_terminal and not display.console.is_dumb_terminal:
                return display
    return Lines(pace)


def _has_place_for_live() -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    # What a live display of rich's prints through, ours or another, sklearn.callback.ProgressBar's.
    taken = hasattr(sys.stdout, "rich_proxied_file")
    return multiprocessing.parent_process() is None and not taken


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):  # no such method, None, or closed
        return False


def _is_notebook() -> bool:
    iostream: Any = sys.modules.get("ipykernel.iostream")
    return iostream is not None and isinstance(sys.stdout, iostream.OutStream)


def layout(count: str, facts: list[str], width: int) -> list[tuple[str, int, str]]:
    """Return lines for a terminal, each as text, the width of a bar, and text.

    All on one line, if there a bar has room; otherwise the bar ends the first line, and the facts
    fill the next.
    """
    n_bar = width - len("  ".join([count, *facts])) - 2
    if n_bar >= 20:
        return [(f"{count}  ", min(n_bar, 40), "".join(f"  {fact}" for fact in facts))]
    n_bar = width - len(count) - 2
    lines = [(f"{count}  ", n_bar, "") if n_bar >= 5 else (count[:width], 0, "")]
    row = ""
    for fact in facts:
        if row and len(row) + 2 + len(fact) > width:
            lines.append((row, 0, ""))
            row = ""
        row = (f"{row}  {fact}" if row else fact)[:width]
    return [*lines, (row, 0, "")] if row else lines


def format_number(value: float) -> str:
    """Write a loss or score with about four digits that count."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e5 else f"{value:.3e}"


def format_rate(pace: Pace, rows: int = 0) -> str:
    """Write the samples per second, with three digits that count."""
    rate = float(f"{pace.samples_per_second(rows):.3g}")
    return f"{rate:,.0f} samples/s" if rate >= 100 else f"{rate:g} samples/s"


def format_duration(seconds: float) -> str:
    """Write a time, rounded up to seconds: 0:07, 12:34, 1:23:45, 3 days 4:05:06."""
    minutes, whole = divmod(math.ceil(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days > 0:
        return f"{days:,} day{'s' if days > 1 else ''} {hours}:{minutes:02}:{whole:02}"
    return f"{hours}:{minutes:02}:{whole:02}" if hours > 0 else f"{minutes}:{whole:02}"
