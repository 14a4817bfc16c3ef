"""How one stage's results set the next stage's ranges: narrowed around the best, moved when the best lie at an edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from scipy.stats import rankdata
from scipy.stats import t as student_t

from babysit.records.trial import Trial, TrialState
from babysit.tuning.space import Choice, Dimension, Scale, valid

# Where no other source is named, the numbers here were set so that the lecture's two published tables (CS231n 2017,
# lecture 6, slides "Hyperparameter Optimization") come out as the lecturer read them: the learning rate must move up
# after both stages, and regularization is left alone in the second.
_TOP_SHARE: Final = 0.2  # the best fifth speaks for a stage,
_TOP_LEAST: Final = 3  # and at least three trials
_BEST_AT_EDGE: Final = 0.1  # the best trial within this share of the range from its end, or the outermost one tried,
_TOP_AT_EDGE: Final = 0.25  # or the median of the best ones within this share and the very end not tried,
_RANK_CORRELATION: Final = 0.5  # counts only when the metric rises toward that end: else the best lies there by chance
_INFEASIBLE: Final = 0.5  # share of stopped trials from which on a region is known to be bad
_NARROWEST: Final = 1 / 3  # the lecture's own step: three factors of ten for the rate, then one
_MARGIN: Final = 1.25  # around the best trials, since three or four of them do not mark the end of what is good
_WHOLE: Final = 0.9  # a narrowed range of at least this share of the old one is the old one


@final
@dataclass(frozen=True, kw_only=True)
class Placed:
    """A stage's trials along one range, as positions from 0 (low end) to 1 (high end)."""

    finished: tuple[float, ...]  # best metric first
    metrics: tuple[float, ...]
    stopped: tuple[float, ...]

    @property
    def top(self) -> tuple[float, ...]:
        """Where the best fifth lies, the best first."""
        return self.finished[: max(_TOP_LEAST, math.ceil(_TOP_SHARE * len(self.finished)))]

    @property
    def median(self) -> float:
        """The middle of the best fifth."""
        return float(np.median(self.top))

    @property
    def correlation(self) -> float:
        """Spearman's rank correlation of position and metric; 0 when there is too little to tell."""
        if len(self.finished) < 4 or len(set(self.metrics)) < 2 or len(set(self.finished)) < 2:
            return 0.0
        return float(np.corrcoef(rankdata(self.finished), rankdata(self.metrics))[0, 1])

    @property
    def mirrored(self) -> Placed:
        """The same with the two ends exchanged."""
        return Placed(
            finished=tuple(1 - position for position in self.finished),
            metrics=self.metrics,
            stopped=tuple(1 - position for position in self.stopped),
        )


Edge = Literal["", "low", "high"]


def place(name: str, scale: Scale, trials: Sequence[Trial]) -> Placed:
    """The trials of one stage along the range of one hyperparameter."""
    where = [(scale.position(float(trial.parameters[name])), trial) for trial in trials if name in trial.parameters]
    finished = sorted(
        ((position, trial.metric) for position, trial in where if trial.metric is not None), key=lambda pair: -pair[1]
    )
    return Placed(
        finished=tuple(position for position, _ in finished),
        metrics=tuple(metric for _, metric in finished),
        stopped=tuple(position for position, trial in where if diverged(trial)),
    )


def diverged(trial: Trial) -> bool:
    """The trial was stopped because of its cost (not by the user, nor by an error in the model)."""
    return trial.state == TrialState.PRUNED and trial.reason.startswith("cost ")


def edge(placed: Placed) -> Edge:
    """The end of the range beyond which the optimum seems to lie, or "".

    The best trials lie at an end, the metric rises toward it, and what lies there is not known to diverge.
    """
    if _at_the_high_end(placed):
        return "high"
    return "low" if _at_the_high_end(placed.mirrored) else ""


def _at_the_high_end(placed: Placed) -> bool:
    if not placed.finished or placed.correlation <= _least_correlation(len(placed.finished)):
        return False
    best, outermost = placed.finished[0], max(placed.finished)
    # Where the very end was tried and others are better, the optimum lies within.
    near_the_end = placed.median > 1 - _TOP_AT_EDGE and outermost <= 1 - _BEST_AT_EDGE
    if best <= 1 - _BEST_AT_EDGE and best < outermost and not near_the_end:
        return False
    # The outer tenth, or all that lies above the best ones.
    border = min(1 - _BEST_AT_EDGE, max(placed.top))
    stopped = sum(position > border for position in placed.stopped)
    finished = sum(position > border for position in placed.finished)
    return stopped == 0 or stopped < _INFEASIBLE * (stopped + finished)


def _least_correlation(trials: int) -> float:
    """The rank correlation that chance exceeds in one of a hundred cases, and never less than one half."""
    quantile = float(student_t.ppf(0.99, trials - 2)) if trials > 2 else math.inf
    by_chance = quantile / math.sqrt(trials - 2 + quantile**2) if math.isfinite(quantile) else 1.0
    return max(_RANK_CORRELATION, by_chance)


