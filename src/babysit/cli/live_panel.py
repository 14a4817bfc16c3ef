"""Panel at the bottom of the terminal while a watched script trains; the script's output scrolls above it.

The streams of the script are not touched: the scroll region of the terminal is set to the lines above the panel
(DECSTBM, as apt does for its progress bar). Prints, progress bars, subprocesses and C code are unaffected.
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

# At most four updates a second are readable; slow machines and small budgets reduce the rate.
LEAST_WAIT_SECONDS: Final = 0.25
_END_WAIT_SECONDS: Final = 2.0


class PanelWriter(Protocol):
    """Receiver of the records of a watch."""

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Append rows."""

    def update(self, **parts: object) -> None:
        """Replace parts of the run."""


@contextmanager
def panel(writer: PanelWriter, *, requested: bool | None, name: str, overhead: float) -> Iterator[PanelWriter]:
    """Yield a writer for the watch; it also feeds a panel if one can be drawn.

    Args:
        writer: receives the records in any case.
        requested: True or False as set by the user; None shows the panel only if the script's output is redirected.
        name: name of the run.
        overhead: maximum fraction of the time for drawing.
    """
    reason = unavailable_reason(os.environ)
    if requested and reason:
        say_problem(f"no live panel: {reason}")
    redirected = not sys.stdout.isatty() and "CI" not in os.environ
    if reason or requested is False or (requested is None and not redirected):
        yield writer
        return
    drawn = Panel(writer, name=name, overhead=overhead)
    drawn.start()
    try:
        yield drawn
    finally:
        drawn.close()


def unavailable_reason(environment: Mapping[str, str]) -> str:
    """Return the reason why no panel can be drawn; "" if it can."""
    if not sys.stderr.isatty():
        return "standard error is not a terminal"
    if environment.get("TERM", "") in ("", "dumb"):
        return "this terminal cannot move its cursor (TERM)"
    columns, rows = _size()
    if not panel_height(columns, rows):
        return f"the terminal is too small ({columns} x {rows})"
    return ""


@final
class Panel:
    """Passes records on and draws them in a separate thread, without blocking the training."""

    def __init__(self, writer: PanelWriter, *, name: str, overhead: float) -> None:
        self._writer = writer
        self._overhead = overhead
        self._queue: SimpleQueue[tuple[Curves | None, LayerMetrics | None, dict[str, Any]]] = SimpleQueue()
        self._state = PanelState(name, time.monotonic())
        self._screen = Screen(sys.stderr.fileno())
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._draw, name="babysit-panel", daemon=True)
        self._process = os.getpid()

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Append rows."""
        self._writer.append(curves=curves, layer_metrics=layer_metrics)
        self._queue.put((curves, layer_metrics, {}))

    def update(self, **parts: Any) -> None:
        """Replace parts of the run."""
        self._writer.update(**parts)
        self._queue.put((None, None, parts))

    def start(self) -> None:
        """Start drawing."""
        self._thread.start()

    def close(self) -> None:
        """Stop drawing and restore the terminal."""
        self._stop.set()
        if os.getpid() == self._process:  # a forked child does not have the thread
            self._thread.join(_END_WAIT_SECONDS)
            with suppress(OSError):  # the terminal was closed
                self._screen.leave()

    def _draw(self) -> None:
        encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower()
        with suppress(OSError, ValueError):  # the terminal was closed
            while True:
                start = time.thread_time()
                self._drain_queue()
                columns, rows = _size()
                if panel_height(columns, rows):
                    self._screen.show(lines(self._state, columns, rows, plain="utf" not in encoding), columns, rows)
                else:
                    self._screen.leave()
                spent = time.thread_time() - start
                if self._stop.wait(max(LEAST_WAIT_SECONDS, spent / self._overhead)):
                    return

    def _drain_queue(self) -> None:
        with suppress(Empty):
            while True:
                self._state.update(*self._queue.get_nowait())


@final
class Screen:
    """Bottom lines of a terminal; each update is one write, so that output of the script cannot interleave."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._height = self._rows = self._columns = 0
        self._shown: list[str] = []

    def show(self, lines: list[str], columns: int, rows: int) -> None:
        """Draw lines at the bottom of a terminal of this size, making room for them first."""
        if (len(lines), columns, rows) != (self._height, self._columns, self._rows):
            self.leave()
            self._enter(len(lines), columns, rows)
        if lines != self._shown:
            top = self._rows - self._height + 1
            drawn = "".join(f"\x1b[{top + index};1H\x1b[0m{line}\x1b[0m\x1b[K" for index, line in enumerate(lines))
            self._write(f"\x1b7{drawn}\x1b8")
            self._shown = lines

    def leave(self) -> None:
        """Erase the panel and reset the scroll region."""
        if self._height:
            # The lines below the scroll region contain the panel only.
            erased = "".join(f"\x1b[{self._rows - line};1H\x1b[2K" for line in range(self._height))
            self._height, self._shown = 0, []
            self._write(f"\x1b7\x1b[r{erased}\x1b8")

    def _enter(self, height: int, columns: int, rows: int) -> None:
        self._height, self._columns, self._rows, self._shown = height, columns, rows, []
        # The newlines make room if the cursor is at the bottom; setting the region would move the cursor.
        self._write("\n" * height + f"\x1b7\x1b[1;{rows - height}r\x1b8\x1b[{height}A")

    def _write(self, text: str) -> None:
        rest = text.encode("utf-8", "replace")
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]


def _size() -> tuple[int, int]:
    """Return columns and rows of the terminal on standard error."""
    try:
        size = os.get_terminal_size(sys.stderr.fileno())
    except (OSError, ValueError):
        size = shutil.get_terminal_size()
    return size.columns, size.lines
