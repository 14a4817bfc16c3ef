"""The parts of a run that listening fills; one that cannot be made is left out, and T001 says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from babysit.records.anatomy import Anatomy
from babysit.records.dataprofile import DataProfile
from babysit.records.events import Event, Events
from babysit.watcher.anatomist import Anatomist
from babysit.watcher.batches import BatchProfile
from babysit.watcher.guard import Guard
from babysit.watcher.losses import Losses
from babysit.watcher.old_gradients import OldGradients
from babysit.watcher.optimizers import Optimizers
from babysit.watcher.recorder import Recorder
from babysit.watcher.schedule import Schedule


class Sources(NamedTuple):
    """Who knows what has been heard and measured."""

    recorder: Recorder
    anatomist: Anatomist
    batches: BatchProfile
    optimizers: Optimizers
    losses: Losses
    schedule: Schedule
    gradients: OldGradients


def facts_of(sources: Sources, guard: Guard, steps: int) -> dict[str, Any]:
    """The parts by their names in `Run`, as far as they can be made."""
    facts: dict[str, Any] = {}
    recorder = sources.recorder
    parts: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("anatomy", lambda: _anatomy(sources, guard)),
        ("data", lambda: _data(sources, facts.get("anatomy"))),
        ("vitals", lambda: recorder.vitals(sources.anatomist.order())),
        ("curves", recorder.curves),
        ("overhead", lambda: sources.schedule.cost(steps)),
        ("events", lambda: _events(sources, steps)),  # the last, so that they tell what went wrong before
    )
    with torch._C.DisableTorchFunction():
        guard.surely("recording", recorder.settle)
        for name, part in parts:
            with guard.contained(name):
                facts[name] = part()
    if "events" not in facts:
        gaps = tuple(Event(step=0, kind="measurement_gap", detail=detail) for detail in guard.gaps)
        facts["events"] = Events(counts={"measurement_gap": len(gaps)}, kept=gaps, steps=steps)
    return facts


def _anatomy(sources: Sources, guard: Guard) -> Anatomy:
    with guard.contained("optimizers"):
        sources.anatomist.all_optimizers(sources.optimizers)
    return sources.anatomist.anatomy(sources.batches.batch_size, sources.optimizers)


def _data(sources: Sources, anatomy: Anatomy | None) -> DataProfile | None:
    classes = anatomy.objectives[0].class_counts if anatomy is not None and anatomy.objectives else ()
    return sources.batches.profile(classes, sources.anatomist.target_moments)


def _events(sources: Sources, steps: int) -> Events:
    sources.optimizers.tell_of_later(sources.recorder.event)
    counts = sources.losses.counts() | sources.gradients.counts | sources.optimizers.counts()
    return sources.recorder.events(steps, counts)
