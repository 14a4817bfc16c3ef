"""Trains configurations rung by rung; the best of each rung are promoted, the others end with a reason."""

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

# This many failures at the start, and nothing else, indicate a bug in the program rather than a bad configuration.
_FAILURES: Final = 3


@final
@dataclass(kw_only=True)
class _TrialState:
    """Progress of one trial in a bracket."""

    member: TrialConfig
    stage: str
    rungs: list[Rung] = field(default_factory=list)
    costs: tuple[float, ...] = ()
    seconds: float = 0.0
    last: TrainResult | None = None

    def record(self, result: TrainResult, epochs: int) -> None:
        self.last = result
        self.costs = (*self.costs, *result.costs)[-KEPT_COSTS:]
        self.seconds += result.seconds
        metric = None if result.stopped else result.metric
        self.rungs.append(Rung(epochs=epochs, step=result.step, metric=metric))

    def trial(self, reason: str = "") -> Trial:
        """Convert to a trial record: pruned with this reason, or complete."""
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
    """Train the members by the schedule and release them; each is added to the trial log as soon as it has ended.

    On interruption, members that have reached some rung are logged as well.

    Raises:
        UserError: none of the first trials can be trained.
    """
    alive = {member.number: _TrialState(member=member, stage=plan.name) for member in members}
    ended: list[Trial] = []

    def end(state: _TrialState, reason: str = "") -> None:
        ended.append(state.trial(reason))
        trial_log.add(ended[-1])
        del alive[state.member.number]

    with _released(executor, members), _logged_on_interrupt(alive, trial_log):
        for index, epochs in enumerate(plan.epochs):
            further = epochs - (plan.epochs[index - 1] if index else 0)
            last = index + 1 == len(plan.epochs)
            trial_log.rung(index + 1, len(plan.epochs), len(alive))
            going = [state.member for state in alive.values()]
            failing: list[_TrialState] = []  # as long as no other trial has succeeded
            for result in executor.advance(going, epochs=further):
                state = alive[result.number]
                state.record(result, epochs)
                if _nothing_works([*trial_log.trials, state.trial()]):
                    failing.append(state)
                elif last or result.stopped:
                    end(state)
                trial_log.advanced(result, further)
            # Only now: slower members may have succeeded.
            _refuse_if_nothing_works(failing, [*trial_log.trials, *_reported(alive)], len(members))
            for state in failing:
                end(state)
            if not last:
                keep, tried = plan.members[index + 1], len(going)
                key = trial_log.ranking(_reported(alive))
                ranked = sorted(alive.values(), key=lambda state: key(state.trial()), reverse=True)
                for state in ranked[keep:]:
                    end(state, f"not among the best {keep} of {tried} after {epochs} epoch{'s' * (epochs != 1)}")
                executor.release([member.number for member in going if member.number not in alive])
            trial_log.rung_over()
            if not alive:
                break
    return sorted(ended, key=lambda trial: trial.number)


@contextmanager
def _released(executor: Executor, members: Sequence[TrialConfig]) -> Iterator[None]:
    try:
        yield
    finally:
        executor.release([member.number for member in members])


@contextmanager
def _logged_on_interrupt(alive: dict[int, _TrialState], trial_log: TrialLog) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        for state in alive.values():
            if state.rungs:
                epochs = state.rungs[-1].epochs
                trial_log.add(state.trial(f"interrupted after {epochs} epoch{'s' * (epochs != 1)}"))
        raise


def _reported(alive: Mapping[int, _TrialState]) -> list[Trial]:
    return [state.trial() for state in alive.values() if state.last is not None]


def _nothing_works(trials: Sequence[Trial]) -> bool:
    return all(trial.reason.startswith("failed: ") for trial in trials)


def _refuse_if_nothing_works(failing: Sequence[_TrialState], trials: Sequence[Trial], members: int) -> None:
    """Raise if no trial can be trained: a bug to fix, not a hyperparameter to avoid."""
    if failing and _nothing_works(trials) and len(trials) >= min(_FAILURES, members):
        first = failing[0].trial()
        raise UserError(
            f"no trial could be trained: {first.reason.removeprefix('failed: ')}",
            where=in_words(first),
            do="Fix the function that builds the model, or the space",
        )
