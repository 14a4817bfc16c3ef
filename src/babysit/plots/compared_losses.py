"""Losses of several runs in one figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import altair as alt
import numpy as np

from babysit.plots import markers
from babysit.plots.formatting import number, percent
from babysit.plots.points import Line, downsample, finite, rows, smooth
from babysit.plots.theme import COLOURS, Figure, log_axis, log_scale, step_axis, themed
from babysit.records.curves import curve_name
from babysit.records.run import Run

# Labels of the compared runs; more cannot be distinguished by color.
LABELS: Final = ("A", "B", "C", "D", "E", "F")
_SPLITS: Final = ("train", "validation")
_DASHES: Final = {"train": [1, 0], "validation": [6, 3]}
# A loss that decreases by less than this factor is easier to read on a linear axis (as in losses.py).
_LOG_FROM = 20.0


class Numbers(NamedTuple):
    """One line per run and split of the metric."""

    metric: str
    lines: dict[tuple[str, str], Line]  # by label of the run and split
    low: float
    high: float


def numbers(runs: Sequence[Run]) -> Numbers | None:
    """Return the losses of the runs, or None when fewer than two recorded one."""
    return of_metric(runs, "loss")


def of_metric(runs: Sequence[Run], metric: str) -> Numbers | None:
    """Return the smoothed and downsampled curves of a metric; None when fewer than two runs recorded one."""
    lines = {}
    for label, run in zip(LABELS, runs, strict=False):
        for split in _SPLITS:
            line = finite(run.curves.get(curve_name(split, metric)))
            if len(line):
                lines[label, split] = downsample(
                    smooth(line, max(1, len(line) // 30)) if split == "train" else line, 200
                )
    if len({label for label, _ in lines}) < 2:
        return None
    values = np.concatenate([line.values for line in lines.values()])
    # One exploding run must not flatten the others: the axis ends at ten times the largest initial loss.
    starts = [float(line.values[0]) for line in lines.values()]
    high = min(float(values.max()), 10 * max(starts)) if metric == "loss" and max(starts) > 0 else float(values.max())
    return Numbers(metric, lines, float(values.min()), high)


def describe(numbers: Numbers) -> str:
    """Describe where each line ends, in one sentence."""
    write = percent if numbers.metric == "accuracy" else number
    ends = [
        f"{label} {split} {write(float(line.values[-1]))} (step {int(line.steps[-1]):,})"
        for (label, split), line in numbers.lines.items()
    ]
    return f"Final {numbers.metric}: {', '.join(ends)}."


def draw(numbers: Numbers) -> Figure:
    """Draw one color per run, dashes for validation, and the label of the run at the end of its lines."""
    low, high = numbers.low, numbers.high
    if numbers.metric == "loss" and low > 0 and high / low >= _LOG_FROM:
        y = alt.Y("value:Q", scale=log_scale(low, high), axis=log_axis("loss (log)", low, high))
    else:
        room = 0.05 * ((high - low) or abs(high) or 1.0)
        # Accuracies end at 1; the labels of runs that reach it need half a line above.
        top = high + room if numbers.metric == "loss" else max(1.0, high)
        bottom = 0.0 if 0 <= low < 0.3 * high else low - room
        scale = alt.Scale(domain=[bottom, top], nice=numbers.metric == "loss", clamp=True)
        form = ".0%" if numbers.metric == "accuracy" else "~g"
        y = alt.Y("value:Q", scale=scale, axis=alt.Axis(title=numbers.metric, format=form))
    labels = [label for label in LABELS if any(label == known for known, _ in numbers.lines)]
    colour = alt.Color(
        "run:N", legend=alt.Legend(title=None, symbolType="stroke"), scale=alt.Scale(domain=labels, range=list(COLOURS))
    )
    splits = [split for split in _SPLITS if any(split == known for _, known in numbers.lines)]
    dash = alt.StrokeDash(
        "split:N", title=None, scale=alt.Scale(domain=splits, range=[_DASHES[split] for split in splits])
    )
    lines = alt.Chart(_data(numbers)).mark_line(strokeWidth=1.8, clip=True)
    ends = alt.Chart(_ends(numbers)).mark_text(align="left", dx=4, fontWeight=700, clip=False)
    hover = markers.hover({f"{label} {split}": line for (label, split), line in numbers.lines.items()}, y)
    return themed(
        alt.layer(
            lines.encode(x=step_axis(), y=y, color=colour, strokeDash=dash),
            ends.encode(x="step:Q", y=y, text="run:N", color=colour),
            *hover,
        ),
        height=280,
    )


def _data(numbers: Numbers) -> alt.InlineData:
    table = [
        (step, value, label, split)
        for (label, split), line in numbers.lines.items()
        for step, value in zip(line.steps.tolist(), line.values.tolist(), strict=True)
    ]
    columns = list(zip(*table, strict=True))
    return rows(step=list(columns[0]), value=list(columns[1]), run=list(columns[2]), split=list(columns[3]))


def _ends(numbers: Numbers) -> alt.InlineData:
    """Return the last point of each run's last line, for its label."""
    last = {label: line for (label, _), line in numbers.lines.items()}
    return rows(
        step=[int(line.steps[-1]) for line in last.values()],
        value=[float(line.values[-1]) for line in last.values()],
        run=list(last),
    )
