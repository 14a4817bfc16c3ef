"""Watch a training loop of your own: measured, judged, saved, and summed up in two lines at the end."""

from __future__ import annotations

import contextlib
import functools
import html
import logging
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, ParamSpec, Self, TypedDict, TypeVar, Unpack, final, overload

import msgspec
import torch
from torch import nn

from babysit.analysis.verdict import concluded
from babysit.integrations.training_runs import TrainingRuns
from babysit.monitor.monitor import Monitor, check_arguments, now
from babysit.monitor.recorder import RunWriter
from babysit.monitor.script_exit import status_of
from babysit.records.errors import ProblemFound, UserError
from babysit.records.finding import Finding, Severity
from babysit.records.run import Run, Status
from babysit.records.verdict import Verdict
from babysit.reporting.verdict import other_trainings, verdict
from babysit.store.run_id import new_run_id
from babysit.store.store import Store

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")
Value = float | int | str | bool

_LEVELS: Final = tuple(str(severity) for severity in Severity if severity != Severity.INFO)
_log: Final = logging.getLogger("babysit")


class Options(TypedDict, total=False):
    """Keyword arguments of `watch`."""

    store: Store | str | bool | None
    name: str
    config: Mapping[str, Value] | None
    tags: Iterable[str]
    overhead: float
    on_finding: Callable[[Finding], object] | None
    raise_on: str | None
    quiet: bool


@overload
def watch(  # type: ignore[overload-overlap]  # a module is callable, too, and is matched first
    model: nn.Module | Sequence[nn.Module] | None = None,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    **options: Unpack[Options],
) -> Watch: ...
@overload
def watch(model: Callable[Parameters, Result]) -> Callable[Parameters, Result]: ...
def watch(  # noqa: PLR0913  options of one public call, all but two by keyword
    model: nn.Module | Sequence[nn.Module] | Callable[..., Any] | None = None,
    optimizer: torch.optim.Optimizer | Sequence[torch.optim.Optimizer] | None = None,
    *,
    store: Store | str | bool | None = None,
    name: str = "",
    config: Mapping[str, Value] | None = None,
    tags: Iterable[str] = (),
    overhead: float = 0.01,
    on_finding: Callable[[Finding], object] | None = None,
    raise_on: str | None = None,
    quiet: bool = False,
) -> Any:
    """Watch a training loop: `with babysit.watch(model, optimizer) as w:` around it is enough.

    Losses, layers, the objective and evaluation passes are found without help; weights and random state stay bit for
    bit the same. The run is saved in the store, and two lines at the end say what was found. Also a decorator of a
    function that trains (`@babysit.watch`), and `start()` and `stop()` where a block does not fit.

    Args:
        model: the network, or several; None finds it when it is first called.
        optimizer: only the steps of this optimizer, or of these, count; None means every one.
        store: where the run is saved: a `Store`, its folder or URL; None for ./babysit_runs, False to save nothing.
        name: a name for the run.
        config: settings to keep with the run, such as `{"lr": 1e-3}`.
        tags: tags of the run in the store.
        overhead: share of step time that monitoring may take after the first steps.
        on_finding: called on the training's thread with each WARNING or ERROR, soon after it was found.
        raise_on: "ERROR" or "WARNING" stops the training with `ProblemFound` at the first finding that severe.
        quiet: print nothing at the end.

    Raises:
        UserError: an argument that cannot work; nothing was started then.
    """
    options = {
        "store": store, "name": name, "config": config, "tags": tags, "overhead": overhead, "on_finding": on_finding,
        "raise_on": raise_on, "quiet": quiet,
    }  # fmt: skip
    if callable(model) and not isinstance(model, nn.Module) and not isinstance(model, type):
        return Watch(None, optimizer, **options)(model)
    return Watch(model, optimizer, **options)


