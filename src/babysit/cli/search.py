"""`babysit search`: hyperparameters from coarse to fine."""

from __future__ import annotations

import shlex
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal, final

from cyclopts import Group, Parameter

from babysit.cli.data_options import DEFAULT_MATERIAL, Data, DataOptions, prepared
from babysit.cli.options import (
    DEFAULT_JUDGING,
    DEFAULT_KEEPING,
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

SEARCHING = Group("Searching", sort_key=6)
WORKING = Group("Working", sort_key=7)
USUAL = ("lr=1e-4..1e-1", "weight_decay=1e-6..1e-2")  # the lecture's two, in the ranges usual for Adam


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """How many configurations are tried, for how long, and who chooses them."""

    trials: Annotated[
        int, Parameter(name=("--trials", "--coarse"), group=SEARCHING, help="Trials over the whole ranges.")
    ] = 16
    epochs: Annotated[int, Parameter(group=SEARCHING, help="Epochs of each of these, at most.")] = 2
    fine: Annotated[int, Parameter(group=SEARCHING, help="Trials around the best; 0 for none.")] = 8
    fine_epochs: Annotated[
        int, Parameter(group=SEARCHING, show_default=False, help="Epochs of each of these [twice --epochs].")
    ] = 0
    stages: Annotated[int, Parameter(group=SEARCHING, help="Stages in all: coarse, fine, and finer ones.")] = 2
    sampler: Annotated[
        Literal["random", "grid", "qmc", "tpe", "gp"], Parameter(group=SEARCHING, help="Who chooses what to try.")
    ] = "random"
    halving: Annotated[
        float, Parameter(group=SEARCHING, help="At each rung one trial in so many goes on; 1 trains all to the end.")
    ] = 3.0
    ensemble: Annotated[
        int, Parameter(group=SEARCHING, show_default=False, help="Ask so many of the best together, too.")
    ] = 0
    optimizer: Annotated[str, Parameter(group=SEARCHING, help="Where the space has none.")] = "adam"
    batch_size: Annotated[int, Parameter(group=SEARCHING, help="Where the space has none.")] = 64
    precision: Annotated[
        Literal["32", "auto", "bf16"],
        Parameter(group=SEARCHING, help="auto: bfloat16 products where they are measured right and faster."),
    ] = "32"

    def settings(self, seed: int) -> SearchSettings:
        """The same as the search takes it."""
        from babysit.tuning.settings import SearchSettings, Stage

        if self.stages < 1:
            raise UserError(f"a search of {self.stages} stages", do="Give --stages 1 or more")
        if self.fine < 0:
            raise UserError(f"{self.fine} trials around the best", do="Give --fine 0 for none, or more")
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
    """Who trains."""

    executor: Annotated[
        Literal["population", "inprocess", "processes", "ray"] | None,
        Parameter(
            group=WORKING,
            show_default=False,
            help="population: members of one shape as one; inprocess: one by one in plain PyTorch; processes: on the "
            "cores of this machine; ray: on a cluster [population; with --resume whoever began].",
        ),
    ] = None
    workers: Annotated[
        int, Parameter(group=WORKING, show_default=False, help="Of processes or ray [one a core or CPU].")
    ] = 0
    address: Annotated[
        str, Parameter(group=WORKING, show_default=False, help="Of a Ray cluster; without it one begins here.")
    ] = ""

    @property
    def option(self) -> str:
        """What was asked for, as it is typed behind a command."""
        words = [f" --executor {self.executor}" if self.executor else ""]
        words += [f" --workers {self.workers}" if self.workers else ""]
        words += [f" --address {shlex.quote(self.address)}" if self.address else ""]
        return "".join(words)

    @property
    def told(self) -> dict[str, str | int]:
        """What of it is kept with a run, for a search that goes on to be trained by the same."""
        return {name: value for name, value in asdict(self).items() if value}

    def make(self) -> Callable[[TrainingTask], Executor] | None:
        """The executor; None for the usual one."""
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


DEFAULT_SEARCHING: Final = SearchOptions()
DEFAULT_WORKING: Final = ExecutorOptions()


def search(  # noqa: PLR0913  one argument for each group of options
    data: Data = "",
    /,
    *space: Annotated[
        str, Parameter(show_default=False, help="What is searched [lr=1e-4..1e-1 weight_decay=1e-6..1e-2].")
    ],
    more: Annotated[
        tuple[str, ...],
        Parameter(
            name="--space",
            group=SEARCHING,
            negative="",
            show_default=False,
            help="The same as one word: lr=1e-4..1e-1,hidden=32,64.",
        ),
    ] = (),
    resume: Annotated[
        str, Parameter(show_default=False, help="Go on with an interrupted search: its id, or nothing for the latest.")
    ] = "",
    searching: SearchOptions = DEFAULT_SEARCHING,
    working: ExecutorOptions = DEFAULT_WORKING,
    material: DataOptions = DEFAULT_MATERIAL,
    judging: RuleOptions = DEFAULT_JUDGING,
    store: StoreOptions = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Search hyperparameters: many short trainings over wide ranges, then longer ones around the best."""
    settings = settle(judging, store=store, threads=material.threads)
    if not data and not resume:
        raise UserError("there is no data to search on", do="Name some: babysit search digits")
    from babysit.tuning.space_parser import read_space

    with progress_bars() as progress, open_store(settings) as kept:
        former = _resumable(kept, resume) if resume else None
        if former is not None:
            again = f"babysit search {{data}} --resume {former.id}{{model}}{kept.option}"
            known = confirmed(kept, former, source=data, model=material.model, command=again)
            data, space, material, searching, working = _asked(known, (*space, *more), material, working)
            more = ()
        words = (*space, *more) or USUAL
        wanted = read_space(words)
        own = searching.settings(material.seed)
        ready = prepared(data, material, settings, progress, example=wanted.examples()[0])
        from babysit.pipeline.reproduce import require_same_data
        from babysit.pipeline.run_state import RunState, begin_run, now, reopen_run
        from babysit.tuning.search import search as search_all

        told = {"source": data, "space": " ".join(words), **material.told, **asdict(searching), **working.told}
        if former is not None:
            require_same_data(former, ready.profile)
        run = reopen_run(former, told) if former else begin_run("search", told)
        folder = (run_folder(settings, run.id) / "search").absolute()
        with RunState(run, kept, stages=("searched",)) as state:
            state.update(data=ready.profile, artifacts={**run.artifacts, "search": str(folder)})
            named = f" --model {shlex.quote(material.model)}" if material.model else ""
            again = f"babysit search --resume {run.id}{named}{working.option}{kept.option}"
            with _saying_how_to_go_on(again):
                found = search_all(
                    ready.build,
                    ready.splits,
                    space=wanted,
                    settings=own,
                    executor=working.make(),
                    writer=state.writer,
                    progress=progress,
                    folder=folder,
                )
            reason = "stopped by the user" if found.interrupted else ""
            status = Status.INTERRUPTED if found.interrupted else Status.FINISHED
            state.update(trials=found.trials, ranges=found.ranges, status=status, stop_reason=reason, ended=now())
            state.finish("searched", findings=judged(state.run, settings).findings)
        run = state.run
    from babysit.cli.render import show_report, show_search

    if json:
        show_report(run, format="json")
    else:
        show_search(run, (*found.notes, *([f"go on with: {again}"] if found.interrupted else ())))
    return 130 if found.interrupted else exit_code(run, settings, exit_zero=judging.exit_zero)


@contextmanager
def _saying_how_to_go_on(again: str) -> Iterator[None]:
    from babysit.tuning.search_checkpoint import CannotWriteError

    try:
        yield
    except CannotWriteError as problem:
        do = f"What had ended is kept. Make room, then go on with: {again}"
        raise UserError(problem.what, where=problem.where, do=do) from problem


def _resumable(store: Store, wanted: str) -> Run:
    """The run of that id, or this user's latest search that has not been finished; also one that was killed."""
    if wanted == LATEST:
        return latest_own(store, kind="search", states=("running", "interrupted", "crashed"))
    run = store.load(wanted)
    if run.kind != "search":
        raise UserError(f"run {run.id} is a {run.kind} run", do="Resume one that `babysit search` began")
    if run.status is Status.FINISHED:
        raise UserError(f"run {run.id} is finished", do=f"See it with `babysit runs {run.id}`, or begin a new search")
    return run


def _asked(
    known: Known, space: tuple[str, ...], material: DataOptions, working: ExecutorOptions
) -> tuple[str, tuple[str, ...], DataOptions, SearchOptions, ExecutorOptions]:
    """What an interrupted search was asked, as it was kept with the run.

    Which machines train is taken from a run of this user alone.
    """
    from babysit.pipeline.reproduce import describe_source

    run = known.run
    kept = tuple(str(run.config.get("space", "")).split())
    if (space and space != kept) or MASK in "".join(kept):
        raise UserError(
            f"search {run.id} was begun with another space", where=" ".join(kept)[:200], do="Leave the space out"
        )
    if known.own and working == DEFAULT_WORKING:
        working = describe_source(ExecutorOptions, run)
    return (
        known.source,
        kept,
        describe_source(DataOptions, run, model=known.model, threads=material.threads),
        describe_source(SearchOptions, run),
        working,
    )
