"""Trains the best configurations again on new seeds, because the best of many is partly luck."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, final

from babysit.records.trial import Trial, TrialState
from babysit.tuning.executor import Executor, Member
from babysit.tuning.ledger import Ledger, in_words, merit
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.stages import train, trial_of

STAGE: Final = "finalists"


@final
@dataclass(frozen=True, kw_only=True)
class Finalist:
    """A configuration and what it reached on seeds that had no part in choosing it."""

    trial: Trial  # the one that brought it here
    metrics: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over the new seeds."""
        return statistics.fmean(self.metrics)

    @property
    def spread(self) -> float | None:
        """The standard deviation over the new seeds; None for a single one."""
        return statistics.stdev(self.metrics) if len(self.metrics) > 1 else None


def run_finalists(epochs: int, *, executor: Executor, ledger: Ledger, settings: SearchSettings) -> tuple[Finalist, ...]:
    """Trains each finalist on each new seed; the best mean comes first, those that diverge are left out."""
    chosen = _chosen(ledger.trials, settings.finalists)
    seeds = [settings.seed + 1 + place for place in range(settings.finalist_seeds)]
    if not chosen or not seeds:
        return ()
    ledger.begin(Stage(STAGE, len(chosen) * len(seeds), epochs))
    finalists = []
    for trial in chosen:
        again = [
            Member(number=ledger.next_number + place, parameters=trial.parameters, seed=seed)
            for place, seed in enumerate(seeds)
        ]
        by_number = {member.number: member for member in again}
        results = []
        for advance in train(again, epochs, executor=executor):
            result = trial_of(by_number[advance.number], STAGE, advance)
            ledger.add(result)
            results.append(result)
        if all(result.state == TrialState.COMPLETE for result in results):
            finalists.append(Finalist(trial=trial, metrics=tuple(result.metric or 0.0 for result in results)))
    ledger.end()
    return tuple(sorted(finalists, key=lambda finalist: (-finalist.mean, finalist.trial.number)))


def note_on(finalists: Sequence[Finalist]) -> str:
    """What the new seeds say about the choice, in one sentence; "" when there is nothing to say."""
    if len(finalists) < 2:
        return ""
    first, second = finalists[:2]
    spread = max(first.spread or 0.0, second.spread or 0.0)
    if first.mean - second.mean <= spread:
        return (
            f"the best two configurations are equal within the spread of seeds ({first.mean:.3f} and "
            f"{second.mean:.3f}, ±{spread:.3f}): {in_words(second.trial)} would do as well"
        )
    return ""


def _chosen(trials: Sequence[Trial], count: int) -> list[Trial]:
    chosen: list[Trial] = []
    for trial in sorted(trials, key=merit, reverse=True):
        known = any(trial.parameters == other.parameters for other in chosen)
        if trial.state == TrialState.COMPLETE and not known and len(chosen) < count:
            chosen.append(trial)
    return chosen