@final
class Watch:
    """One watched training, from `start` to `stop`; a context manager and a decorator that do both."""

    def __init__(self, model: Any, optimizer: Any, **options: Any) -> None:
        self._options = _checked(model, optimizer, options)
        self._model, self._optimizer = model, optimizer
        self._monitor: Monitor | None = None
        self._store: Store | None = None
        self._process = os.getpid()
        self._runs: TrainingRuns[RunWriter | None] = TrainingRuns(self._new_run, self._open_writer, self._save)
        self._run = self._runs.current

    # -- lifetime

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        self.stop(status=Status.INTERRUPTED if isinstance(error, ProblemFound) else status_of(error), error=error)

    def __call__(self, function: Callable[Parameters, Result]) -> Callable[Parameters, Result]:
        """Watch every call of a function, each as a run of its own."""

        @functools.wraps(function)
        def watched(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            with Watch(self._model, self._optimizer, **self._options):
                return function(*args, **kwargs)

        return watched

    def start(self) -> Self:
        """Begin to watch; a watch that runs or has stopped stays as it is."""
        if self._monitor is None and self._run.status is Status.RUNNING:
            self._open_store()
            self._monitor = Monitor(
                self._model,
                self._optimizer,
                overhead=self._options["overhead"],
                name=self._run.name,
                writer=self._runs.begin(),
                on_finding=self._found,
                on_next=self._begin_next,
            )
            self._monitor.note(config=self._run.config)
            self._monitor.start()
        return self

    def stop(self, *, status: Status = Status.FINISHED, error: BaseException | None = None) -> Run:
        """Stop watching, judge, save and sum up; safe to call again.

        Args:
            status: how the training ended.
            error: the exception that ended it.
        """
        if self._monitor is None:
            return self._run
        monitor, self._monitor = self._monitor, None
        if isinstance(error, ProblemFound):
            monitor.note(stop_reason=f"stopped on request: {error.finding.code} {error.finding.name}")
        judged = monitor.close(status=status, error=error)
        if os.getpid() != self._process:  # a forked child leaves the record to the process that began it
            return self._run
        self._run = self._runs.end(judged)
        if self._store is not None and self._store is not self._options["store"]:
            with contextlib.suppress(Exception):
                self._store.close()
        if not self._options["quiet"]:
            with contextlib.suppress(OSError, ValueError):  # standard error may be closed
                print(self.summary(), file=sys.stderr or sys.__stderr__)
        return self._run

    # -- records

    def log(
        self,
        name: str | Mapping[str, float] | None = None,
        value: float | None = None,
        /,
        *,
        step: int | None = None,
        **values: float,
    ) -> None:
        """Record scalars of your own: `w.log("val/loss", x)`, `w.log({"val_loss": x})` or `w.log(val_loss=x)`.

        Conventional names are understood: val_loss, validation_loss and eval/loss are kept as val/loss. What cannot
        be recorded is reported as T001 and never raises.
        """
        given: dict[str, Any] = dict(name) if isinstance(name, Mapping) else {} if name is None else {name: value}
        for key, scalar in {**given, **values}.items():
            if self._monitor is not None:
                self._monitor.log(key, scalar, step=step)

    def note(self, **run_fields: Any) -> None:
        """Set parts of the run, such as `config`, `result` or `artifacts`. Raises UserError for an unknown one."""
        if self._monitor is not None:
            self._monitor.note(**run_fields)

    def pause(self) -> None:
        """Ignore training until `resume`: for training on the side that is not part of this run."""
        if self._monitor is not None:
            self._monitor.pause()

    def resume(self) -> None:
        """Watch again."""
        if self._monitor is not None:
            self._monitor.resume()

    # -- results

    @property
    def run(self) -> Run:
        """The run: judged once stopped, so far otherwise."""
        if self._monitor is None:
            return self._run
        now = msgspec.structs.replace(
            self._monitor.snapshot(), id=self._run.id, name=self._run.name, findings=self._monitor.findings
        )
        return concluded(now)

    @property
    def steps(self) -> int:
        """Optimizer steps seen so far."""
        return self._monitor.steps if self._monitor is not None else self._run.events.steps

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found: so far while the training runs, everything once it has stopped."""
        return self._monitor.findings if self._monitor is not None else self._run.findings

    @property
    def verdict(self) -> Verdict:
        """healthy, problems or inconclusive: so far while the training runs."""
        return self.run.verdict

    def report(self, format: str = "html") -> str:
        """Return the report of the run so far, as `babysit.report` does."""
        from babysit.reporting.report import report

        return report(self.run, format=format)

    def summary(self) -> str:
        """Return two lines: the verdict with what to do next, and where the run was saved."""
        words = verdict(self.run)
        first = f"babysit: {words.title}. {words.sentence} {words.next}".rstrip()
        if others := self._runs.others(self.run):
            first = f"{first} {other_trainings(self.run, others, saved=self._store is not None)}"
        if self._store is None:
            return f"{first}\nThe run was not saved; w.report() returns its report."
        option = self._store.option
        return f"{first}\nSaved run {self._run.id}. Full report: babysit report {self._run.id}{option}"

    def __repr__(self) -> str:
        found = ", ".join(f"{one.code} {one.name}" for one in self.findings if one.severity != Severity.INFO)
        return f"Watch({self._run.id}: {self.steps:,} steps, {self.run.status}, {found or self.verdict})"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(self.summary())}</pre>"

    # -- inside

    def _new_run(self) -> Run:
        return Run(
            id=new_run_id(), created=now(), name=self._options["name"], config=dict(self._options["config"] or {})
        )

    def _begin_next(self, judged: Run) -> RunWriter | None:
        writer = self._runs.next(judged)
        self._run = self._runs.current
        return writer

    def _open_store(self) -> None:
        """Open the store; one that cannot be opened costs the saving, not the training."""
        store = self._options["store"]
        if store is False:
            return
        try:
            self._store = store if isinstance(store, Store) else Store(None if store in (None, True) else store)
        except Exception as problem:  # never raised into the training
            _log.warning("the run is not saved: %s", problem)

    def _open_writer(self, run: Run) -> RunWriter | None:
        if self._store is None:
            return None
        try:
            return self._store.open_writer(run)
        except Exception as problem:  # never raised into the training
            _log.warning("the run is not saved: %s", problem)
            self._store = None
            return None

    def _save(self, run: Run) -> Run:
        if self._store is not None:
            try:
                self._store.save(run)
                if self._options["tags"]:
                    self._store.annotate(run.id, tags=self._options["tags"])
            except Exception as problem:  # never raised into the training
                _log.warning("the run could not be saved: %s", problem)
        return run

    def _found(self, finding: Finding) -> None:
        if self._options["on_finding"] is not None:
            self._options["on_finding"](finding)
        level = self._options["raise_on"]
        if level is not None and finding.severity.rank <= Severity(level).rank:
            raise ProblemFound(finding)


def _checked(model: Any, optimizer: Any, options: dict[str, Any]) -> dict[str, Any]:
    check_arguments(model, optimizer, options["overhead"])
    level, store, tags = options["raise_on"], options["store"], options["tags"]
    if level is not None and level not in _LEVELS:
        raise UserError(f"raise_on is {level!r}", do=f"Give {' or '.join(_LEVELS)}, or None to never stop the training")
    if options["on_finding"] is not None and not callable(options["on_finding"]):
        raise UserError("on_finding is not callable", do="Pass a function that takes a finding")
    if store is not None and not isinstance(store, Store | str | bool):
        raise UserError(f"store is a {type(store).__name__}", do="Pass a Store, its folder or URL, or False")
    if not isinstance(options["name"], str):
        raise UserError(f"name is a {type(options['name']).__name__}", do="Pass text")
    config = options["config"]
    if config is not None and not (
        isinstance(config, Mapping)
        and all(isinstance(key, str) and isinstance(value, Value) for key, value in config.items())
    ):
        raise UserError("config holds more than plain values", do="Pass a dict of names to numbers, text or booleans")
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise UserError("tags are not texts", do='Pass a list such as ["baseline"]')
    return {**options, "tags": tuple(tags)}
