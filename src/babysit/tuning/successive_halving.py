"""Trains configurations rung by rung; at each rung the best go on, the others end with their reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, final

from babysit.records.errors import UserError
from babysit.records.trial import Rung, Trial, TrialState
from babysit.tuning.early_termination import KEPT_COSTS
from babysit.tuning.executors.base import Executor, TrainResult, TrialConfig
from babysit.tuning.halving_schedule import HalvingSchedule
from babysit.tuning.trial_log import TrialLog, in_words

# So many failures at the very start, and nothing else, are a mistake in the program, not a bad configuration.
_FAILURES: Final = 3


@final
@dataclass(kw_only=True)
class _TrialState:
    """A member on its way."""

    member: TrialConfig
    stage: str
    rungs: list[Rung] = field(default_factory=list)
    costs: tuple[float, ...] = ()
    seconds: float = 0.0
    last: TrainResult | None = None

    def took(self, advance: TrainResult, epochs: int) -> None:
        self.last = advance
        self.costs = (*self.costs, *advance.costs)[-KEPT_COSTS:]
        self.seconds += advance.seconds
        metric = None if advance.stopped else advance.metric
        self.rungs.append(Rung(epochs=epochs, step=advance.step, metric=metric))

    def trial(self, reason: str = "") -> Trial:
        """Its record; pruned for this reason, or complete."""
        assert self.last is not None
        why = self.last.stopped or reason
        return Trial(
            number=self.member.number,
            stage=self.stage,
            parameters=dict(self.member.parameters),
            state=TrialState.PRUNED if why else TrialState.COMPLETE,
            reason=why,
            step=self.last.step,
            metric=self.rungs[-1].metric,
            initial_cost=self.last.initial_cost,
            last_costs=self.costs,
            seconds=self.seconds,
            seed=self.member.seed,
            rungs=tuple(self.rungs),
        )


def run_bracket(
    members: Sequence[TrialConfig], plan: HalvingSchedule, *, executor: Executor, trial_log: TrialLog
) -> list[Trial]:
    """Trains the members as the plan says and frees them; each is in the trial log as soon as it has ended.

    Interrupted, those that had reached some rung are kept as well.

    Raises:
        UserError: the first trials of a search cannot be trained at all.
    """
    alive = {member.number: _TrialState(member=member, stage=plan.name) for member in members}
    ended: list[Trial] = []

    def end(climber: _TrialState, reason: str = "") -> None:
        ended.append(climber.trial(reason))
        trial_log.add(ended[-1])
        del alive[climber.member.number]

    with _freed(executor, members), _kept_when_interrupted(alive, trial_log):
        for place, epochs in enumerate(plan.epochs):
            further = epochs - (plan.epochs[place - 1] if place else 0)
            last = place + 1 == len(plan.epochs)
            trial_log.rung(place + 1, len(plan.epochs), len(alive))
            going = [climber.member for climber in alive.values()]
            failing: list[_TrialState] = []  # while nothing else has reported
            for advance in executor.advance(going, epochs=further):
                climber = alive[advance.number]
                climber.took(advance, epochs)
                if _nothing_works([*trial_log.trials, climber.trial()]):
                    failing.append(climber)
                elif last or advance.stopped:
                    end(climber)
                trial_log.advanced(advance, further)
            # Only now: others may have been healthy and slower.
            _refuse_if_nothing_works(failing, [*trial_log.trials, *_reported(alive)], len(members))
            for climber in failing:
                end(climber)
            if not last:
                keep, tried = plan.members[place + 1], len(going)
                key = trial_log.ranking(_reported(alive))
                ranked = sorted(alive.values(), key=lambda climber: key(climber.trial()), reverse=True)
                for climber in ranked[keep:]:
                    end(climber, f"not among the best {keep} of {tried} after {epochs} epoch{'s' * (epochs != 1)}")
                executor.forget([member.number for member in going if member.number not in alive])
            trial_log.rung_over()
            if not alive:
                break
    return sorted(ended, key=lambda trial: trial.number)


@contextmanager
def _freed(executor: Executor, members: Sequence[TrialConfig]) -> Iterator[None]:
    try:
        yield
    finally:
        executor.forget([member.number for member in members])


@contextmanager
def _kept_when_interrupted(alive: dict[int, _TrialState], trial_log: TrialLog) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        for climber in alive.values():
            if climber.rungs:
                epochs = climber.rungs[-1].epochs
                trial_log.add(climber.trial(f"interrupted after {epochs} epoch{'s' * (epochs != 1)}"))
        raise


def _reported(alive: Mapping[int, _TrialState]) -> list[Trial]:
    return [climber.trial() for climber in alive.values() if climber.last is not None]


def _nothing_works(trials: Sequence[Trial]) -> bool:
    return all(trial.reason.startswith("failed: ") for trial in trials)


def _refuse_if_nothing_works(failing: Sequence[_TrialState], trials: Sequence[Trial], members: int) -> None:
    """A model that cannot even be tried is a mistake to mend, not a hyperparameter to avoid."""
    if failing and _nothing_works(trials) and len(trials) >= min(_FAILURES, members):
        first = failing[0].trial()
        raise UserError(
            f"no trial could be trained: {first.reason.removeprefix('failed: ')}",
            where=in_words(first),
            do="Mend the function that builds the model, or the space",
        )
