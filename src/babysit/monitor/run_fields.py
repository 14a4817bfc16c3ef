"""Builds the fields of a run from the measurements; fields that fail are left out and reported by T001."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

from babysit.monitor.batch_stats import BatchStats
from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.model_summary import ModelSummaryBuilder
from babysit.monitor.optimizers import Optimizers
from babysit.monitor.recorder import Recorder
from babysit.monitor.schedule import Schedule
from babysit.monitor.stale_gradients import StaleGradients
from babysit.monitor.step_losses import StepLosses
from babysit.records.dataprofile import DataProfile
from babysit.records.events import Event, Events
from babysit.records.model_summary import ModelSummary


class Sources(NamedTuple):
    """The objects that hold the measurements."""

    recorder: Recorder
    model_summary: ModelSummaryBuilder
    batches: BatchStats
    optimizers: Optimizers
    losses: StepLosses
    schedule: Schedule
    gradients: StaleGradients


def run_fields(sources: Sources, guard: ErrorBoundary, steps: int) -> dict[str, Any]:
    """Return the fields of `Run` by name, without those that fail."""
    fields: dict[str, Any] = {}
    recorder = sources.recorder
    builders: tuple[tuple[str, Callable[[], Any]], ...] = (
        ("model_summary", lambda: _model_summary(sources, guard)),
        ("data", lambda: _data(sources, fields.get("model_summary"))),
        ("layer_metrics", lambda: recorder.layer_metrics(sources.model_summary.order())),
        ("curves", recorder.curves),
        ("overhead", lambda: sources.schedule.cost(steps)),
        ("events", lambda: _events(sources, steps)),  # last, to include problems of the other fields
    )
    with torch._C.DisableTorchFunction():
        guard.surely("recording", recorder.settle)
        for name, build in builders:
            with guard.contained(name):
                fields[name] = build()
    if "events" not in fields:
        gaps = tuple(Event(step=0, kind="measurement_gap", detail=detail) for detail in guard.gaps)
        fields["events"] = Events(counts={"measurement_gap": len(gaps)}, kept=gaps, steps=steps)
    return fields


def _model_summary(sources: Sources, guard: ErrorBoundary) -> ModelSummary:
    with guard.contained("optimizers"):
        sources.model_summary.all_optimizers(sources.optimizers)
    return sources.model_summary.model_summary(sources.batches.batch_size, sources.optimizers)


def _data(sources: Sources, model_summary: ModelSummary | None) -> DataProfile | None:
    classes = model_summary.objectives[0].class_counts if model_summary is not None and model_summary.objectives else ()
    return sources.batches.profile(classes, sources.model_summary.targets)


def _events(sources: Sources, steps: int) -> Events:
    sources.optimizers.report_later(sources.recorder.event)
    counts = sources.losses.counts() | sources.gradients.counts | sources.optimizers.counts()
    return sources.recorder.events(steps, counts)
