"""Persistence of a staged run: progress is saved after each stage and on any exit."""

from __future__ import annotations

import logging
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import msgspec

from babysit.monitor.environment import environment
from babysit.monitor.monitor import now
from babysit.pipeline.resume import joined_events, shifted_curves
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.records.secrets import command_of, value_without_secrets
from babysit.records.trial import Value
from babysit.store.origin import STEERING
from babysit.store.run_id import new_run_id
from babysit.store.store import Store

_log = logging.getLogger(__name__)


OnStage = Callable[[str, Run], None]


def begin_run(kind: str, config: Mapping[str, Value]) -> Run:
    """Create a run of a kind with its settings; `source` gives it its name."""
    return Run(
        id=new_run_id(),
        kind=kind,
        name=Path(str(config.get("source", ""))).stem,
        created=now(),
        command=command_of(["babysit", *sys.argv[1:]]),
        environment=environment(),
        config={name: value_without_secrets(name, value) for name, value in config.items()},
    )


def reopen_run(run: Run, settings: Mapping[str, Value]) -> Run:
    """Reopen an interrupted run: reset its end, but keep the stop reason of a finished training.

    Settings that lead to code, files or machines come from `settings` only, never from the record.
    """
    reason = run.stop_reason if run.config.get("stage") == "trained" else ""
    others = {name: value for name, value in run.config.items() if name not in STEERING}
    config = others | {name: value_without_secrets(name, value) for name, value in settings.items()}
    return msgspec.structs.replace(
        run, status=Status.RUNNING, ended="", stop_reason=reason, environment=environment(), config=config
    )


def _model_option(run: Run) -> str:
    """Return the option that repeats the model of a run, since no model is loaded from a record."""
    model = str(run.config.get("model", ""))
    return f" --model {shlex.quote(model)}" if model else ""


@final
class RunState:
    """Context manager that saves the progress of a run after each stage and on any exit.

    Args:
        run: a new run, or one to resume.
        store: where it is saved.
        stages: their names, in order; the last finished one is saved as the setting `stage`.
        on_stage: called after each stage.
    """

    def __init__(
        self, run: Run, store: Store, *, stages: Sequence[str], on_stage: OnStage = lambda stage, run: None
    ) -> None:
        self.run = run
        self._store = store
        self._stages = stages
        self._on_stage = on_stage
        self._rows = run.curves, run.layer_metrics  # saved again if the store loses them

    def __enter__(self) -> Self:
        self.writer = self._store.open_writer(self.run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(problem, KeyboardInterrupt)
        if problem is not None:
            self.update(
                status=Status.INTERRUPTED if stopped else Status.CRASHED,
                # The stop reason of the training is more specific.
                stop_reason=self.run.stop_reason
                or ("stopped by the user" if stopped else f"{type(problem).__name__}: {problem}"),
                ended=now(),
            )
        self.writer.close()
        if stopped:
            more = (
                f"; resume with `babysit run --resume {self.run.id}{_model_option(self.run)}{self._store.option}`"
                if self.run.kind == "pipeline"
                else ""
            )
            raise KeyboardInterrupt(f"stopped. Run {self.run.id} is saved{more}") from None

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return int(self.run.config.get("seed", 0))

    def finished(self, stage: str) -> bool:
        """Check whether a stage was finished, now or before an interruption."""
        last = self.run.config.get("stage")
        return last in self._stages and self._stages.index(str(last)) >= self._stages.index(stage)

    def update(self, **fields: Any) -> None:
        """Update and save fields of the run."""
        self.run = msgspec.structs.replace(self.run, **fields)
        self.writer.update(**fields)

    def configure(self, **settings: Value) -> None:
        """Add settings to the run."""
        self.update(config={**self.run.config, **settings})

    def finish(self, stage: str, **fields: Any) -> None:
        """Save the results of a stage and mark it as finished."""
        self.update(**fields)
        self.configure(stage=stage)
        self._on_stage(stage, self.run)

    def merge(self, trained: Run, *, first_step: int = 0) -> None:
        """Merge the records of a watched training into the run; its steps began at `first_step`."""
        later = msgspec.structs.replace(trained.layer_metrics, steps=trained.layer_metrics.steps + first_step)
        self._rows = shifted_curves(trained.curves, first_step), later
        self.update(
            model_summary=trained.model_summary or self.run.model_summary,
            data=self.run.data or trained.data,
            events=joined_events(self.run.events, trained.events, first_step=first_step),
            overhead=trained.overhead,
            findings=trained.findings,
            stop_reason=trained.stop_reason,
            result={**self.run.result, **trained.result},
            config={**trained.config, **self.run.config},
        )

    def reload(self) -> Run:
        """Load the run from the store, including curves and layer metrics that others wrote.

        If the store was removed or cannot be read, return the run in memory and save it to a new store.
        """
        self.writer.flush()
        try:
            self._store.make_ready()
            kept = self._store.load(self.run.id)
        except UserError as problem:
            _log.warning("the store lost what it had of run %s (%s); it is kept again", self.run.id, problem.what)
        else:
            if not self.writer.was_replaced:
                self.run = msgspec.structs.replace(kept, status=Status.RUNNING)
                return self.run
        curves, layer_metrics = self._rows
        self.run = msgspec.structs.replace(self.run, curves=curves, layer_metrics=layer_metrics, status=Status.RUNNING)
        self.writer.update(curves=curves, layer_metrics=layer_metrics)
        return self.run
