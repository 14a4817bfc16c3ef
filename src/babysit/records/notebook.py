"""Render records as short HTML for notebooks: one table, every text escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence


def table(title: str, rows: Iterable[Sequence[object]]) -> str:
    """Return an HTML table with a caption; the first cell of each row is its header."""
    lines = []
    for first, *others in rows:
        cells = "".join(f"<td style='text-align:left'>{html.escape(str(cell))}</td>" for cell in others)
        lines.append(f"<tr><th style='text-align:left'>{html.escape(str(first))}</th>{cells}</tr>")
    caption = f"<caption style='text-align:left'><b>{html.escape(title)}</b></caption>"
    return f"<table>{caption}{''.join(lines)}</table>"
