"""`babysit search`: hyperparameter search from coarse to fine."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, final

from cyclopts import Group, Parameter

from babysit.cli.data_options import DEFAULT_DATA_OPTIONS, Data, DataOptions, prepared
from babysit.cli.options import (
    DEFAULT_RULE_OPTIONS,
    DEFAULT_STORE_OPTIONS,
    Json,
    RuleOptions,
    StoreOptions,
    exit_code,
    judged,
    settle,
)
from babysit.cli.resuming import LATEST, Known, confirmed, latest_own
from babysit.cli.run_folders import open_store, run_folder
from babysit.cli.terminal import progress_bars
from babysit.records.errors import UserError
from babysit.records.run import Status
from babysit.records.secrets import MASK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from babysit.records.run import Run
    from babysit.store.store import Store
    from babysit.tuning.executors.base import Executor, TrainingTask
    from babysit.tuning.settings import SearchSettings

SEARCH = Group("Search", sort_key=6)
EXECUTION = Group("Execution", sort_key=7)
DEFAULT_SPACE = ("lr=1e-4..1e-1", "weight_decay=1e-6..1e-2")  # common ranges for Adam


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Number and length of trials, and sampling algorithm."""

    trials: Annotated[
        int,
        Parameter(name=("--trials", "--coarse"), group=SEARCH, help="Set the number of trials over the full ranges."),
    ] = 16
    epochs: Annotated[int, Parameter(group=SEARCH, help="Set the maximum number of epochs per trial.")] = 2
    fine: Annotated[int, Parameter(group=SEARCH, help="Set the number of trials around the best (0 = none).")] = 8
    fine_epochs: Annotated[
        int,
        Parameter(
            group=SEARCH, show_default=False, help="Set the maximum number of epochs per fine trial [2 x --epochs]."
        ),
    ] = 0
    stages: Annotated[int, Parameter(group=SEARCH, help="Set the number of stages: coarse, fine, finer.")] = 2
    sampler: Annotated[
        Literal["random", "grid", "qmc", "tpe", "gp"], Parameter(group=SEARCH, help="Select the sampling algorithm.")
    ] = "random"
    halving: Annotated[
        float, Parameter(group=SEARCH, help="Set the reduction factor of successive halving (1 disables it).")
    ] = 3.0
    ensemble: Annotated[
        int, Parameter(group=SEARCH, show_default=False, help="Evaluate an ensemble of the best N models, too.")
    ] = 0
    optimizer: Annotated[str, Parameter(group=SEARCH, help="Select the optimizer if the space does not.")] = "adam"
    batch_size: Annotated[int, Parameter(group=SEARCH, help="Set the batch size if the space does not.")] = 64
    precision: Annotated[
        Literal["32", "auto", "bf16"],
        Parameter(
            group=SEARCH,
            help="Set the precision; auto uses bfloat16 matrix products where measured to be accurate and faster.",
        ),
    ] = "32"

    def settings(self, seed: int) -> SearchSettings:
        """Convert the options to search settings."""
        from babysit.tuning.settings import SearchSettings, Stage

        if self.stages < 1:
            raise UserError(f"--stages is {self.stages}", do="Use --stages 1 or more")
        if self.fine < 0:
            raise UserError(f"--fine is {self.fine}", do="Use --fine 0 or more")
        fine_epochs = self.fine_epochs or 2 * self.epochs
        stages = [Stage("coarse", self.trials, self.epochs)]
        for order in range(self.stages - 1 if self.fine else 0):
            name = ("fine", "finer")[order] if order < 2 else f"finer {order}"
            stages.append(Stage(name, self.fine, fine_epochs))
        return SearchSettings(
            stages=tuple(stages),
            sampler=self.sampler,
            seed=seed,
            halving=self.halving,
            ensemble=self.ensemble,
            optimizer=self.optimizer,
            batch_size=self.batch_size,
            precision=self.precision,
        )


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class ExecutorOptions:
    """Executor of the trials."""

    executor: Annotated[
        Literal["population", "inprocess", "processes", "ray"] | None,
        Parameter(
            group=EXECUTION,
            show_default=False,
            help="Select the executor. population: trials of equal shape vectorized; inprocess: one by one in plain "
            "PyTorch; processes: on the cores of this machine; ray: on a cluster [population; with --resume as "
            "recorded].",
        ),
    ] = None
    workers: Annotated[
        int,
        Parameter(
            group=EXECUTION,
            show_default=False,
            help="Set the number of workers of processes or ray [one per core or CPU].",
        ),
    ] = 0
    address: Annotated[
        str,
        Parameter(
            group=EXECUTION, show_default=False, help="Connect to the Ray cluster at this address [start a local one]."
        ),
    ] = ""

    @property
    def option(self) -> str:
        """Return the options as command-line text."""
        words = [f" --executor {self.executor}" if self.executor else ""]
        words += [f" --workers {self.workers}" if self.workers else ""]
        words += [f" --address {shlex.quote(self.address)}" if self.address else ""]
        return "".join(words)

    @property
    def config(self) -> dict[str, str | int]:
        """Return the options that are recorded with a run, so that a resumed search uses the same executor."""
        return {name: value for name, value in asdict(self).items() if value}

    def make(self) -> Callable[[TrainingTask], Executor] | None:
        """Create the executor; None for the default."""
        if self.executor == "inprocess":
            from babysit.tuning.executors.sequential import SequentialExecutor

            return SequentialExecutor
        if self.executor in (None, "population"):
            return None
        from babysit.tuning.vectorized.executor import VectorizedExecutor

        if self.executor == "processes":
            from babysit.tuning.executors.processes import processes

            return processes(self.workers, inner=VectorizedExecutor)
        from babysit.tuning.executors.ray_actors import ray_actors

        return ray_actors(self.workers, address=self.address, inner=VectorizedExecutor)


