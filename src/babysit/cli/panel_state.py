"""What the live panel says: loss, layer metrics, findings and cost, in as many lines as the terminal has room for."""

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
# The panel and as much again for the script, and a few lines more.
_SMALL, _LARGE = 5, 7
LEAST_ROWS: Final = 12
_LARGE_ROWS: Final = 20
# About as many as the widest sparkline has places; when twice as many have come, neighbours are joined.
_POINTS: Final = 256
_BLOCKS: Final = "▁▂▃▄▅▆▇█"
_PLAIN: Final = ".:-=+*#@"
_SEVERITY: Final = {"ERROR": "bold red", "WARNING": "yellow"}
_VITALS: Final = ("update_ratio", "gradient_rms", "dead", "saturated", "nonfinite")


def panel_height(columns: int, rows: int) -> int:
    """How many lines the panel takes of a terminal of this size; 0 where it would leave the script too few."""
    if columns < LEAST_COLUMNS or rows < LEAST_ROWS:
        return 0
    return _LARGE if rows >= _LARGE_ROWS else _SMALL


@final
class PanelState:
    """What has passed by so far, in bounded memory however long the training."""

    def __init__(self, name: str, began: float) -> None:
        self.name = name
        self.began = began
        self.steps = 0
        self.last: dict[str, float] = {}
        self.losses: list[float] = []
        self.layer_metrics: dict[str, np.ndarray[Any, Any]] = {}
        self.findings: tuple[Finding, ...] | None = None
        self.overhead: Overhead | None = None
        self._waiting: list[float] = []
        self._each = 1  # losses behind one point of `losses`

    def take(self, curves: Curves | None, layer_metrics: LayerMetrics | None, parts: dict[str, Any]) -> None:
        """What the watch sent."""
        for name, series in (curves.series if curves else {}).items():
            if len(series):
                self.last[name] = float(series.values[-1])
                self.steps = max(self.steps, int(series.steps[-1]) + 1)
        if curves is not None:
            self._add_losses(curves.get(TRAIN_LOSS).values.tolist())
        if layer_metrics is not None and len(layer_metrics.steps):
            self.layer_metrics |= {
                name: layer_metrics.values[name][-1] for name in _VITALS if name in layer_metrics.values
            }
        self.findings = parts.get("findings", self.findings)
        self.overhead = parts.get("overhead", self.overhead)

    def _add_losses(self, values: Sequence[float]) -> None:
        self._waiting += values
        whole = len(self._waiting) // self._each * self._each
        groups = [self._waiting[start : start + self._each] for start in range(0, whole, self._each)]
        self.losses += [_mean(group) for group in groups]
        del self._waiting[:whole]
        while len(self.losses) >= 2 * _POINTS:
            self._each *= 2
            self.losses = [_mean(self.losses[place : place + 2]) for place in range(0, len(self.losses), 2)]


