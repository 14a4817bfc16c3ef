"""What members did in one advance, and how far it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

from babysit.tuning.abort import why_stop
from babysit.tuning.executor import Advance
from babysit.tuning.population.beginning import Shared
from babysit.tuning.population.chunk import FOR_PLAIN
from babysit.tuning.population.forms import Form
from babysit.tuning.population.group import Done, Group
from babysit.tuning.population.member_state import Learned
from babysit.tuning.population.validation import Judged, judged


@final
@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far an advance is."""

    alive: int  # members of the present group that train on
    steps: int  # steps of all members in this advance so far
    seconds: float
    form: str  # how they are trained


@final
class Record:
    """What members did in one advance."""

    def __init__(self, members: Sequence[Learned]) -> None:
        self._costs: dict[int, list[float]] = {one.member.number: [] for one in members}
        self._seconds = dict.fromkeys(self._costs, 0.0)
        self._began = time.perf_counter()

    def of(self, part: Done, group: Group, shared: Shared, *, last: bool) -> list[Advance]:
        """Takes in an epoch of a chunk and gives the members that have ended: died, or come to the `last` epoch."""
        live = [
            one for place, one in enumerate(part.members) if not part.outcome.stopped[place] and last
        ]  # fmt: skip
        scores = judged(live, group.traits.template, group.fixed, part.form, shared) if live else []
        by_number = {one.member.number: found for one, found in zip(live, scores, strict=True)}
        ended = []
        for place, one in enumerate(part.members):
            number, stopped = one.member.number, part.outcome.stopped[place]
            self._costs[number] += part.outcome.costs[place]
            self._seconds[number] += part.outcome.seconds / len(part.members)
            found = by_number.get(number)
            if not stopped.startswith(FOR_PLAIN) and (stopped or found is not None):
                stopped = stopped or (why_stop(one.initial_cost, [found.loss]) if found else "")
                ended.append(self._advance(one, stopped, found, part.form))
        return ended

    def progress(self, alive: int, form: Form) -> Progress:
        """How far it is."""
        steps = sum(len(costs) for costs in self._costs.values())
        return Progress(alive=alive, steps=steps, seconds=time.perf_counter() - self._began, form=str(form))

    def _advance(self, one: Learned, stopped: str, found: Judged | None, form: Form) -> Advance:
        number = one.member.number
        return Advance(
            number=number,
            step=one.step,
            costs=tuple(self._costs[number]),
            initial_cost=one.initial_cost,
            metric=found.metric if found and not stopped else None,
            metric_name=found.name if found else "",
            stopped=stopped,
            seconds=self._seconds[number],
            backend=str(form),
        )
