"""Where a stage's trials lie along the range of one hyperparameter, and whether the best lie at one of its ends."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np

from babysit.analysis.constant import Constant, none_beat
from babysit.analysis.trials import mean_cost
from babysit.records.trial import StageRange, Trial, TrialState

# Where no other source is named, the numbers here were set so that the lecture's two published tables (CS231n 2017,
# lecture 6, slides "Hyperparameter Optimization") come out as the lecturer read them: the learning rate must move up
# after both stages, and regularization is left alone in the second.
_TOP_SHARE: Final = 0.2  # the best fifth speaks for a stage,
_TOP_LEAST: Final = 3  # and at least three trials
_BEST_AT_EDGE: Final = 0.1  # the best trial within this share of the range from its end, or the outermost one tried,
_TOP_AT_EDGE: Final = 0.25  # or the median of the best ones within this share and the very end not tried,
_RANK_CORRELATION: Final = 0.5  # counts only when the metric rises toward that end: else the best lies there by chance
_INFEASIBLE: Final = 0.5  # share of diverged trials from which on a region is known to be bad,
_INFEASIBLE_LEAST: Final = 2  # and so many of them, because one may have diverged for another hyperparameter's sake
_ROOM: Final = 0.05  # a region that begins this close to the end leaves nowhere to go


@final
@dataclass(frozen=True, kw_only=True)
class PositionedTrials:
    """A stage's trials along one range, as positions from 0 (low end) to 1 (high end)."""

    finished: tuple[float, ...]  # best first
    metrics: tuple[float, ...]  # of the same trials; ranks where they were not trained for equally long
    stopped: tuple[float, ...]  # diverged, in this stage or another, also outside of the range
    survived: tuple[float, ...] = ()  # did not diverge, in this stage or another
    blind: bool = False  # no trial beat a constant answer: `metrics` are training losses with the sign changed

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
        return rank_correlation(self.finished, self.metrics) if len(self.finished) >= 4 else 0.0

    @property
    def ceiling(self) -> float:
        """The position above the best trials from which on most that was ever tried diverged; infinite without one."""
        for start in sorted(position for position in self.stopped if position > max(self.top)):
            diverged, survived = self.beyond(start)
            if diverged >= _INFEASIBLE_LEAST and diverged >= _INFEASIBLE * (diverged + survived):
                return start
        return math.inf

    @property
    def highest(self) -> float:
        """The highest position below the ceiling that did not diverge."""
        return max(position for position in (*self.finished, *self.survived) if position < self.ceiling)

    def beyond(self, start: float, until: float = math.inf) -> tuple[int, int]:
        """How many trials from that position on diverged, and how many did not."""
        survived = self.survived or self.finished
        return (
            sum(start <= position <= until for position in self.stopped),
            sum(start <= position <= until for position in survived),
        )

    @property
    def mirrored(self) -> PositionedTrials:
        """The same with the two ends exchanged."""
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
    """The trials of one stage along the range of one hyperparameter.

    Args:
        name: the hyperparameter.
        position: where a value lies, 0 at the low end and 1 at the high end.
        trials: of the stage.
        known: every trial of the search; they tell where training diverges, also outside of the stage's range.
        constant: what a constant answer reaches. While no trial beats it the metrics are noise, and the training loss
            tells the trials apart: in the first steps it falls the faster, the higher the learning rate.
    """
    finished = [trial for trial in trials if trial.metric is not None and name in trial.parameters]
    blind = none_beat(trials, constant)
    value = _minus_cost if blind else _metric
    finished.sort(key=lambda trial: (trial.level, value(trial)), reverse=True)
    halved = len({trial.level for trial in finished}) > 1
    ever = [trial for trial in (known or trials) if name in trial.parameters]

    def where(trial: Trial) -> float:
        return position(float(trial.parameters[name]))

    return PositionedTrials(
        finished=tuple(where(trial) for trial in finished),
        metrics=_ranks(finished, value) if halved else tuple(map(value, finished)),
        stopped=tuple(where(trial) for trial in ever if diverged(trial)),
        survived=tuple(where(trial) for trial in ever if trial.metric is not None),
        blind=blind,
    )


def _metric(trial: Trial) -> float:
    return trial.metric or 0.0


def _minus_cost(trial: Trial) -> float:
    return -mean_cost(trial)


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's; 0 where all of either are equal."""
    from scipy.stats import rankdata  # heavy: loaded only when it is asked for

    if len(set(one)) < 2 or len(set(other)) < 2:
        return 0.0
    return float(np.corrcoef(rankdata(one), rankdata(other))[0, 1])


def position_in(piece: StageRange) -> Callable[[float], float]:
    """Where a value lies in the range of a stage: 0 at its low end, 1 at its high end."""
    if not piece.log or piece.low <= 0:
        return lambda value: (value - piece.low) / (piece.high - piece.low)
    width = math.log(piece.high / piece.low)
    return lambda value: math.log(max(value, 1e-300) / piece.low) / width


def value_in(piece: StageRange) -> Callable[[float], float]:
    """The value at a position; the inverse of `position_in`."""
    if not piece.log or piece.low <= 0:
        return lambda position: piece.low + position * (piece.high - piece.low)
    return lambda position: piece.low * (piece.high / piece.low) ** position


def diverged(trial: Trial) -> bool:
    """Check whether the trial was stopped because of its loss (not by the user, nor by an error in the model)."""
    return trial.state == TrialState.PRUNED and trial.reason.startswith("loss ")


def edge(placed: PositionedTrials) -> Edge:
    """The end of the range beyond which the optimum seems to lie, or "".

    The best trials lie at an end, the metric rises toward it, and what lies there is not known to diverge.
    """
    if _at_the_high_end(placed):
        return "high"
    return "low" if _at_the_high_end(placed.mirrored) else ""


def _at_the_high_end(placed: PositionedTrials) -> bool:
    if not placed.finished or placed.correlation <= _least_correlation(len(placed.finished)):
        return False
    best, outermost = placed.finished[0], max(placed.finished)
    # Where the very end was tried and others are better, the optimum lies within.
    near_the_end = placed.median > 1 - _TOP_AT_EDGE and outermost <= 1 - _BEST_AT_EDGE
    if best <= 1 - _BEST_AT_EDGE and best < outermost and not near_the_end:
        return False
    # The outer tenth, or all that lies above the best ones.
    border = min(1 - _BEST_AT_EDGE, max(placed.top))
    stopped, survived = placed.beyond(math.nextafter(border, math.inf), until=1 + _ROOM)
    feasible = stopped == 0 or stopped < _INFEASIBLE * (stopped + survived)
    return feasible and placed.ceiling > 1 + _ROOM


def _least_correlation(trials: int) -> float:
    """The rank correlation that chance exceeds in one of a hundred cases, and never less than one half."""
    from scipy.stats import t as student_t

    quantile = float(student_t.ppf(0.99, trials - 2)) if trials > 2 else math.inf
    by_chance = quantile / math.sqrt(trials - 2 + quantile**2) if math.isfinite(quantile) else 1.0
    return max(_RANK_CORRELATION, by_chance)


def _ranks(best_first: Sequence[Trial], value: Callable[[Trial], float]) -> tuple[float, ...]:
    """A number for each that is higher for the better one; equal results get equal numbers."""
    results = [(trial.level, value(trial)) for trial in best_first]
    order = {result: rank for rank, result in enumerate(sorted(set(results)))}
    return tuple(float(order[result]) for result in results)
