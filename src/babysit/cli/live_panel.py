"""A panel at the foot of the terminal while a watched script trains; the script's own output scrolls above it.

The script's streams are left alone: the terminal itself is told to scroll only above the panel (DECSTBM, as apt does
for its progress bar). So prints, progress bars, subprocesses and C code come out as they would without it.
"""

from __future__ import annotations

import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, final

from babysit.cli.panel_state import PanelState, lines, panel_height
from babysit.cli.terminal import say_problem
from babysit.records.curves import Curves
from babysit.records.layer_metrics import LayerMetrics

# Four times a second is as much as an eye follows; a slow machine or a small budget makes it less.
LEAST_WAIT_SECONDS: Final = 0.25
_END_WAIT_SECONDS: Final = 2.0


class PanelWriter(Protocol):
    """Where a watch sends its records."""

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Take new rows."""

    def update(self, **parts: object) -> None:
        """Replace whole parts of the run."""


@contextmanager
def panel(writer: PanelWriter, *, asked: bool | None, name: str, overhead: float) -> Iterator[PanelWriter]:
    """The writer to give to the watch, with a panel that shows what passes through it where one can be drawn.

    Args:
        writer: where the records go in any case.
        asked: True or False as the user said; None decides by itself: only when the script's output goes elsewhere.
        name: what the run is called.
        overhead: share of the time that drawing may take from the training beside it.
    """
    why_not = unavailable_reason(os.environ)
    if asked and why_not:
        say_problem(f"no live panel: {why_not}")
    by_itself = not sys.stdout.isatty() and "CI" not in os.environ
    if why_not or asked is False or (asked is None and not by_itself):
        yield writer
        return
    drawn = Panel(writer, name=name, overhead=overhead)
    drawn.start()
    try:
        yield drawn
    finally:
        drawn.close()


def unavailable_reason(environment: Mapping[str, str]) -> str:
    """Why no panel can be drawn; "" when one can."""
    if not sys.stderr.isatty():
        return "standard error is no terminal"
    if environment.get("TERM", "") in ("", "dumb"):
        return "this terminal cannot move its cursor (TERM)"
    columns, rows = _size()
    if not panel_height(columns, rows):
        return f"the terminal is too small ({columns} x {rows})"
    return ""


@final
class Panel:
    """Hands records on and draws what they say, on a thread of its own; the training waits for nothing."""

    def __init__(self, writer: PanelWriter, *, name: str, overhead: float) -> None:
        self._writer = writer
        self._overhead = overhead
        self._news: SimpleQueue[tuple[Curves | None, LayerMetrics | None, dict[str, Any]]] = SimpleQueue()
        self._seen = PanelState(name, time.monotonic())
        self._screen = Screen(sys.stderr.fileno())
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="babysit-panel", daemon=True)
        self._process = os.getpid()

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Take new rows."""
        self._writer.append(curves=curves, layer_metrics=layer_metrics)
        self._news.put((curves, layer_metrics, {}))

    def update(self, **parts: Any) -> None:
        """Replace whole parts of the run."""
        self._writer.update(**parts)
        self._news.put((None, None, parts))

    def start(self) -> None:
        """Begin to draw."""
        self._thread.start()

    def close(self) -> None:
        """Give the terminal back as it was."""
        self._ended.set()
        if os.getpid() == self._process:  # a forked child has neither the thread nor a right to the terminal
            self._thread.join(_END_WAIT_SECONDS)
            with suppress(OSError):  # the terminal went away
                self._screen.leave()

    def _draw(self) -> None:
        encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower()
        with suppress(OSError, ValueError):  # the terminal went away: the training does not care
            while True:
                start = time.thread_time()
                self._take_news()
                columns, rows = _size()
                if panel_height(columns, rows):
                    self._screen.show(lines(self._seen, columns, rows, plain="utf" not in encoding), columns, rows)
                else:
                    self._screen.leave()
                spent = time.thread_time() - start
                if self._ended.wait(max(LEAST_WAIT_SECONDS, spent / self._overhead)):
                    return

    def _take_news(self) -> None:
        with suppress(Empty):
            while True:
                self._seen.take(*self._news.get_nowait())


@final
class Screen:
    """The foot of a terminal; each change is one write, so that nothing of the script's comes in between."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._height = self._rows = self._columns = 0
        self._shown: list[str] = []

    def show(self, lines: list[str], columns: int, rows: int) -> None:
        """Draw these lines at the foot of a terminal of this size, making room for them first."""
        if (len(lines), columns, rows) != (self._height, self._columns, self._rows):
            self.leave()
            self._enter(len(lines), columns, rows)
        if lines != self._shown:
            top = self._rows - self._height + 1
            drawn = "".join(f"\x1b[{top + place};1H\x1b[0m{line}\x1b[0m\x1b[K" for place, line in enumerate(lines))
            self._write(f"\x1b7{drawn}\x1b8")
            self._shown = lines

    def leave(self) -> None:
        """Let the whole terminal scroll again, and leave nothing of the panel on it."""
        if self._height:
            # What lies below the cursor's line and the region is ours alone.
            erased = "".join(f"\x1b[{self._rows - line};1H\x1b[2K" for line in range(self._height))
            self._height, self._shown = 0, []
            self._write(f"\x1b7\x1b[r{erased}\x1b8")

    def _enter(self, height: int, columns: int, rows: int) -> None:
        self._height, self._columns, self._rows, self._shown = height, columns, rows, []
        # The newlines make room where the cursor stands at the foot; setting the region would move the cursor.
        self._write("\n" * height + f"\x1b7\x1b[1;{rows - height}r\x1b8\x1b[{height}A")

    def _write(self, text: str) -> None:
        rest = text.encode("utf-8", "replace")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _size() -> tuple[int, int]:
    """Columns and rows of the terminal on standard error."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        size = shutil.get_terminal_size()
    return size.columns, size.lines