def lines(seen: PanelState, columns: int, rows: int, *, plain: bool = False) -> list[str]:
    """The panel, line by line, as wide as the terminal; `plain` for terminals that show ASCII only."""
    height = panel_height(columns, rows)
    console = Console(
        file=io.StringIO(), width=columns, height=height, force_terminal=True, legacy_windows=False, highlight=False
    )
    body: list[RenderableType] = [_loss_line(seen, columns - 4, plain=plain), _pairs(_numbers(seen))]
    if height == _LARGE:
        body += [_pairs(_vital_signs(seen)), *_findings(seen, most=2, plain=plain)]
    else:
        body += _findings(seen, most=1, plain=plain)
    box = ASCII if plain else ROUNDED
    panel = Panel(
        Group(*body),
        title=Text(f" babysit {short(seen.name, 40)} ", style="bold"),
        title_align="left",
        subtitle=_cost(seen) if height == _LARGE else None,
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
    """The values as one line of blocks, the lowest to the highest; what is not finite is an `!`."""
    marks = _PLAIN if plain else _BLOCKS
    if not values or width < 1:
        return ""
    groups = np.array_split(np.asarray(values, dtype="float64"), min(width, len(values)))
    means = [_mean(group.tolist()) for group in groups]
    finite = [value for value in means if math.isfinite(value)]
    if not finite:
        return "!" * len(means)
    low, high = min(finite), max(finite)
    if low > 0 and high / low > 20:  # as the figure of the loss does: a far fall is read in decades
        means = [math.log10(value) if math.isfinite(value) and value > 0 else value for value in means]
        low, high = math.log10(low), math.log10(high)
    scale = (len(marks) - 1) / (high - low) if high > low else 0.0
    return "".join(marks[round((value - low) * scale)] if math.isfinite(value) else "!" for value in means)


def _loss_line(seen: PanelState, width: int, *, plain: bool) -> Text:
    now = seen.last.get(TRAIN_LOSS)
    if now is None:
        return Text("waiting for the first step", style="dim")
    words = f" {number(seen.losses[-1] if seen.losses else now)}"
    if not math.isfinite(now):
        words = f" {number(now)}"
    drawn = sparkline(seen.losses or [now], max(8, width - len(words) - 5), plain=plain)
    return Text.assemble(("loss ", "dim"), (drawn, "cyan"), (words, "bold" if math.isfinite(now) else "bold red"))


def _numbers(seen: PanelState) -> list[tuple[str, str]]:
    seconds = int(time.monotonic() - seen.began)
    told = [("step", f"{seen.steps:,}"), ("time", f"{seconds // 60}:{seconds % 60:02d}")]
    for name, words, write in (
        (VAL_LOSS, "validation", number),
        (VAL_ACCURACY, "accuracy", percent),
        (LEARNING_RATE, "learning rate", number),
        (GRADIENT_NORM, "gradient norm", number),
    ):
        told += [(words, write(seen.last[name]))] if name in seen.last else []
    if VAL_ACCURACY not in seen.last and TRAIN_ACCURACY in seen.last:
        told.append(("batch accuracy", percent(seen.last[TRAIN_ACCURACY])))
    return told


def _vital_signs(seen: PanelState) -> list[tuple[str, str]]:
    known = {name: row[np.isfinite(row)] for name, row in seen.layer_metrics.items()}
    told = []
    if len(known.get("update_ratio", ())):
        told.append(("update", f"{number(float(np.median(known['update_ratio'])), 2)} of the weights"))
    if len(known.get("gradient_rms", ())):
        low, high = float(known["gradient_rms"].min()), float(known["gradient_rms"].max())
        told.append(("gradients", f"{number(low, 2)} to {number(high, 2)}"))
    for name in ("dead", "saturated"):
        if len(known.get(name, ())):
            told.append((name, f"up to {percent(float(known[name].max()))}"))
    broken = float(known["nonfinite"].sum()) if len(known.get("nonfinite", ())) else 0.0
    return [*told, ("not finite", number(broken))] if broken else told


def _findings(seen: PanelState, *, most: int, plain: bool) -> list[RenderableType]:
    if seen.findings is None:
        return [Text("not judged yet", style="dim")]
    own = [finding for finding in seen.findings if finding.explained_by is None] or list(seen.findings)
    if not own:
        return [Text("+ nothing wrong so far" if plain else "✓ nothing wrong so far", style="green")]
    shown: list[RenderableType] = []
    for place, finding in enumerate(own[:most]):
        rest = len(own) - most if place == most - 1 and len(own) > most else 0
        words = f"{'x' if plain else '✗'} {short(finding.code, 12)} {display_name(finding.name)}"
        text = Text.assemble((words, _SEVERITY.get(finding.severity, "")), no_wrap=True, overflow="ellipsis")
        text.append(f", and {rest} more" if rest else f"  {short(finding.message, 200)}", style="dim")
        shown.append(text)
    return shown


def _cost(seen: PanelState) -> Text | None:
    if seen.overhead is None or not seen.overhead.steps:
        return None
    share, budget = percent(seen.overhead.share), percent(seen.overhead.budget)
    return Text(f" watching costs {share} of the step time (budget {budget}) ", style="dim")


def _pairs(pairs: Sequence[tuple[str, str]]) -> RenderableType:
    """Names and values on one line; what does not fit is left out from the end."""
    text = Text(no_wrap=True, overflow="ellipsis")
    for name, value in pairs:
        text.append(f"{name} ", style="dim").append(f"{value}   ")
    grid = Table.grid()
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_row(text)
    return grid


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
