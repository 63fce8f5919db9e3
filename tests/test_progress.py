# SPDX-License-Identifier: BSD-3-Clause
"""What a verbose fit shows: lines, and live displays on real pseudo-terminals and in a notebook."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import textwrap
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jupyter_client.manager import start_new_kernel
from models import draw

import fastbp
from fastbp import BackpropClassifier, BackpropRegressor, _progress
from fastbp._progress import Pace, Terminal, format_duration, format_number, layout
from fastbp._time_limit import TimeLimit

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

PACKAGE = Path(fastbp.__file__).parents[1]
LINE = r"Iteration \d+, loss = [\d.]+, [\d,.]+ samples/s, at most [\d:]+ left"
HIDDEN_CURSOR = "\x1b[?25l"


def screen(output: str, width: int = 80) -> list[str]:
    """Return the lines that a terminal shows at last, scrolled ones too, but for empty ones."""
    rows = [""]
    row = column = 0
    for code, text in re.findall(r"\x1b\[([\d;?]*[A-Za-z])|([^\x1b])", output):
        if code.endswith("A"):
            row -= int(code[:-1] or 1)
        elif code == "2K":
            rows[row] = ""
        elif text == "\r":
            column = 0
        elif text == "\n":
            row += 1
            rows += [""] * (row + 1 - len(rows))
        elif text:
            if column == width:
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            rows[row] = rows[row][:column].ljust(column) + text + rows[row][column + 1 :]
            column += 1
        else:
            assert code.endswith("m") or code in ("?25h", "?25l"), code
    return [line.rstrip() for line in rows if line.strip()]


class Pty:
    """A pseudo-terminal, and all that was written to it."""

    def __init__(self, width: int = 80) -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.output = b""
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        with contextlib.suppress(OSError):  # the other end was closed
            while block := os.read(self.master, 1 << 16):
                self.output += block

    def close(self) -> str:
        """Return what was written."""
        with contextlib.suppress(OSError):
            os.close(self.slave)
        self.reader.join(60)
        os.close(self.master)
        return self.output.decode()


def on_terminal(
    function: Callable[[], Any], monkeypatch: pytest.MonkeyPatch, width: int = 80
) -> str:
    """Call a function with a pseudo-terminal as sys.stdout; return what it wrote."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    terminal = Pty(width)
    stream = os.fdopen(terminal.slave, "w", encoding="utf-8")
    before = sys.stderr
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        try:
            function()
        finally:
            assert sys.stdout is stream
            assert sys.stderr is before
            stream.close()
            output = terminal.close()
    return output


