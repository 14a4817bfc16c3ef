"""Fragments of the live page that are updated separately: HTML by element id, figures by name."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from babysit.analysis.extent import steps
from babysit.analysis.trials import FINALISTS, best_of, best_trial, ranked
from babysit.plots.catalogue import COMPARED, PLOTS, Plot
from babysit.plots.formatting import number, percent
from babysit.plots.points import finite, smooth
from babysit.records.curves import LEARNING_RATE, TRAIN_ACCURACY, TRAIN_LOSS, VAL_ACCURACY, VAL_LOSS
from babysit.records.run import Run
from babysit.records.trial import TrialState
from babysit.reporting import page, summary
from babysit.reporting.compare import Comparison
from babysit.reporting.compare_html import columns
from babysit.reporting.live.templates import render
from babysit.reporting.sparkline import sparkline
from babysit.reporting.verdict import verdict
from babysit.store.summary import RunSummary

_BEST_TRIALS = 10
# The loss of the last batch is mostly noise: a tile shows the mean over the smoothing window of the figure.
_SHARE_OF_CURVE = 30


class Stage(NamedTuple):
    """Progress of one stage of a search."""

    name: str
    trials: int
    running: int
    stopped: int
    best: float | None
    ranges: tuple[str, ...]


def of_runs(summaries: Sequence[RunSummary], *, total: int) -> dict[str, str]:
    """Render the list of runs; `total` is the number of runs in the store."""
    return {
        "rows": render("rows.html", runs=summaries),
        "count": render("count.html", runs=summaries, total=total),
    }


def of_problem(words: str) -> dict[str, str]:
    """Render the reason why the page cannot be updated."""
    return {"problem": render("problem.html", problem=words)}


def of_run(run: Run) -> dict[str, str]:
    """Render all fragments of one run."""
    return {
        "verdict": render("verdict.html", verdict=verdict(run), run=run),
        "tiles": render("tiles.html", tiles=tiles(run)),
        "findings": render(
            "findings.html",
            causes=summary.causes(run, problems=True),
            notes=summary.causes(run, problems=False),
            sparkline=functools.partial(sparkline, run),
        ),
        "search": render("search.html", stages=stages(run), trials=ranked(run.trials)[:_BEST_TRIALS], run=run),
        "about": render("about.html", run=run),
        "overhead": render("overhead.html", run=run),
    }


def of_comparison(comparison: Comparison) -> dict[str, str]:
    """Render the fragments of a comparison."""
    context = {"comparison": comparison, "columns": columns(comparison)}
    return {
        "head": render("comparison_head.html", **context),
        "sides": render("comparison_body.html", **context),
    }


def figures(subject: Run | Comparison) -> dict[str, str]:
    """Return the figures of a run or a comparison as JSON by name, with their order, title, text and specification."""
    plots: Sequence[Plot] = COMPARED if isinstance(subject, Comparison) else PLOTS
    shown = subject.runs if isinstance(subject, Comparison) else subject
    order = {plot.name: index for index, plot in enumerate(plots)}
    return {
        panel.name: json.dumps({"place": order[panel.name], **panel._asdict()}, separators=(",", ":"), allow_nan=False)
        for panel in page.panels(plots, shown)
    }


def tiles(run: Run) -> list[tuple[str, str]]:
    """Return the key figures of a run as pairs of name and value."""
    pairs = [("Steps", f"{steps(run):,}")] if steps(run) else []
    for name, words in ((TRAIN_LOSS, "Training loss"), (VAL_LOSS, "Validation loss"), (LEARNING_RATE, "Learning rate")):
        line = smooth_end(run, name, averaged=name == TRAIN_LOSS)
        pairs += [(words, number(line))] if line is not None else []
    for name, words in ((TRAIN_ACCURACY, "Training accuracy"), (VAL_ACCURACY, "Validation accuracy")):
        line = smooth_end(run, name, averaged=name == TRAIN_ACCURACY)
        pairs += [(words, percent(line))] if line is not None else []
    if run.trials:
        best = best_trial(run)
        pairs += [
            ("Trials", f"{len(run.trials):,}"),
            *([("Best trial", number(best.metric, 4))] if best else []),
        ]
    pairs += [pair for pair in summary.results(run) if pair[0].startswith("Test")]
    if run.overhead is not None and run.overhead.share > 0:
        pairs.append(("Monitoring overhead", percent(run.overhead.share)))
    return pairs


def smooth_end(run: Run, name: str, *, averaged: bool) -> float | None:
    """Return the last value of a curve, or the mean of its last values; None if it is empty."""
    series = run.curves.get(name)
    if len(series) and not math.isfinite(float(np.asarray(series.values)[-1])):
        return float(np.asarray(series.values)[-1])
    line = finite(series)
    if averaged:
        line = smooth(line, len(line) // _SHARE_OF_CURVE)
    return float(line.values[-1]) if len(line) else None


def stages(run: Run) -> list[Stage]:
    """Return the stages of a search in order."""
    names = dict.fromkeys([bounds.stage for bounds in run.ranges] + [trial.stage for trial in run.trials])
    return [_stage(run, name) for name in names]


def _stage(run: Run, name: str) -> Stage:
    trials = [trial for trial in run.trials if trial.stage == name]
    ranges = tuple(
        f"{bounds.parameter} {number(bounds.low)} to {number(bounds.high)}"
        for bounds in run.ranges
        if bounds.stage == name
    )
    running = sum(trial.state is TrialState.RUNNING for trial in trials)
    stopped = sum(trial.state is TrialState.PRUNED for trial in trials)
    best = best_of(run.trials if name == FINALISTS else trials)
    return Stage(name, len(trials), running, stopped, best.metric if best else None, ranges)
