"""Positions of the trials of a stage in the range of a hyperparameter, and whether the best lie at its edge."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np

from babysit.analysis.constant import Constant, none_beat
from babysit.analysis.trials import mean_loss
from babysit.records.trial import StageRange, Trial, TrialState

# Unless another source is named, these thresholds reproduce the interpretation of the two published tables of CS231n
# 2017, lecture 6 (slides "Hyperparameter Optimization"): raise the learning rate after both stages, and keep the
# regularization in the second.
_TOP_SHARE: Final = 0.2  # the best fifth represents a stage,
_TOP_LEAST: Final = 3  # with at least three trials
_BEST_AT_EDGE: Final = 0.1  # the best trial is within this fraction of the range from its end, or the outermost one,
_TOP_AT_EDGE: Final = 0.25  # or the median of the best ones is within this fraction and the end was not tried,
_RANK_CORRELATION: Final = 0.5  # and the metric rises toward that end: otherwise the best lies there by chance
_INFEASIBLE: Final = 0.5  # least fraction of diverged trials in an infeasible region,
_INFEASIBLE_LEAST: Final = 2  # and least number, because one may have diverged due to another hyperparameter
_ROOM: Final = 0.05  # an infeasible region this close to the end leaves no room beyond it


@final
@dataclass(frozen=True, kw_only=True)
class PositionedTrials:
    """The trials of a stage as positions in a range, from 0 (low end) to 1 (high end)."""

    finished: tuple[float, ...]  # best first
    metrics: tuple[float, ...]  # of the same trials; ranks if they were not trained equally long
    stopped: tuple[float, ...]  # diverged, in this stage or another, also outside of the range
    survived: tuple[float, ...] = ()  # did not diverge, in this stage or another
    blind: bool = False  # no trial beat a constant prediction: `metrics` are negated training losses

    @property
    def top(self) -> tuple[float, ...]:
        """Return the positions of the best fifth, best first."""
        return self.finished[: max(_TOP_LEAST, math.ceil(_TOP_SHARE * len(self.finished)))]

    @property
    def median(self) -> float:
        """Return the median position of the best fifth."""
        return float(np.median(self.top))

    @property
    def correlation(self) -> float:
        """Return Spearman's rank correlation of position and metric; 0 for fewer than four trials."""
        return rank_correlation(self.finished, self.metrics) if len(self.finished) >= 4 else 0.0

    @property
    def ceiling(self) -> float:
        """Return the position above the best trials beyond which most trials diverged; infinity if there is none."""
        for start in sorted(position for position in self.stopped if position > max(self.top)):
            diverged, survived = self.beyond(start)
            if diverged >= _INFEASIBLE_LEAST and diverged >= _INFEASIBLE * (diverged + survived):
                return start
        return math.inf

    @property
    def highest(self) -> float:
        """Return the highest position below the ceiling that did not diverge."""
        return max(position for position in (*self.finished, *self.survived) if position < self.ceiling)

    def beyond(self, start: float, until: float = math.inf) -> tuple[int, int]:
        """Return the numbers of diverged and other trials from that position on."""
        survived = self.survived or self.finished
        return (
            sum(start <= position <= until for position in self.stopped),
            sum(start <= position <= until for position in survived),
        )

    @property
    def mirrored(self) -> PositionedTrials:
        """Return the positions with both ends exchanged."""
        return PositionedTrials(
            finished=tuple(1 - position for position in self.finished),
            metrics=self.metrics,
            stopped=tuple(1 - position for position in self.stopped),
            survived=tuple(1 - position for position in self.survived),
            blind=self.blind,
        )


Edge = Literal["", "low", "high"]