def model(**params: Any) -> Any:
    params = {"max_iter": 30, "hidden_layer_sizes": 8, "verbose": True, "random_state": 0} | params
    return BackpropClassifier(**params)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Redraw at every occasion."""
    monkeypatch.setattr(_progress, "REDRAW_SECONDS", 0.0)
    monkeypatch.setattr(_progress, "REDRAW_SHARE", 1e9)


# Numbers


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """Return the time, to be set."""
    now = [100.0]
    monkeypatch.setattr(_progress, "perf_counter", lambda: now[0])
    yield now


def test_pace(clock: list[float]) -> None:
    pace = Pace(1000, 50, TimeLimit(None))
    assert np.isnan(pace.seconds_left(0))
    clock[0] += 1  # within the first epoch
    assert pace.samples_per_second(500) == 500
    assert pace.seconds_left(0, 500) == 99
    clock[0] += 1
    pace.add(1000)
    assert (pace.samples_per_second(), pace.seconds_left(1)) == (500, 98)
    for n_iter in range(2, 12):
        clock[0] += 2
        pace.add(1000)
        assert pace.samples_per_second() == pytest.approx(500)
        assert pace.seconds_left(n_iter) == pytest.approx(2 * (50 - n_iter))
    clock[0] += 1
    assert pace.seconds_left(11, 500) == pytest.approx(77)
    for _ in range(5):  # another program takes the CPU
        clock[0] += 20
        pace.add(1000)
    assert pace.samples_per_second() == pytest.approx(50, rel=0.01)
    assert pace.elapsed == 123


def test_time_left_is_the_limits_at_most(clock: list[float]) -> None:
    limit = TimeLimit(3600)
    pace = Pace(10, 1000, limit)
    clock[0] += 600
    pace.add(10)
    assert 3590 < pace.seconds_left(1) < 3600
    limit.end = 0
    assert pace.seconds_left(1) == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (0.01, "0:01"),
        (59.1, "1:00"),
        (754, "12:34"),
        (3599.5, "1:00:00"),
        (5025, "1:23:45"),
        (86400, "1 day 0:00:00"),
        (273906, "3 days 4:05:06"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "0.1235"),
        (0, "0.0000"),
        (-3.5, "-3.5000"),
        (1e-5, "1.000e-05"),
        (2e6, "2.000e+06"),
        (np.nan, "nan"),
        (np.inf, "inf"),
    ],
)
def test_numbers(value: float, text: str) -> None:
    assert format_number(value) == text


FACTS = ["loss 0.1234", "validation score 0.9712", "81,200 samples/s", "at most 12:34 left"]


@pytest.mark.parametrize("width", range(1, 200))
def test_layout_fits(width: int) -> None:
    count = "epoch 37 of 200"
    lines = layout(count, FACTS, width)
    assert all(len(before) + bar + len(after) <= width for before, bar, after in lines)
    words = " ".join(before + after for before, _, after in lines)
    assert words.startswith(count[:width].rstrip())
    if width >= 23:
        assert words.split() == " ".join([count, *FACTS]).split()
        assert lines[0][1] >= 5
    words_alone = len("  ".join(FACTS))
    assert (len(lines) == 1) == (width >= len(count) + words_alone + 24)
    assert (len(lines) <= 2) == (width >= words_alone)


# Lines


@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_lines(params: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    fitted = model(max_iter=4, **params).fit(*draw(200))
    lines = capsys.readouterr().out.splitlines()
    scores = [line for line in lines if line.startswith("Validation score: ")]
    assert len(scores) == (4 if "early_stopping" in params else 0)
    lines = [line for line in lines if line not in scores]
    assert all(re.fullmatch(LINE, line) for line in lines[:3])
    assert re.fullmatch(LINE.partition(", at most")[0], lines[3])
    assert lines[3].startswith(f"Iteration 4, loss = {fitted.loss_:.8f}")


def test_the_rate_in_lines_is_the_true_one(capsys: pytest.CaptureFixture[str]) -> None:
    X, y = draw(5000)
    begin = time.perf_counter()
    model(max_iter=20, tol=0, hidden_layer_sizes=100).fit(X, y)
    least = 20 * 5000 / (time.perf_counter() - begin)
    rate = re.findall(r"([\d,]+) samples/s", capsys.readouterr().out)[-1]
    assert least < 1.01 * float(rate.replace(",", ""))


@pytest.mark.parametrize("estimator", [BackpropClassifier, BackpropRegressor])
def test_partial_fit_prints_no_time_left(
    estimator: type, capsys: pytest.CaptureFixture[str]
) -> None:
    X, y = draw()
    classes = {"classes": [0, 1]} if estimator is BackpropClassifier else {}
    estimator(verbose=True).partial_fit(X, y, **classes)
    assert re.fullmatch(LINE.partition(", at")[0] + "\n", capsys.readouterr().out)


def test_a_fit_that_is_not_verbose_prints_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for verbose in (False, 0):
        assert on_terminal(lambda v=verbose: model(verbose=v).fit(*draw()), monkeypatch) == ""
        model(verbose=verbose).fit(*draw())
    assert capsys.readouterr().out == ""


class OnlyWrites:
    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> None:
        self.text += text


def test_other_streams_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "FLUSH_SECONDS", 0.0)
    stream, plain = io.StringIO(), OnlyWrites()
    for out in (stream, plain):
        monkeypatch.setattr(sys, "stdout", out)
        model(max_iter=2).fit(*draw())
    assert len(stream.getvalue().splitlines()) == len(plain.text.splitlines()) == 2
    monkeypatch.setattr(sys, "stdout", None)
    model(max_iter=2).fit(*draw())


def test_lines_reach_a_pipe_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        patch.setattr(_progress, "FLUSH_SECONDS", -1.0)
        model(max_iter=2).fit(*draw())
        assert os.read(reading, 1 << 16).count(b"\n") == 2
    os.close(reading)


# On a terminal


@pytest.mark.parametrize("width", [80, 40, 160])
@pytest.mark.parametrize("params", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_live(params: dict[str, Any], width: int, monkeypatch: Any, often: None) -> None:
    fitted = model(tol=0, **params)
    output = on_terminal(lambda: fitted.fit(*draw(300)), monkeypatch, width)
    assert HIDDEN_CURSOR not in output
    assert output.endswith("\n")
    unit = "iteration" if fitted.solver == "lbfgs" else "epoch"
    for n_iter in range(fitted.n_iter_ + 1):
        assert f"{unit} {n_iter} of 30" in output
    assert "at most 0:01 left" in output
    shown = screen(output, width)
    assert len(shown) == 1 or width < 160
    assert shown[0].startswith(f"{unit} {fitted.n_iter_} of 30  ━━")
    assert all(len(line) <= width for line in shown)
    words = " ".join(shown)
    assert f"loss {format_number(fitted.loss_)}" in words
    assert re.search(r"[\d,]+ samples/s +took [\d.]+ s$", words)
    if "early_stopping" in params:
        assert f"validation score {format_number(fitted.validation_scores_[-1])}" in words


def test_messages_stay_above(monkeypatch: pytest.MonkeyPatch, often: None) -> None:
    fitted = model(solver="sgd", learning_rate="adaptive", tol=1, n_iter_no_change=3, max_iter=100)
    shown = screen(on_terminal(lambda: fitted.fit(*draw()), monkeypatch, 160), 160)
    reason = "Training loss did not improve more than tol=1.000000 for 3 consecutive epochs."
    assert shown[0] == f"{reason} Setting learning rate to 0.000200"
    assert shown[-2] == f"{reason} Learning rate too small. Stopping."
    assert shown[-1].startswith(f"epoch {fitted.n_iter_} of 100  ━")
    assert len(shown) == 7


def test_the_display_moves_within_an_epoch(monkeypatch: pytest.MonkeyPatch, often: None) -> None:
    drawn: list[tuple[int, int]] = []

    def draw_and_note(self: Terminal) -> None:
        drawn.append((self.n_iter, self.rows))
        draw_it(self)

    draw_it = Terminal.draw
    monkeypatch.setattr(Terminal, "draw", draw_and_note)
    X, y = draw(60000, 50)
    fitted = model(max_iter=2, hidden_layer_sizes=(300, 300), n_jobs=1)
    on_terminal(lambda: fitted.fit(X, y), monkeypatch)
    first = [rows for n_iter, rows in drawn if n_iter == 0]
    assert len({*first}) > 3
    assert first == sorted(first)
    assert all(rows % 200 == 0 and rows <= 60000 for rows in first)


def test_redraws_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    times: list[float] = []

    def draw_and_note(self: Terminal) -> None:
        times.append(time.perf_counter())
        draw_it(self)

    draw_it = Terminal.draw
    monkeypatch.setattr(Terminal, "draw", draw_and_note)
    fitted = model(max_iter=2000, tol=0, n_iter_no_change=np.inf)
    output = on_terminal(lambda: fitted.fit(*draw()), monkeypatch)
    assert "epoch 2000 of 2000" in output
    assert len(times) < 1000
    assert all(np.diff(times) >= _progress.REDRAW_SECONDS)


class Hooks:
    """Calls a function at the end of each epoch."""

    def __init__(self, function: Callable[[int], Any]) -> None:
        self.function = function

    def setup(self, estimator: Any, context: Any) -> None:
        pass

    teardown = on_fit_task_begin = setup

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        if context.parent is not None:
            self.function(context.task_id + 1)


def test_what_is_printed_meanwhile(monkeypatch: pytest.MonkeyPatch, often: None) -> None:
    pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and newer")
    inner = model(max_iter=2)

    def talk(n_iter: int) -> None:
        print(f"[{n_iter}] done")  # not rich's markup
        if n_iter == 3:
            inner.fit(*draw())
            warnings.warn("on stderr", UserWarning, stacklevel=1)

    fitted = model(max_iter=5).set_callbacks(Hooks(talk))
    with pytest.warns(UserWarning, match="on stderr"):
        shown = screen(on_terminal(lambda: fitted.fit(*draw()), monkeypatch, 160), 160)
    assert [line for line in shown if line.endswith("done")] == [f"[{i}] done" for i in range(1, 6)]
    assert [bool(re.match("Iteration", line)) for line in shown[3:5]] == [True, True]
    assert shown[-1].startswith("epoch 5 of 5")
    assert len(shown) == 8


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("at", [0, 3])
def test_the_display_ends_with_an_error(
    error: type[BaseException], at: int, monkeypatch: Any, often: None
) -> None:
    def fail(net: Any, *args: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) > at:
            raise error
        return train(net, *args, **options)

    class Net(fastbp._core.Net):
        train = fail

    train, calls = fastbp._core.Net.train, []
    monkeypatch.setattr(fastbp._core, "Net", Net)

    def fit() -> None:
        if error is KeyboardInterrupt and at > 0:
            with pytest.warns(UserWarning, match="interrupted"):
                model().fit(*draw())
        else:
            with pytest.raises(error):
                model().fit(*draw())

    output = on_terminal(fit, monkeypatch, 160)
    assert output.endswith("\n")
    assert screen(output, 160)[-1].startswith(f"epoch {at} of 30")


def test_a_terminal_that_is_gone(monkeypatch: pytest.MonkeyPatch, often: None) -> None:
    master, slave = pty.openpty()
    stream = os.fdopen(slave, "w")
    fitted = model()
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", stream)
        os.close(master)
        with pytest.raises(OSError):
            fitted.fit(*draw())
        assert sys.stdout is stream
    assert not hasattr(fitted, "coefs_")
    with contextlib.suppress(OSError):
        stream.close()


def test_an_ascii_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Pty()
    stream = os.fdopen(terminal.slave, "w", encoding="ascii")
    with monkeypatch.context() as patch:
        patch.setenv("TERM", "xterm")
        patch.setattr(sys, "stdout", stream)
        model().fit(*draw())
    stream.close()
    assert re.match(r"epoch 30 of 30  #{20,}", screen(terminal.close())[0])


# Where there is no place for a live display


def test_lines_from_other_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fit_in_thread() -> None:
        thread = threading.Thread(target=model(max_iter=3).fit, args=draw())
        thread.start()
        thread.join()

    assert len(screen(on_terminal(fit_in_thread, monkeypatch))) == 3


@pytest.mark.parametrize("term", ["dumb", "unknown"])
def test_lines_on_dumb_terminals(term: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit() -> None:
        monkeypatch.setenv("TERM", term)
        model(max_iter=3).fit(*draw())

    output = on_terminal(fit, monkeypatch)
    assert "\x1b" not in output
    assert output.count("Iteration") == 3


def test_lines_without_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rich", None)  # as if it were not installed
    output = on_terminal(lambda: model(max_iter=3).fit(*draw()), monkeypatch)
    assert "\x1b" not in output
    assert output.count("Iteration") == 3


def test_lines_into_what_replaces_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.StringIO()

    def fit() -> None:
        with contextlib.redirect_stdout(out):
            model(max_iter=3).fit(*draw())

    assert on_terminal(fit, monkeypatch) == ""
    assert len(out.getvalue().splitlines()) == 3


def test_lines_beside_scikit_learns_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 and newer")
    fitted = model(max_iter=3).set_callbacks(callback.ProgressBar())
    output = on_terminal(lambda: fitted.fit(*draw()), monkeypatch)
    assert output.count("Iteration") == 3
    assert "epoch" not in output
    assert "100%" in output


# Whole programs

PROGRAM = """
import os, sys, warnings
import numpy as np
from fastbp import BackpropRegressor

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 50))
model = BackpropRegressor(
    hidden_layer_sizes=(64,), verbose=True, tol=0, n_iter_no_change=np.inf, random_state=0, n_jobs=1
)
"""


def start(program: str, width: int = 80, **options: Any) -> tuple[Pty, subprocess.Popen[bytes]]:
    """Start a program on a terminal."""
    terminal = Pty(width)
    environment = dict(os.environ, TERM="xterm-256color", PYTHONPATH=str(PACKAGE))
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES"):
        environment.pop(name, None)
    command = [sys.executable, "-c", PROGRAM + textwrap.dedent(program)]
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), terminal.slave) | options
    process = subprocess.Popen(command, env=environment, start_new_session=True, **streams)
    os.close(terminal.slave)
    return terminal, process


def wait_for(terminal: Pty, text: bytes) -> None:
    deadline = time.monotonic() + 120
    while text not in terminal.output:
        assert time.monotonic() < deadline, terminal.output
        time.sleep(0.02)


@pytest.mark.parametrize("width", [80, 40])
def test_a_program_on_a_terminal(width: int) -> None:
    program = "model.set_params(max_iter=100).fit(X, X[:, 0]); print('after')"
    terminal, process = start(program, width)
    assert process.wait(300) == 0
    output = terminal.close()
    shown = screen(output, width)
    assert shown[0].startswith("epoch 100 of 100  ━━")
    assert shown[-1] == "after"
    assert len(shown) == (3 if width == 80 else 4)
    assert all(len(line) <= width for line in shown)
    assert HIDDEN_CURSOR not in output


def test_an_interrupted_program() -> None:
    program = """
    model.set_params(max_iter=10**7).fit(X, X[:, 0])
    print("after", model.interrupted_, type(sys.stdout).__name__)
    """
    terminal, process = start(program)
    wait_for(terminal, b"epoch 2")
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 0
    output = terminal.close()
    shown = screen(output)
    assert re.match(r"epoch \d+ of 10000000", shown[0])
    assert shown[-1] == "after True TextIOWrapper"
    assert HIDDEN_CURSOR not in output


def test_a_killed_program_leaves_the_cursor() -> None:
    terminal, process = start("model.set_params(max_iter=10**7).fit(X, X[:, 0])")
    wait_for(terminal, b"epoch 2")
    process.kill()
    process.wait(60)
    assert HIDDEN_CURSOR not in terminal.close()


def test_errors_go_where_they_are_sent(tmp_path: Path) -> None:
    program = """
    warnings.simplefilter("default")
    def stop(signum, frame):
        warnings.warn("heard")
    import signal
    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    model.set_params(max_iter=10**7, max_time=1.0).fit(X, X[:, 0])
    """
    with open(tmp_path / "err", "w") as file:
        terminal, process = start(program, stderr=file)
        assert process.wait(120) == 0
    assert len(screen(terminal.close())) == 2
    written = (tmp_path / "err").read_text("utf-8")
    assert "heard" in written
    assert "max_time" in written


def test_workers_print_lines() -> None:
    program = """
    from sklearn.model_selection import cross_val_score
    cross_val_score(model.set_params(max_iter=3), X, X[:, 0], cv=3, n_jobs=2)
    """
    terminal, process = start(program)
    assert process.wait(300) == 0
    output = terminal.close()
    assert output.count("Iteration") == 9
    assert "epoch" not in output


# In a notebook


def test_notebook() -> None:
    environment = dict(os.environ, PYTHONPATH=str(PACKAGE))
    manager, client = start_new_kernel(startup_timeout=120, env=environment)
    try:
        messages: list[dict[str, Any]] = []
        for code in (
            PROGRAM + "model.set_params(max_iter=200, early_stopping=True).fit(X, X[:, 0]);",
            """