def next_dimension(name: str, dimension: Dimension, trials: Sequence[Trial]) -> tuple[Dimension, str]:
    """The range of the next stage, and in words why it is what it is."""
    if isinstance(dimension, Choice):
        return _next_choice(name, dimension, trials)
    placed = place(name, dimension, trials)
    if not placed.finished:
        return _after_nothing_finished(name, dimension, placed)
    if side := edge(placed):
        return _moved(name, dimension, placed, side)
    return _narrowed(dimension, placed)


def _half_width(placed: Placed) -> float:
    reach = max(abs(position - placed.median) for position in placed.top)
    return max(_NARROWEST / 2, _MARGIN * reach)


def _narrowed(scale: Scale, placed: Placed) -> tuple[Scale, str]:
    half = _half_width(placed)
    low, high = max(placed.median - half, 0.0), min(placed.median + half, 1.0)
    ceiling, remark = 1.0, ""
    too_high = [position for position in placed.stopped if position > max(placed.finished)]
    # Two, because one may have been stopped for another hyperparameter's sake.
    if len(too_high) >= 2 and min(too_high) < high:
        ceiling = min(too_high)
        remark = f"; from {scale.value(ceiling):.2g} upwards {len(too_high)} of {len(too_high)} trials diverged"
    high = min(high, ceiling)
    count, top = len(placed.finished), len(placed.top)
    if high - low >= _WHOLE:
        return scale, f"kept: the best {top} of {count} trials lie all over it, so it matters little here"
    ends = f"{scale.value(min(placed.top)):.2g} to {scale.value(max(placed.top)):.2g}"
    return _between(scale, low, high), f"narrowed around the best {top} of {count} trials ({ends}){remark}"


def _moved(name: str, scale: Scale, placed: Placed, side: Literal["low", "high"]) -> tuple[Scale, str]:
    """Keeps what was best and extends past the end by half the new width."""
    half = _half_width(placed)
    if side == "high":
        low, high = min(placed.median - half, *placed.top), 1 + half
    else:
        low, high = -half, max(placed.median + half, *placed.top)
    moved = _within(_between(scale, low, high), name, scale)
    if moved.low == scale.low and moved.high == scale.high:
        return scale, f"kept: the best lie at its {side} end, and {name} cannot go beyond"
    where, way = ("upper", "higher") if side == "high" else ("lower", "lower")
    return moved, (
        f"moved {'up' if side == 'high' else 'down'}: the best of {scale.low:.2g} to {scale.high:.2g} lie toward its "
        f"{where} end (best {scale.value(placed.finished[0]):.2g}, rank correlation {placed.correlation:+.2f}), "
        f"so a {way} value may be better still"
    )


def _after_nothing_finished(name: str, scale: Scale, placed: Placed) -> tuple[Scale, str]:
    """All diverged: the rate goes below the lowest tried, as wide as before; other ranges had no chance to speak."""
    if name == "rate" and placed.stopped and not scale.linear:
        lowest = min(placed.stopped)
        return _between(scale, lowest - 1, lowest), (
            f"moved down: all {len(placed.stopped)} trials diverged, even at {scale.value(lowest):.2g}"
        )
    return scale, "kept: no trial finished, so nothing is known of it"


def _next_choice(name: str, choice: Choice, trials: Sequence[Trial]) -> tuple[Choice, str]:
    """Drops the values that no trial of the better half has."""
    finished = sorted(
        (trial for trial in trials if trial.metric is not None and name in trial.parameters),
        key=lambda trial: -(trial.metric or 0.0),
    )
    better = {trial.parameters[name] for trial in finished[: math.ceil(len(finished) / 2)]}
    tried = {trial.parameters[name] for trial in finished}
    # A value that was never tried stays: nothing is known of it.
    left = tuple(value for value in choice.values if value in better or value not in tried)
    if len(left) == len(choice.values) or not better:
        return choice, ""
    dropped = ", ".join(str(value) for value in choice.values if value not in left)
    return Choice(left), f"dropped {dropped}: no trial of the better half has it"


def _between(scale: Scale, low: float, high: float) -> Scale:
    """The part of a scale between two positions; a position that is an end keeps that end's exact number."""
    return Scale(
        scale.low if low == 0 else scale.value(low),
        scale.high if high == 1 else scale.value(high),
        linear=scale.linear,
    )


def _within(moved: Scale, name: str, before: Scale) -> Scale:
    """A moved scale inside what its name can mean; one that began at or above zero does not go below it."""
    least, most = valid(name)
    if before.low >= 0:
        least = max(least, 0.0)
    return Scale(max(moved.low, least), min(moved.high, most), linear=moved.linear)