DEFAULT_SEARCH_OPTIONS: Final = SearchOptions()
DEFAULT_EXECUTOR_OPTIONS: Final = ExecutorOptions()


def search(  # noqa: PLR0913  one argument per group of options
    data: Data = "",
    /,
    *space: Annotated[
        str, Parameter(show_default=False, help="Search these hyperparameters [lr=1e-4..1e-1 weight_decay=1e-6..1e-2].")
    ],
    more: Annotated[
        tuple[str, ...],
        Parameter(
            name="--space",
            group=SEARCH,
            negative="",
            show_default=False,
            help="Search these hyperparameters, given as one word: lr=1e-4..1e-1,hidden=32,64.",
        ),
    ] = (),
    resume: Annotated[
        str, Parameter(show_default=False, help="Resume an interrupted search (ID; default: latest).")
    ] = "",
    search_options: SearchOptions = DEFAULT_SEARCH_OPTIONS,
    executor_options: ExecutorOptions = DEFAULT_EXECUTOR_OPTIONS,
    data_options: DataOptions = DEFAULT_DATA_OPTIONS,
    rule_options: RuleOptions = DEFAULT_RULE_OPTIONS,
    store: StoreOptions = DEFAULT_STORE_OPTIONS,
    json: Json = False,
) -> int:
    """Search hyperparameters: many short trials over wide ranges, then longer trials around the best."""
    settings = settle(rule_options, store=store, threads=data_options.threads)
    if not data and not resume:
        raise UserError("no data given", do="Name a dataset: babysit search digits")
    from babysit.tuning.space_parser import read_space

    with progress_bars() as progress, open_store(settings) as run_store:
        former = _resumable(run_store, resume) if resume else None
        if former is not None:
            again = f"babysit search {{data}} --resume {former.id}{{model}}{run_store.option}"
            known = confirmed(run_store, former, source=data, model=data_options.model, command=again)
            data, space, data_options, search_options, executor_options = _recorded_options(
                known, (*space, *more), data_options, executor_options
            )
            more = ()
        words = (*space, *more) or DEFAULT_SPACE
        wanted = read_space(words)
        own = search_options.settings(data_options.seed)
        ready = prepared(data, data_options, settings, progress, example=wanted.examples()[0])
        from babysit.monitor.monitor import now
        from babysit.pipeline.reproduce import require_same_data
        from babysit.pipeline.run_state import RunState, begin_run, reopen_run
        from babysit.tuning.search import search as search_all

        config = {
            "source": data,
            "space": " ".join(words),
            **data_options.config,
            **asdict(search_options),
            **executor_options.config,
        }
        if former is not None:
            require_same_data(former, ready.profile)
        run = reopen_run(former, config) if former else begin_run("search", config)
        folder = (run_folder(settings, run.id) / "search").absolute()
        with RunState(run, run_store, stages=("searched",)) as state:
            state.update(data=ready.profile, artifacts={**run.artifacts, "search": str(folder)})
            named = f" --model {shlex.quote(data_options.model)}" if data_options.model else ""
            again = f"babysit search --resume {run.id}{named}{executor_options.option}{run_store.option}"
            with _resume_hint(again):
                result = search_all(
                    ready.build,
                    ready.splits,
                    space=wanted,
                    settings=own,
                    executor=executor_options.make(),
                    writer=state.writer,
                    progress=progress,
                    folder=folder,
                )
            reason = "stopped by the user" if result.interrupted else ""
            status = Status.INTERRUPTED if result.interrupted else Status.FINISHED
            state.update(trials=result.trials, ranges=result.ranges, status=status, stop_reason=reason, ended=now())
            state.finish("searched", findings=judged(state.run, settings).findings)
        run = state.run
    from babysit.cli.render import show_report, show_search

    if json:
        show_report(run, format="json")
    else:
        show_search(run, (*result.notes, *([f"resume with: {again}"] if result.interrupted else ())))
    return 130 if result.interrupted else exit_code(run, settings, exit_zero=rule_options.exit_zero)


