"""Successive halving in step: every trial is trained to the same epoch, then the best part of them goes on.

Asynchronous rules fit trials that report one by one. Of 64 trials that were trained side by side and reported together,
Optuna's SuccessiveHalvingPruner kept 21 where 16 were meant, and its MedianPruner all. (The method: Jamieson and
Talwalkar 2016, Non-stochastic best arm identification.)
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

# Below this rank correlation the order at a rung hardly foretells the order at the next.
_FORETELLS: Final = 0.3
# Fewer trials than these can have any correlation by chance; fewer than these are not worth advice.
_LEAST_TRIALS: Final = 6
_LEAST_FOR_ADVICE: Final = 10


@final
@dataclass(frozen=True)
class HalvingSchedule:
    """To which epoch how many trials are trained, rung by rung, and what it costs."""

    name: str
    epochs: tuple[int, ...]  # of each rung, counted from the beginning
    members: tuple[int, ...]  # trained to that rung

    @property
    def cost_epochs(self) -> int:
        """Epochs of training in all, when nobody diverges."""
        before = (0, *self.epochs)
        return sum(
            count * (epoch - start) for count, epoch, start in zip(self.members, self.epochs, before, strict=False)
        )

    @property
    def share(self) -> float:
        """Of what the same trials would cost without halving."""
        return self.cost_epochs / (self.members[0] * self.epochs[-1])

    def __str__(self) -> str:
        first, *more = zip(self.members, self.epochs, strict=True)
        said = f"{self.name}: {_of(first[0], 'trial')} to epoch {first[1]}"
        said += "".join(f", the best {members} on to {epochs}" for members, epochs in more)
        full = self.members[0] * self.epochs[-1]
        if not more:
            return f"{said}; {_of(full, 'epoch')} of training in all"
        return f"{said}; {_of(self.cost_epochs, 'epoch')} of training in all, {self.share:.0%} of the {full:,} for all"


# Rungs closer together than a quarter are no rungs: a factor just above 1 asks for as many as there are numbers.
_LEAST_FACTOR: Final = 1.25


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'s' * (count != 1)}"


def halving_schedule(stage: Stage, trials: int, *, factor: float) -> HalvingSchedule:
    """The rungs for that many trials of a stage: at each, about one in `factor` goes on to `factor` times the epochs.

    Nobody is dropped before one epoch is over (the grace rung), and at least `factor` reach the end. Without halving
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
    """How well each rung foretold the next, in words: one sentence for a stage with halving, or none."""
    said, weak = [], False
    levels = sorted({rung.epochs for trial in trials for rung in trial.rungs})
    for early, late in itertools.pairwise(levels):
        pairs = [pair for trial in trials if (pair := (_at(trial, early), _at(trial, late))) != (None, None)]
        both = [(first, second) for first, second in pairs if first is not None and second is not None]
        if len(both) < _LEAST_TRIALS:
            continue
        correlation = rank_correlation([first for first, _ in both], [second for _, second in both])
        said.append(f"{correlation:+.2f} from epoch {early} to {late} ({len(both)} trials)")
        weak = weak or (correlation < _FORETELLS and len(both) >= _LEAST_FOR_ADVICE)
    if not said:
        return []
    recommendation = (
        "; early ranks foretell little here: halve less (--halving 1 trains all to the end)" if weak else ""
    )
    return [f"{trials[0].stage}: rank correlation {', '.join(said)}{recommendation}"]


def _at(trial: Trial, epochs: int) -> float | None:
    rung: Rung | None = next((rung for rung in trial.rungs if rung.epochs == epochs), None)
    return rung.metric if rung else None
