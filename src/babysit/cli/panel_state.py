"""State and lines of the live panel: loss, layer metrics, findings and overhead."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Sequence
from typing import Any, Final, final

import numpy as np
from rich.box import ASCII, ROUNDED
from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from babysit.plots.formatting import number, percent
from babysit.plots.names import display_name, short
from babysit.records.curves import (
    GRADIENT_NORM,
    LEARNING_RATE,
    TRAIN_ACCURACY,
    TRAIN_LOSS,
    VAL_ACCURACY,
    VAL_LOSS,
    Curves,
)
from babysit.records.finding import Finding
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Overhead

LEAST_COLUMNS: Final = 30
# Leave at least as many lines for the script as for the panel.
_SMALL, _LARGE = 5, 7
LEAST_ROWS: Final = 12
_LARGE_ROWS: Final = 20
# About the width of the widest sparkline; at twice as many points, neighbours are averaged.
_POINTS: Final = 256
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_PLAIN: Final = ".:-=+*#@"
_SEVERITY: Final = {"ERROR": "bold red", "WARNING": "yellow"}
_LAYER_METRICS: Final = ("update_ratio", "gradient_rms", "dead", "saturated", "nonfinite")


def panel_height(columns: int, rows: int) -> int:
    """Return the height of the panel for this terminal size; 0 if it would leave too few lines to the script."""
    if columns < LEAST_COLUMNS or rows < LEAST_ROWS:
        return 0
    return _LARGE if rows >= _LARGE_ROWS else _SMALL


@final
class PanelState:
    """Rolling state of the panel, in bounded memory."""

    def __init__(self, name: str, started: float) -> None:
        self.name = name
        self.started = started
        self.steps = 0
        self.last: dict[str, float] = {}
        self.losses: list[float] = []
        self.layer_metrics: dict[str, np.ndarray[Any, Any]] = {}
        self.findings: tuple[Finding, ...] | None = None
        self.overhead: Overhead | None = None
        self._waiting: list[float] = []
        self._each = 1  # losses averaged per point of `losses`

    def update(self, curves: Curves | None, layer_metrics: LayerMetrics | None, parts: dict[str, Any]) -> None:
        """Update the state with new records."""
        for name, series in (curves.series if curves else {}).items():
            if len(series):
                self.last[name] = float(series.values[-1])
                self.steps = max(self.steps, int(series.steps[-1]) + 1)
        if curves is not None:
            self._add_losses(curves.get(TRAIN_LOSS).values.tolist())
        if layer_metrics is not None and len(layer_metrics.steps):
            self.layer_metrics |= {
                name: layer_metrics.values[name][-1] for name in _LAYER_METRICS if name in layer_metrics.values
            }
        self.findings = parts.get("findings", self.findings)
        self.overhead = parts.get("overhead", self.overhead)

    def _add_losses(self, values: Sequence[float]) -> None:
        self._waiting += values
        complete = len(self._waiting) // self._each * self._each
        groups = [self._waiting[start : start + self._each] for start in range(0, complete, self._each)]
        self.losses += [_mean(group) for group in groups]
        del self._waiting[:complete]
        while len(self.losses) >= 2 * _POINTS:
            self._each *= 2
            self.losses = [_mean(self.losses[start : start + 2]) for start in range(0, len(self.losses), 2)]


def lines(state: PanelState, columns: int, rows: int, *, plain: bool = False) -> list[str]:
    """Render the lines of the panel at the width of the terminal; `plain` uses ASCII only."""
    height = panel_height(columns, rows)
    console = Console(
        file=io.StringIO(), width=columns, height=height, force_terminal=True, legacy_windows=False, highlight=False
    )
    body: list[RenderableType] = [_loss_line(state, columns - 4, plain=plain), _pairs(_numbers(state))]
    if height == _LARGE:
        body += [_pairs(_layer_metrics(state)), *_findings(state, most=2, plain=plain)]
    else:
        body += _findings(state, most=1, plain=plain)
    box = ASCII if plain else ROUNDED
    panel = Panel(
        Group(*body),
        title=Text(f" babysit {short(state.name, 40)} ", style="bold"),
        title_align="left",
        subtitle=_overhead(state) if height == _LARGE else None,
        subtitle_align="right",
        box=box,
        height=height,
        border_style="dim",
    )
    with console.capture() as capture:
        console.print(panel)
    drawn = capture.get()
    return (drawn.encode("ascii", "replace").decode() if plain else drawn).splitlines()[:height]


def sparkline(values: Sequence[float], width: int, *, plain: bool = False) -> str:
    """Draw values as one line of block characters, scaled from minimum to maximum; `!` marks non-finite values."""
    marks = _PLAIN if plain else _BLOCKS
    if not values or width < 1:
        return ""
    groups = np.array_split(np.asarray(values, dtype="float64"), min(width, len(values)))
    means = [_mean(group.tolist()) for group in groups]
    finite = [value for value in means if math.isfinite(value)]
    if not finite:
        return "!" * len(means)
    low, high = min(finite), max(finite)
    if low > 0 and high / low > 20:  # a wide range gets a log scale, as in the loss figure
        means = [math.log10(value) if math.isfinite(value) and value > 0 else value for value in means]
        low, high = math.log10(low), math.log10(high)
    scale = (len(marks) - 1) / (high - low) if high > low else 0.0
    return "".join(marks[round((value - low) * scale)] if math.isfinite(value) else "!" for value in means)


def _loss_line(state: PanelState, width: int, *, plain: bool) -> Text:
    now = state.last.get(TRAIN_LOSS)
    if now is None:
        return Text("waiting for the first step", style="dim")
    words = f" {number(state.losses[-1] if state.losses else now)}"
    if not math.isfinite(now):
        words = f" {number(now)}"
    drawn = sparkline(state.losses or [now], max(8, width - len(words) - 5), plain=plain)
    return Text.assemble(("loss ", "dim"), (drawn, "cyan"), (words, "bold" if math.isfinite(now) else "bold red"))


def _numbers(state: PanelState) -> list[tuple[str, str]]:
    seconds = int(time.monotonic() - state.started)
    pairs = [("step", f"{state.steps:,}"), ("time", f"{seconds // 60}:{seconds % 60:02d}")]
    for name, words, write in (
        (VAL_LOSS, "validation", number),
        (VAL_ACCURACY, "accuracy", percent),
        (LEARNING_RATE, "learning rate", number),
        (GRADIENT_NORM, "gradient norm", number),
    ):
        pairs += [(words, write(state.last[name]))] if name in state.last else []
    if VAL_ACCURACY not in state.last and TRAIN_ACCURACY in state.last:
        pairs.append(("batch accuracy", percent(state.last[TRAIN_ACCURACY])))
    return pairs


def _layer_metrics(state: PanelState) -> list[tuple[str, str]]:
    known = {name: row[np.isfinite(row)] for name, row in state.layer_metrics.items()}
    pairs = []
    if len(known.get("update_ratio", ())):
        pairs.append(("update", f"{number(float(np.median(known['update_ratio'])), 2)} of the weights"))
    if len(known.get("gradient_rms", ())):
        low, high = float(known["gradient_rms"].min()), float(known["gradient_rms"].max())
        pairs.append(("gradients", f"{number(low, 2)} to {number(high, 2)}"))
    for name in ("dead", "saturated"):
        if len(known.get(name, ())):
            pairs.append((name, f"up to {percent(float(known[name].max()))}"))
    broken = float(known["nonfinite"].sum()) if len(known.get("nonfinite", ())) else 0.0
    return [*pairs, ("not finite", number(broken))] if broken else pairs


def _findings(state: PanelState, *, most: int, plain: bool) -> list[RenderableType]:
    if state.findings is None:
        return [Text("not judged yet", style="dim")]
    own = [finding for finding in state.findings if finding.explained_by is None] or list(state.findings)
    if not own:
        return [Text("+ no problems found so far" if plain else "✓ no problems found so far", style="green")]
    shown: list[RenderableType] = []
    for index, finding in enumerate(own[:most]):
        rest = len(own) - most if index == most - 1 and len(own) > most else 0
        words = f"{'x' if plain else '✗'} {short(finding.code, 12)} {display_name(finding.name)}"
        text = Text.assemble((words, _SEVERITY.get(finding.severity, "")), no_wrap=True, overflow="ellipsis")
        text.append(f", and {rest} more" if rest else f"  {short(finding.message, 200)}", style="dim")
        shown.append(text)
    return shown


def _overhead(state: PanelState) -> Text | None:
    if state.overhead is None or not state.overhead.steps:
        return None
    share, budget = percent(state.overhead.share), percent(state.overhead.budget)
    return Text(f" monitoring overhead {share} of the step time (budget {budget}) ", style="dim")


def _pairs(pairs: Sequence[tuple[str, str]]) -> RenderableType:
    """Format names and values on one line, cut at the end if they do not fit."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, value in pairs:
        text.append(f"{name} ", style="dim").append(f"{value}   ")
    grid = Table.grid()
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(text)
    return grid


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
