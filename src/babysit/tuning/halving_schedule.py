"""Synchronous successive halving: all trials are trained to the same epoch, then the best of them are promoted.

Asynchronous pruners fit trials that report one by one. Of 64 trials trained together and reported together, Optuna's
SuccessiveHalvingPruner kept 21 where 16 were expected, and its MedianPruner kept all. (Method: Jamieson and Talwalkar
2016, Non-stochastic best arm identification.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from babysit.analysis.trial_positions import rank_correlation
from babysit.records.trial import Rung, Trial
from babysit.tuning.settings import Stage

# Below this rank correlation the order at one rung hardly predicts the order at the next.
_PREDICTIVE: Final = 0.3
# With fewer trials any correlation can occur by chance; with fewer than the second number no advice is given.
_LEAST_TRIALS: Final = 6
_LEAST_FOR_ADVICE: Final = 10


@final
@dataclass(frozen=True)
class HalvingSchedule:
    """The number of trials and the epoch of each rung, and the resulting budget."""

    name: str
    epochs: tuple[int, ...]  # of each rung, counted from the start of training
    members: tuple[int, ...]  # trained to that rung

    @property
    def cost_epochs(self) -> int:
        """Return the total number of training epochs if no trial diverges."""
        before = (0, *self.epochs)
        return sum(
            count * (epoch - start) for count, epoch, start in zip(self.members, self.epochs, before, strict=False)
        )

    @property
    def share(self) -> float:
        """Return the fraction of the budget of the same trials without halving."""
        return self.cost_epochs / (self.members[0] * self.epochs[-1])

    def __str__(self) -> str:
        first, *more = zip(self.members, self.epochs, strict=True)
        text = f"{self.name}: {_of(first[0], 'trial')} to epoch {first[1]}"
        text += "".join(f", the best {members} on to {epochs}" for members, epochs in more)
        full = self.members[0] * self.epochs[-1]
        if not more:
            return f"{text}; {_of(full, 'epoch')} of training in total"
        budget = f"{_of(self.cost_epochs, 'epoch')} of training in total"
        return f"{text}; {budget}, {self.share:.0%} of the {full:,} without halving"


# Minimum reduction factor: a factor just above 1 would give a very large number of rungs.
_LEAST_FACTOR: Final = 1.25


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def halving_schedule(stage: Stage, trials: int, *, factor: float) -> HalvingSchedule:
    """Return the rungs for the trials of a stage: each promotes about 1 in `factor` to `factor` times the epochs.

    No trial is pruned before one epoch (the grace rung), and at least `factor` trials reach the end. Without halving
    (a factor near 1, too few trials, too few epochs) there is a single rung.
    """
    if factor < _LEAST_FACTOR or trials < factor**2 or stage.epochs < factor:
        return HalvingSchedule(stage.name, (stage.epochs,), (trials,))
    # As far down as half an epoch, rounded to one, and as far as the trials reach.
    depth = min(math.floor(math.log(2 * stage.epochs, factor)), math.floor(math.log(trials, factor) + 1e-9) - 1)
    epochs = sorted({max(1, math.floor(stage.epochs / factor**step + 0.5)) for step in range(depth + 1)})
    members = [max(math.ceil(factor), round(trials / factor**rung)) for rung in range(len(epochs))]
    return HalvingSchedule(stage.name, tuple(epochs), tuple(members))


def correlations(trials: Sequence[Trial]) -> list[str]:
    """Describe how well each rung predicted the next: one sentence for a stage with halving, or none."""
    parts, weak = [], False
    levels = sorted({rung.epochs for trial in trials for rung in trial.rungs})
    for early, late in itertools.pairwise(levels):
        pairs = [pair for trial in trials if (pair := (_at(trial, early), _at(trial, late))) != (None, None)]
        both = [(first, second) for first, second in pairs if first is not None and second is not None]
        if len(both) < _LEAST_TRIALS:
            continue
        correlation = rank_correlation([first for first, _ in both], [second for _, second in both])
        parts.append(f"{correlation:+.2f} from epoch {early} to {late} ({len(both)} trials)")
        weak = weak or (correlation < _PREDICTIVE and len(both) >= _LEAST_FOR_ADVICE)
    if not parts:
        return []
    recommendation = (
        "; early ranks predict later ones poorly: use a smaller factor (--halving 1 disables halving)" if weak else ""
    )
    return [f"{trials[0].stage}: rank correlation {', '.join(parts)}{recommendation}"]


def _at(trial: Trial, epochs: int) -> float | None:
    rung: Rung | None = next((rung for rung in trial.rungs if rung.epochs == epochs), None)
    return rung.metric if rung else None