def position_trials(
    name: str,
    position: Callable[[float], float],
    trials: Sequence[Trial],
    known: Sequence[Trial] = (),
    *,
    constant: Constant | None = None,
) -> PositionedTrials:
    """Return the positions of the trials of a stage in the range of a hyperparameter.

    Args:
        name: the hyperparameter.
        position: maps a value to its position, 0 at the low end and 1 at the high end.
        trials: of the stage.
        known: all trials of the search, which show where training diverges, also outside the range of the stage.
        constant: the constant prediction. If no trial beats it, the metrics are noise and trials are compared by
            training loss, which at first decreases faster at a higher learning rate.
    """
    finished = [trial for trial in trials if trial.metric is not None and name in trial.parameters]
    blind = none_beat(trials, constant)
    value = _negative_loss if blind else _metric
    finished.sort(key=lambda trial: (trial.level, value(trial)), reverse=True)
    halved = len({trial.level for trial in finished}) > 1
    ever = [trial for trial in (known or trials) if name in trial.parameters]

    def position_of(trial: Trial) -> float:
        return position(float(trial.parameters[name]))

    return PositionedTrials(
        finished=tuple(position_of(trial) for trial in finished),
        metrics=_ranks(finished, value) if halved else tuple(map(value, finished)),
        stopped=tuple(position_of(trial) for trial in ever if diverged(trial)),
        survived=tuple(position_of(trial) for trial in ever if trial.metric is not None),
        blind=blind,
    )


def _metric(trial: Trial) -> float:
    return trial.metric or 0.0


def _negative_loss(trial: Trial) -> float:
    return -mean_loss(trial)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Return Spearman's rank correlation; 0 if either is constant."""
    from scipy.stats import rankdata  # slow import: only when needed

    if len(set(one)) < 2 or len(set(other)) < 2:
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def position_in(stage_range: StageRange) -> Callable[[float], float]:
    """Return the map from a value to its position in the range of a stage: 0 at the low end, 1 at the high end."""
    if not stage_range.log or stage_range.low <= 0:
        return lambda value: (value - stage_range.low) / (stage_range.high - stage_range.low)
    width = math.log(stage_range.high / stage_range.low)
    return lambda value: math.log(max(value, 1e-300) / stage_range.low) / width


def value_in(stage_range: StageRange) -> Callable[[float], float]:
    """Return the map from a position to its value; the inverse of `position_in`."""
    if not stage_range.log or stage_range.low <= 0:
        return lambda position: stage_range.low + position * (stage_range.high - stage_range.low)
    return lambda position: stage_range.low * (stage_range.high / stage_range.low) ** position


def diverged(trial: Trial) -> bool:
    """Check whether the trial was stopped because of its loss (not by the user, nor by an error in the model)."""
    return trial.state == TrialState.PRUNED and trial.reason.startswith("loss ")


def edge(positions: PositionedTrials) -> Edge:
    """Return the end of the range beyond which the optimum probably lies, or "".

    The best trials lie at that end, the metric rises toward it, and the trials there do not mostly diverge.
    """
    if _at_the_high_end(positions):
        return "high"
    return "low" if _at_the_high_end(positions.mirrored) else ""


def _at_the_high_end(positions: PositionedTrials) -> bool:
    if not positions.finished or positions.correlation <= _least_correlation(len(positions.finished)):
        return False
    best, outermost = positions.finished[0], max(positions.finished)
    # If the end was tried and others are better, the optimum lies within the range.
    near_the_end = positions.median > 1 - _TOP_AT_EDGE and outermost <= 1 - _BEST_AT_EDGE
    if best <= 1 - _BEST_AT_EDGE and best < outermost and not near_the_end:
        return False
    # The outer tenth, or everything above the best trials.
    border = min(1 - _BEST_AT_EDGE, max(positions.top))
    stopped, survived = positions.beyond(math.nextafter(border, math.inf), until=1 + _ROOM)
    feasible = stopped == 0 or stopped < _INFEASIBLE * (stopped + survived)
    return feasible and positions.ceiling > 1 + _ROOM


def _least_correlation(trials: int) -> float:
    """Return the rank correlation that is exceeded by chance in 1 % of cases, at least 0.5."""
    from scipy.stats import t as student_t

    quantile = float(student_t.ppf(0.99, trials - 2)) if trials > 2 else math.inf
    by_chance = quantile / math.sqrt(trials - 2 + quantile**2) if math.isfinite(quantile) else 1.0
    return max(_RANK_CORRELATION, by_chance)


def _ranks(best_first: Sequence[Trial], value: Callable[[Trial], float]) -> tuple[float, ...]:
    """Return a rank for each trial, higher for better results; equal results get equal ranks."""
    results = [(trial.level, value(trial)) for trial in best_first]
    order = {result: rank for rank, result in enumerate(sorted(set(results)))}
    return tuple(float(order[result]) for result in results)