model.set_params(max_iter=2, early_stopping=False)
import contextlib, io, threading
with contextlib.redirect_stdout(io.StringIO()) as out:
    model.fit(X, X[:, 0])
thread = threading.Thread(target=model.fit, args=(X, X[:, 0]))
thread.start(); thread.join()
print(len(out.getvalue().splitlines()))
""",
        ):
            reply = client.execute_interactive(code, timeout=300, output_hook=messages.append)
            assert reply["content"]["status"] == "ok", reply["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    displays = [m["content"] for m in messages if m["msg_type"] == "display_data"]
    updates = [m["content"] for m in messages if m["msg_type"] == "update_display_data"]
    assert len(displays) == 1
    assert updates
    identifier = displays[0]["transient"]["display_id"]
    assert all(update["transient"]["display_id"] == identifier for update in updates)
    last = updates[-1]["data"]
    text = r"epoch 200 of 200  loss \S+  validation score \S+  [\d,]+ samples/s  took \S+ s"
    assert re.fullmatch(text, last["text/plain"])
    assert '<progress value="1.0000" max="1"' in last["text/html"]
    assert re.sub("<[^>]+>", "", last["text/html"]) == last["text/plain"].replace("  ", "")
    printed = "".join(m["content"]["text"] for m in messages if m["msg_type"] == "stream")
    assert printed.count("Iteration") == 2  # of the thread
    assert printed.endswith("\n2\n")
