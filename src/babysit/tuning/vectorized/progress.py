"""Collects the results of one `advance`, and its progress."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from babysit.tuning.early_termination import stop_reason
from babysit.tuning.executors.base import TrainResult
from babysit.tuning.vectorized.backends import Backend
from babysit.tuning.vectorized.chunk import FOR_PLAIN
from babysit.tuning.vectorized.group import EpochResult, Group
from babysit.tuning.vectorized.init import SharedSettings
from babysit.tuning.vectorized.state import MemberState
from babysit.tuning.vectorized.validation import ValidationResult, validate


@final
@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of one `advance`."""

    alive: int  # members of the current group still in training
    steps: int  # total over all members so far
    seconds: float
    backend: str  # how they are trained


@final
class Record:
    """Collects losses and times of the members in one `advance`."""

    def __init__(self, members: Sequence[MemberState]) -> None:
        self._costs: dict[int, list[float]] = {one.member.number: [] for one in members}
        self._seconds = dict.fromkeys(self._costs, 0.0)
        self._began = time.perf_counter()

    def of(self, part: EpochResult, group: Group, shared: SharedSettings, *, last: bool) -> list[TrainResult]:
        """Add an epoch of a chunk; return results of members that stopped or, if it is the `last` epoch, finished."""
        live = [
            one for index, one in enumerate(part.members) if not part.outcome.stopped[index] and last
        ]  # fmt: skip
        scores = validate(live, group.traits.template, group.fixed, part.backend, shared) if live else []
        by_number = {one.member.number: found for one, found in zip(live, scores, strict=True)}
        ended = []
        for index, one in enumerate(part.members):
            number, stopped = one.member.number, part.outcome.stopped[index]
            self._costs[number] += part.outcome.costs[index]
            self._seconds[number] += part.outcome.seconds / len(part.members)
            found = by_number.get(number)
            if not stopped.startswith(FOR_PLAIN) and (stopped or found is not None):
                stopped = stopped or (stop_reason(one.initial_cost, [found.loss]) if found else "")
                ended.append(self._advance(one, stopped, found, part.backend))
        return ended

    def progress(self, alive: int, backend: Backend) -> Progress:
        """Return the progress."""
        steps = sum(len(costs) for costs in self._costs.values())
        return Progress(alive=alive, steps=steps, seconds=time.perf_counter() - self._began, backend=str(backend))

    def _advance(self, one: MemberState, stopped: str, found: ValidationResult | None, backend: Backend) -> TrainResult:
        number = one.member.number
        return TrainResult(
            number=number,
            step=one.step,
            costs=tuple(self._costs[number]),
            initial_cost=one.initial_cost,
            metric=found.metric if found and not stopped else None,
            metric_name=found.name if found else "",
            stopped=stopped,
            seconds=self._seconds[number],
            backend=str(backend),
        )