@contextmanager
def _resume_hint(again: str) -> Iterator[None]:
    from babysit.tuning.search_checkpoint import CannotWriteError

    try:
        yield
    except CannotWriteError as problem:
        do = f"Finished trials are saved. Free disk space, then resume with: {again}"
        raise UserError(problem.what, where=problem.where, do=do) from problem


def _resumable(store: Store, wanted: str) -> Run:
    """Load the run with this ID, or the latest unfinished (also killed) search of this user."""
    if wanted == LATEST:
        return latest_own(store, kind="search", states=("running", "interrupted", "crashed"))
    run = store.load(wanted)
    if run.kind != "search":
        raise UserError(f"run {run.id} is a {run.kind} run", do="Resume a run of `babysit search`")
    if run.status is Status.FINISHED:
        raise UserError(f"run {run.id} is finished", do=f"Show it with `babysit runs {run.id}`, or start a new search")
    return run


def _recorded_options(
    known: Known, space: tuple[str, ...], data_options: DataOptions, executor_options: ExecutorOptions
) -> tuple[str, tuple[str, ...], DataOptions, SearchOptions, ExecutorOptions]:
    """Return the recorded options of an interrupted search.

    Executors and addresses are only taken from runs of this user.
    """
    from babysit.pipeline.reproduce import describe_source

    run = known.run
    recorded = tuple(str(run.config.get("space", "")).split())
    if (space and space != recorded) or MASK in "".join(recorded):
        raise UserError(
            f"search {run.id} was started with another space", where=" ".join(recorded)[:200], do="Omit the space"
        )
    if known.own and executor_options == DEFAULT_EXECUTOR_OPTIONS:
        executor_options = describe_source(ExecutorOptions, run)
    return (
        known.source,
        recorded,
        describe_source(DataOptions, run, model=known.model, threads=data_options.threads),
        describe_source(SearchOptions, run),
        executor_options,
    )
