"""Vertical event markers and hover values shared by the figures by step."""

from __future__ import annotations

from typing import Any, NamedTuple

import altair as alt
import numpy as np

from babysit.plots.points import Line, rows
from babysit.plots.theme import GREY, VERMILION, Figure
from babysit.records.run import Run

_LEVELS = 4
_LEVEL_PIXELS = 14
# Width of a page-wide figure and of one letter in pixels; only used to avoid overlapping labels.
_WIDTH, _LETTER = 880, 6.0
_MOST_FINDINGS = 5


class Marker(NamedTuple):
    """An event at one step; `bad` events are drawn in the color of findings."""

    step: int
    label: str
    bad: bool


class _PositionedMarker(NamedTuple):
    marker: Marker
    level: int
    rightward: bool


def of_findings(run: Run) -> tuple[Marker, ...]:
    """Return the first step of each finding, for the most important ones."""
    dated = [finding for finding in run.problems if finding.first_step is not None]
    return tuple(
        Marker(finding.first_step or 0, f"{finding.code} {finding.name}"[:40], bad=True)
        for finding in dated[:_MOST_FINDINGS]
    )


def draw(markers: tuple[Marker, ...], last: int) -> tuple[list[Figure], int]:
    """Draw dashed vertical lines with labels above the figure; return them and the height of the labels in pixels."""
    positioned = _position(markers, max(1, last))
    layers: list[Figure] = []
    for item in positioned:
        colour = VERMILION if item.marker.bad else GREY
        data = rows(step=[item.marker.step], label=[item.marker.label])
        height = -4 - _LEVEL_PIXELS * item.level
        upright = alt.Chart(data).mark_rule(color=colour, strokeDash=[4, 3], strokeWidth=1.3, opacity=0.9)
        words = alt.Chart(data).mark_text(
            align="left" if item.rightward else "right",
            dx=3 if item.rightward else -3,
            baseline="bottom",
            fontWeight=600 if item.marker.bad else "normal",
        )
        top = alt.value(height - 9)
        layers += [
            upright.encode(x="step:Q", y=top, y2=alt.value("height")),
            words.encode(x="step:Q", y=alt.value(height), text="label:N"),
        ]
    levels = max((item.level for item in positioned), default=-1) + 1
    return layers, 6 + _LEVEL_PIXELS * levels


def hover(lines: dict[str, Line], y: alt.Y) -> list[Figure]:
    """Show the values of all curves at the step nearest to the pointer."""
    steps = np.unique(np.concatenate([line.steps for line in lines.values()]))
    columns: dict[str, Any] = {"step": steps}
    for index, line in enumerate(lines.values()):
        columns[f"curve{index}"] = _at(line, steps)
    nearest = alt.selection_point(
        nearest=True, on="pointerover", clear="pointerout", fields=["step"], empty=False, encodings=[]
    )
    words = [alt.Tooltip("step:Q", title="step", format=",")] + [
        alt.Tooltip(f"curve{index}:Q", title=name, format=".4~g") for index, name in enumerate(lines)
    ]
    return [
        alt.Chart(rows(**columns))
        .mark_rule(color=GREY)
        .encode(x="step:Q", opacity=alt.when(nearest).then(alt.value(0.7)).otherwise(alt.value(0)), tooltip=words)
        .add_params(nearest)
    ]


def _at(line: Line, steps: Any) -> list[float | None]:
    """Return the linearly interpolated value of the curve at each step; None outside its range."""
    values = np.interp(steps, line.steps, line.values)
    inside = (steps >= line.steps[0]) & (steps <= line.steps[-1])
    return [float(value) if known else None for value, known in zip(values, inside, strict=True)]


def _position(markers: tuple[Marker, ...], last: int) -> list[_PositionedMarker]:
    """Assign each label to the lowest level without overlap; the last level takes the rest."""
    ends: list[list[tuple[float, float]]] = [[] for _ in range(_LEVELS)]
    positioned = []
    for marker in sorted(markers):
        at, width = marker.step / last * _WIDTH, len(marker.label) * _LETTER + 12
        rightward = at + width <= _WIDTH
        start, end = (at, at + width) if rightward else (at - width, at)
        free = (
            level for level, taken in enumerate(ends) if all(end <= left or start >= right for left, right in taken)
        )
        level = next(free, _LEVELS - 1)
        ends[level].append((start, end))
        positioned.append(_PositionedMarker(marker, level, rightward))
    return positioned
