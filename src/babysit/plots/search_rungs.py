"""Successive-halving promotions: the metric of every trial at each rung, and where it ended."""

from __future__ import annotations

import math
from typing import NamedTuple

import altair as alt

from babysit.analysis.trials import best_of
from babysit.plots.formatting import count, number
from babysit.plots.names import short
from babysit.plots.points import rows
from babysit.plots.theme import BLUE, GREY, VERMILION, Figure, themed
from babysit.records.run import Run
from babysit.records.trial import Trial, TrialState


class Numbers(NamedTuple):
    """Epochs and metric of each trial at the rungs it reached; the stage shown, and its best trial."""

    paths: dict[int, tuple[tuple[int, float], ...]]
    ended: dict[int, str]  # "complete", or the reason for stopping
    stage: str
    best: int


def numbers(run: Run) -> Numbers | None:
    """Return the first stage with more than one rung, or None."""
    for stage in dict.fromkeys(trial.stage for trial in run.trials):
        trials = [trial for trial in run.trials if trial.stage == stage]
        paths = {trial.number: path for trial in trials if (path := _path(trial))}
        if len(paths) < 2 or max(len(path) for path in paths.values()) < 2:
            continue
        last = {number: path[-1] for number, path in paths.items()}
        best = best_of([trial for trial in trials if trial.number in paths])
        ended = {
            trial.number: "complete" if trial.state is TrialState.COMPLETE else short(trial.reason, 60)
            for trial in trials
            if trial.number in paths
        }
        return Numbers(paths, ended, stage, best.trial.number if best else max(last, key=lambda number: last[number]))
    return None


def describe(numbers: Numbers) -> str:
    """Describe the figure in one sentence."""
    rungs = sorted({epochs for path in numbers.paths.values() for epochs, _ in path})
    reached = [sum(any(epochs == rung for epochs, _ in path) for path in numbers.paths.values()) for rung in rungs]
    listed = ", ".join(f"{trials} to epoch {rung}" for trials, rung in zip(reached, rungs, strict=True))
    best = numbers.paths[numbers.best][-1][1]
    return f"{count(len(numbers.paths), 'trial')} of the {numbers.stage} stage: {listed}. Best: {number(best, 4)}."


def draw(numbers: Numbers) -> Figure:
    """Draw one line per trial, the best one on top."""
    others = {trial: path for trial, path in numbers.paths.items() if trial != numbers.best}
    rungs = sorted({epochs for path in numbers.paths.values() for epochs, _ in path})
    axis = alt.Axis(title="epochs trained", values=rungs, format="d")
    x = alt.X("epochs:Q", axis=axis, scale=alt.Scale(nice=False, padding=8))
    y = alt.Y("metric:Q", axis=alt.Axis(title="metric", format=".3~g"), scale=alt.Scale(zero=False, padding=8))
    tooltip = [alt.Tooltip("trial:Q"), alt.Tooltip("metric:Q", format=".4~g"), alt.Tooltip("ended:N")]
    layers: list[Figure] = []
    for paths, colour, width in ((others, GREY, 1.0), ({numbers.best: numbers.paths[numbers.best]}, VERMILION, 2.4)):
        if not paths:
            continue
        data = _data(paths, numbers.ended)
        detail = alt.Detail("trial:Q")
        layers.append(alt.Chart(data).mark_line(color=colour, strokeWidth=width).encode(x=x, y=y, detail=detail))
        last = _data({trial: path[-1:] for trial, path in paths.items()}, numbers.ended)
        shown = colour if colour == VERMILION else BLUE
        dots = alt.Chart(last).mark_point(filled=True, size=45, color=shown, opacity=1)
        layers.append(dots.encode(x=x, y=y, tooltip=tooltip))
    return themed(alt.layer(*layers))


def _path(trial: Trial) -> tuple[tuple[int, float], ...]:
    return tuple(
        (rung.epochs, rung.metric) for rung in trial.rungs if rung.metric is not None and math.isfinite(rung.metric)
    )


def _data(paths: dict[int, tuple[tuple[int, float], ...]], ended: dict[int, str]) -> alt.InlineData:
    points = [(trial, epochs, metric) for trial, path in paths.items() for epochs, metric in path]
    return rows(
        trial=[trial for trial, _, _ in points],
        epochs=[epochs for _, epochs, _ in points],
        metric=[metric for _, _, metric in points],
        ended=[ended[trial] for trial, _, _ in points],
    )
