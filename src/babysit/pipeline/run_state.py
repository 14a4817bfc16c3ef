"""A run as far as it has come, kept as each stage ends, and whatever way it ends."""

from __future__ import annotations

import shlex
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, final

import msgspec

from babysit.monitor.environment import environment
from babysit.pipeline.resume import joined_events, shifted_curves
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.records.secrets import command_of, value_without_secrets
from babysit.records.trial import Value
from babysit.store.origin import STEERING
from babysit.store.run_id import new_run_id
from babysit.store.store import Store

Tell = Callable[[str, Run], None]


def begin_run(kind: str, config: Mapping[str, Value]) -> Run:
    """A new run of this kind, begun now, with what it was told; `source` gives it its name."""
    return Run(
        id=new_run_id(),
        kind=kind,
        name=Path(str(config.get("source", ""))).stem,
        created=now(),
        command=command_of(["babysit", *sys.argv[1:]]),
        environment=environment(),
        config={name: value_without_secrets(name, value) for name, value in config.items()},
    )


def reopen_run(run: Run, told: Mapping[str, Value]) -> Run:
    """A run that was interrupted, going on now: its former end is forgotten, but not why a finished training ended.

    It is kept with what it is told now: of what leads to code, files or machines, nothing of the former record stays.
    """
    reason = run.stop_reason if run.config.get("stage") == "trained" else ""
    others = {name: value for name, value in run.config.items() if name not in STEERING}
    config = others | {name: value_without_secrets(name, value) for name, value in told.items()}
    return msgspec.structs.replace(
        run, status=Status.RUNNING, ended="", stop_reason=reason, environment=environment(), config=config
    )


def _model_option(run: Run) -> str:
    """The option that names the model of a run again: no model is taken from a record."""
    model = str(run.config.get("model", ""))
    return f" --model {shlex.quote(model)}" if model else ""


def now() -> str:
    """This moment as ISO 8601, UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@final
class RunState:
    """The run as far as it has come; a context that keeps it readable however it is left.

    Args:
        run: a new run, or one to go on with.
        store: where it is kept.
        stages: their names, in order; the last one finished is kept as the setting `stage`.
        tell: called with each stage that ends.
    """

    def __init__(self, run: Run, store: Store, *, stages: Sequence[str], tell: Tell = lambda stage, run: None) -> None:
        self.run = run
        self._store = store
        self._stages = stages
        self._tell = tell
        self._rows = run.curves, run.layer_metrics  # for the case that the store loses them

    def __enter__(self) -> Self:
        self.writer = self._store.open_writer(self.run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        stopped = isinstance(problem, KeyboardInterrupt)
        if problem is not None:
            self.keep(
                status=Status.INTERRUPTED if stopped else Status.CRASHED,
                # What the training said of its own end tells more.
                stop_reason=self.run.stop_reason
                or ("stopped by the user" if stopped else f"{type(problem).__name__}: {problem}"),
                ended=now(),
            )
        self.writer.close()
        if stopped:
            more = (
                f"; go on with `babysit run --resume {self.run.id}{_model_option(self.run)}{self._store.option}`"
                if self.run.kind == "pipeline"
                else ""
            )
            raise KeyboardInterrupt(f"stopped. Run {self.run.id} is kept and readable{more}") from None

    @property
    def seed(self) -> int:
        """The seed of everything random in this run."""
        return int(self.run.config.get("seed", 0))

    def finished(self, stage: str) -> bool:
        """Whether that stage was finished, now or before an interruption."""
        last = self.run.config.get("stage")
        return last in self._stages and self._stages.index(str(last)) >= self._stages.index(stage)

    def keep(self, **fields: Any) -> None:
        """Keep new values of fields of the run."""
        self.run = msgspec.structs.replace(self.run, **fields)
        self.writer.update(**fields)

    def configure(self, **settings: Value) -> None:
        """Keep more of what the run was told or found out for itself."""
        self.keep(config={**self.run.config, **settings})

    def finish(self, stage: str, **fields: Any) -> None:
        """Keep what a stage found, and then that it is finished."""
        self.keep(**fields)
        self.configure(stage=stage)
        self._tell(stage, self.run)

    def take(self, trained: Run, *, first_step: int = 0) -> None:
        """Keep what a watched training recorded beside what the run has; its steps began at `first_step`."""
        later = msgspec.structs.replace(trained.layer_metrics, steps=trained.layer_metrics.steps + first_step)
        self._rows = shifted_curves(trained.curves, first_step), later
        self.keep(
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
        """The run as the store has it, with the rows of curves and layer metrics that others wrote.

        Where the store was removed meanwhile, or cannot be read, the run as it is known here: what was computed is
        judged and shown all the same, and kept in the store that is made in its place.
        """
        self.writer.flush()
        try:
            self._store.make_ready()
            kept = self._store.load(self.run.id)
        except UserError as problem:
            warnings.warn(
                f"the store lost what it had of run {self.run.id} ({problem.what}); it is kept again", stacklevel=2
            )
        else:
            if not self.writer.was_replaced:
                self.run = msgspec.structs.replace(kept, status=Status.RUNNING)
                return self.run
        curves, layer_metrics = self._rows
        self.run = msgspec.structs.replace(self.run, curves=curves, layer_metrics=layer_metrics, status=Status.RUNNING)
        self.writer.update(curves=curves, layer_metrics=layer_metrics)
        return self.run
