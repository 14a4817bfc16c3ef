"""`watch`: joins hooks, measurements, rules and the store around a training loop that knows nothing of them."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, Self, final

import msgspec
import torch
from torch import nn

from babysit.monitor import torch_events
from babysit.monitor.crashes import crash_of
from babysit.monitor.environment import environment
from babysit.monitor.errors import described
from babysit.monitor.later_training import LaterTraining
from babysit.monitor.recorder import RunWriter
from babysit.monitor.script_exit import status_of
from babysit.monitor.session import TrainingSession
from babysit.records.curves import canonical_name
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Severity
from babysit.records.run import Run, Status


def check_arguments(model: object, optimizer: object, overhead: object) -> None:
    """Raise UserError for arguments that no training can be watched with."""
    for one in _each(model):
        if not isinstance(one, nn.Module):
            raise UserError(f"watch needs a torch.nn.Module, not {type(one).__name__}", do="Pass the model itself")
    for one in _each(optimizer):
        if not isinstance(one, torch.optim.Optimizer):
            raise UserError(
                f"watch needs a torch.optim.Optimizer, not {type(one).__name__}",
                do="Pass the optimizer, or leave it out to watch every optimizer",
            )
    if isinstance(overhead, bool) or not isinstance(overhead, int | float) or not 0 < overhead <= 1:
        raise UserError(f"overhead is a share of step time above 0 and at most 1, not {overhead!r}", do="0.01 is usual")


def _each(value: object) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if isinstance(value, list | tuple) else (value,)


@final
class Monitor:
    """Measure one training from `start` to `close` and judge it; a context manager that does both.

    Losses, layers, the objective and evaluation passes are found without help. Weights and random state stay bit for
    bit what they would have been. A monitor belongs to the process that started it: in a forked child it is closed,
    with nothing judged, sent or saved.

    Args:
        model: the network, or several; None finds it when it is first called.
        optimizer: only the steps of this optimizer, or of these, count; None means every one.
        overhead: share of step time that monitoring may take after the first steps.
        name: a name for the run.
        writer: where records go while training runs (`Store.open_writer`); None keeps them in memory.
        on_finding: called on the training's thread with each WARNING or ERROR, soon after it was found.
        on_next: called with the judged run of a training that another one follows; returns the writer of the next,
            which is then measured as a run of its own. None measures only the first.

    Raises:
        UserError: `model` is no module, `optimizer` no optimizer, or `overhead` is not above 0 and at most 1.
    """

    def __init__(
        self,
        model: nn.Module | Sequence[nn.Module] | None = None,
        optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
        *,
        overhead: float = 0.01,
        name: str = "",
        writer: RunWriter | None = None,
        on_finding: Callable[[Finding], None] | None = None,
        on_next: Callable[[Run], RunWriter | None] | None = None,
    ) -> None:
        check_arguments(model, optimizer, overhead)
        self._loop = TrainingSession(
            _each(model), _each(optimizer), overhead=overhead, writer=writer, on_finding=on_finding
        )
        self._writer, self._on_next = writer, on_next
        self._later: LaterTraining | None = None
        if on_next is not None and optimizer is None:
            self._later = self._loop.later = LaterTraining(self._next_session, self._begin_next)
        self._models = [weakref.ref(one) for one in _each(model)]
        self._overhead, self._on_finding = overhead, on_finding
        self._parts: dict[str, Any] = {}
        self._open = self._closed = False
        self._name_of = self._loop.window.name_of
        self._run = Run(id=_identity(), name=name, created=now())
        with self._loop.guard.contained("environment"):
            self._run = msgspec.structs.replace(self._run, environment=environment())

    # -- lifetime

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        status = Status.FINISHED if error is None else Status.CRASHED
        with self._loop.guard.contained("status"):
            status = status_of(error)
        self.close(status=status, error=error)

    def start(self, *, at_once: bool = True) -> Self:
        """Begin to listen; `at_once=False` leaves everything before the first optimizer is made alone."""
        if not self._open and not self._closed:
            self._open = True
            _open.add(self)
            self._loop.guard.surely("start", lambda: self._loop.start(at_once=at_once))
        return self

    def close(self, *, status: Status = Status.FINISHED, error: BaseException | None = None) -> Run:
        """Stop listening, judge, and return the whole run; safe to call again.

        Args:
            status: how the training ended.
            error: the exception that ended it, recorded for a run that crashed.
        """
        if not self._closed:
            self._open, self._closed = False, True
            _open.discard(self)
            self._loop.guard.surely("close", self._discard_others, self._loop.close)
            if status is Status.CRASHED and error is not None:
                with self._loop.guard.contained("crash"):
                    self._parts["crash"] = crash_of(error)
            self._conclude(status)
        return self._run

    def log(self, name: str, value: float, *, step: int | None = None) -> None:
        """Record a scalar of your own, such as `w.log("val/loss", loss)` after an epoch.

        Conventional names are understood: val_loss, validation_loss and eval/loss are kept as val/loss.
        """
        try:  # a slip in logging must not end a training; T001 tells of it
            if not isinstance(name, str):
                raise TypeError(f"the name of a curve is text, not {type(name).__name__}")
            self._loop.recorder.own(canonical_name(name), self._loop.steps if step is None else int(step), float(value))
        except Exception as problem:  # a context manager would cost a microsecond, of which a step has ten
            self._loop.guard.problem("log", problem)

    def note(self, **run_fields: Any) -> None:
        """Set parts of the run: config, data, experiments, trials, ranges, result, artifacts, command, stop_reason."""
        unknown = run_fields.keys() - set(Run.__struct_fields__)
        if unknown:
            raise UserError(
                f"a run has no {', '.join(sorted(unknown))}", do=f"Its parts: {', '.join(Run.__struct_fields__)}"
            )
        self._parts.update(run_fields)

    def pause(self) -> None:
        """Listen to nothing until `resume`: for training on the side that is not part of this run."""
        if self._open:
            self._loop.guard.surely("pause", lambda: self._listening().pause())

    def resume(self) -> None:
        """Listen again."""
        if self._open:
            self._loop.guard.surely("resume", lambda: self._listening().resume())

    @property
    def steps(self) -> int:
        """Optimizer steps seen so far."""
        return self._loop.steps

    def snapshot(self) -> Run:
        """Return the run so far, not judged."""
        if self._open:
            with self._loop.guard.contained("snapshot"):
                return self._snapshot(status=Status.RUNNING)
        return self._run

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Findings so far; all of them once closed."""
        if self._open:
            with self._loop.guard.contained("findings"):
                return self._loop.live.findings
        return self._run.findings

    @property
    def run(self) -> Run:
        """The run: judged once closed, so far otherwise."""
        return self.snapshot()

    def name_models_by(self, name_of: Callable[[nn.Module], str]) -> None:
        """Set the function that names a model that was not passed."""
        self._loop.window.name_of = self._name_of = name_of

    def _abandon(self) -> None:
        """Be closed, in a forked child."""
        self._open, self._closed = False, True
        for session in (self._loop, *self._others()):
            session.abandon()

    def _listening(self) -> TrainingSession:
        undecided = self._later.session if self._later is not None else None
        return undecided or self._loop

    def _others(self) -> list[TrainingSession]:
        """Return the sessions of what may be the next training, and of what an error kept from being one."""
        made = self._later.made if self._later is not None else []
        return [session for session in made if session is not self._loop]

    def _discard_others(self) -> None:
        for session in self._others():
            session.discard()

    def _next_session(self) -> TrainingSession:
        models = [model for find in self._models if (model := find()) is not None]
        session = TrainingSession(models, overhead=self._overhead, writer=None, on_finding=self._on_finding)
        session.window.name_of = self._name_of
        return session

    def _begin_next(self, session: TrainingSession) -> None:
        """Judge and hand over the training so far; from now on the session measures the training."""
        before, run = self._loop, self._run
        following = Run(id=_identity(), name=run.name, created=now(), environment=run.environment)
        with before.guard.contained("next training"):
            before.guard.surely("close", before.close)
            self._conclude(Status.FINISHED)
        finished, self._run, self._loop = self._run, following, session
        self._parts = {name: self._parts[name] for name in _SHARED if name in self._parts}
        with session.guard.contained("next training"):
            self._writer = self._on_next(finished) if self._on_next is not None else None
            session.write_to(self._writer)

    def _snapshot(self, *, status: Status, ended: str = "") -> Run:
        fields = {"status": status, "ended": ended, **self._loop.facts(), **self._parts}
        return msgspec.structs.replace(self._run, **fields)

    def _conclude(self, status: Status) -> None:
        """Judge and hand over; what fails is left out, and the run says so."""
        self._run = msgspec.structs.replace(self._run, status=status)
        try:
            self._run = self._snapshot(status=status, ended=now())
            from babysit.rules.engine import judged

            self._run = judged(self._run)
        except Exception as problem:
            self._note_gap("The run was recorded but could not be judged", problem)
        if self._writer is not None:
            try:
                self._loop.send(self._writer)
            except Exception as problem:
                self._note_gap("The curves could not be written to the end", problem)
            try:
                self._writer.update(**{name: getattr(self._run, name) for name in _WRITTEN})
            except Exception as problem:
                self._note_gap("The run could not be written", problem)

    def _note_gap(self, what: str, problem: Exception) -> None:
        """Add a T001 finding for what failed after everything else was gathered."""
        self._loop.guard.problem("close", problem)
        found, said = self._run.findings, f"{what}: {described(problem)}"
        gap = Finding(code="T001", name="measurement-gap", severity=Severity.INFO, rank=len(found) + 1, message=said)
        self._run = msgspec.structs.replace(self._run, findings=(*found, gap))


_open: weakref.WeakSet[Monitor] = weakref.WeakSet()


def _in_child() -> None:
    torch_events.unsubscribe_all()
    for watching in list(_open):
        watching._abandon()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)

_SHARED: Final = ("command", "config")  # of all trainings of a program
_WRITTEN: Final = (
    "status", "ended", "name", "command", "config", "model_summary", "data", "experiments", "events", "trials",
    "ranges", "findings", "verdict", "missing", "learning", "result", "artifacts", "stop_reason", "crash", "overhead",
    "environment",
)  # fmt: skip


def now() -> str:
    """Return the time as records keep it: ISO 8601, UTC, whole seconds."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _identity() -> str:
    from babysit.store.run_id import new_run_id

    return new_run_id()
