"""Comparison of runs as text: one column per run, then the differences."""

from __future__ import annotations

import io
from collections.abc import Sequence

from rich.box import SIMPLE
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from babysit.plots.names import clean
from babysit.reporting.compare import Comparison, name_of
from babysit.reporting.diff import Row


def compare_text(comparison: Comparison, *, width: int = 100) -> str:
    """Return the comparison as plain text of at most `width` columns."""
    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False, emoji=False
    )
    with console.capture() as capture:
        console.print(compare_renderable(comparison))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def compare_renderable(comparison: Comparison) -> RenderableType:
    """Return the comparison for a rich console."""
    runs = Table.grid(padding=(0, 2))
    for label, run in zip(comparison.labels, comparison.runs, strict=True):
        runs.add_row(Text(label, style="bold"), Text(clean(name_of(run))))
    parts: list[RenderableType] = [Text(comparison.sentence, style="bold"), Text(), runs, Text()]
    parts += _section("Results", comparison.verdicts + comparison.results, comparison.labels)
    if any(row.best is not None for row in comparison.results):
        parts += [Text("* best", style="dim"), Text()]
    for change in comparison.changes:
        if change.rows:
            parts += _section(f"Differences: {change.part}", change.rows, comparison.labels)
            if change.left_out:
                parts += [Text(f"  and {change.left_out:,} more", style="dim"), Text()]
    same = [change.part for change in comparison.changes if not change.rows and change.known]
    unknown = [change.part for change in comparison.changes if not change.known]
    if same:
        parts.append(Text(f"Identical: {', '.join(same)}."))
    if unknown:
        parts.append(Text(f"Not recorded for every run: {', '.join(unknown)}."))
    parts += [Text(clean(sentence), style="dim") for sentence in comparison.unrecorded]
    parts += [Padding(Text(f"! {caution}", style="yellow"), (0, 0)) for caution in comparison.cautions]
    return Group(*parts)


def _section(title: str, rows: Sequence[Row], labels: Sequence[str]) -> list[RenderableType]:
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False)
    table.add_column("")
    for label in labels:
        table.add_column(label, overflow="fold")
    for row in rows:
        cells = [
            Text(clean(value) + (" *" if index == row.best else ""), style="bold" if index == row.best else "")
            for index, value in enumerate(row.values)
        ]
        table.add_row(Text(clean(row.name), style="dim"), *cells)
    return [Text(title, style="bold underline"), table, Text()]
