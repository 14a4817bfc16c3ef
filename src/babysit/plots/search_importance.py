"""Hyperparameter importance: share of the metric's variance over trials explained by each hyperparameter alone."""

from __future__ import annotations

from typing import NamedTuple

import altair as alt
import numpy as np

from babysit.plots.formatting import percent
from babysit.plots.names import distinct
from babysit.plots.points import rows
from babysit.plots.theme import BLUE, Figure, themed
from babysit.records.arrays import Array
from babysit.records.run import Run
from babysit.records.trial import Trial, TrialState

# A parabola has three free parameters; with fewer than eight finished trials it would fit noise.
_FEWEST_TRIALS = 8


class Numbers(NamedTuple):
    """Share of the variance of the metric explained (0 to 1) by hyperparameter, largest first."""

    shares: dict[str, float]
    trials: int


def numbers(run: Run) -> Numbers | None:
    """Return the importance of each hyperparameter, or None with too few finished trials or nothing that varies."""
    done = [
        trial
        for trial in run.trials
        if trial.state == TrialState.COMPLETE and trial.metric is not None and np.isfinite(trial.metric)
    ]
    if len(done) < _FEWEST_TRIALS:
        return None
    metric = np.array([trial.metric for trial in done], dtype="float64")
    names = list(dict.fromkeys(name for trial in done for name in trial.parameters))
    shares = {
        label: share
        for name, label in zip(names, distinct(names, 24), strict=True)
        if (share := _explained(done, name, metric)) is not None
    }
    if not shares:
        return None
    return Numbers(dict(sorted(shares.items(), key=lambda item: -item[1])[:12]), len(done))


def describe(numbers: Numbers) -> str:
    """Describe the figure in one sentence."""
    listed = ", ".join(f"{name} {percent(share)}" for name, share in list(numbers.shares.items())[:4])
    return f"Share of the metric's variance over {numbers.trials:,} finished trials that each explains alone: {listed}."


def draw(numbers: Numbers) -> Figure:
    """Draw one bar per hyperparameter."""
    data = rows(
        name=list(numbers.shares), share=list(numbers.shares.values()), words=[*map(percent, numbers.shares.values())]
    )
    names = alt.Y("name:N", sort=list(numbers.shares), axis=alt.Axis(title=None, ticks=False, domain=False))
    axis = alt.Axis(title="share of variance explained", format=".0%", tickCount=5)
    share = alt.X("share:Q", scale=alt.Scale(domain=[0, 1]), axis=axis)
    bars = alt.Chart(data).mark_bar(color=BLUE, height={"band": 0.6}).encode(x=share, y=names)
    words = alt.Chart(data).mark_text(align="left", dx=5).encode(x=share, y=names, text="words:N")
    return themed(alt.layer(bars, words), height=max(60, 34 * len(numbers.shares)))


def _explained(trials: list[Trial], name: str, metric: Array) -> float | None:
    """Return the adjusted R2 of a parabola in the (log) value, or of the category means; None without variation."""
    values = [trial.parameters.get(name) for trial in trials]
    if len(set(values)) < 2 or float(metric.var()) == 0:
        return None
    numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if numeric and len(set(values)) > 3:
        x = np.array(values, dtype="float64")
        if not np.isfinite(x).all():
            return None
        if x.min() > 0 and x.max() / x.min() > 10:
            x = np.log10(x)
        # The best value is usually inside the range, so the metric rises and falls: a line would miss it.
        x = (x - x.mean()) / (x.std() or 1.0)
        fitted, free = np.polyval(np.polyfit(x, metric, 2), x), 3
    else:
        keys = np.array([repr(value) for value in values])
        kinds, group = np.unique(keys, return_inverse=True)
        means = np.array([metric[group == index].mean() for index in range(len(kinds))])
        fitted, free = means[group], len(kinds)
    if len(metric) <= free:
        return None
    unexplained = float(((metric - fitted) ** 2).sum() / ((metric - metric.mean()) ** 2).sum())
    return max(0.0, 1 - unexplained * (len(metric) - 1) / (len(metric) - free))
