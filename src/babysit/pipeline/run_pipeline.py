"""The full workflow, one function per stage: prepare, check, search, train, conclude."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from babysit.pipeline.finalize import finalize, make_folder
from babysit.pipeline.prepare import Prepared, Reading, prepare
from babysit.pipeline.reproduce import describe_source, require_same_data
from babysit.pipeline.run_state import OnStage, RunState, begin_run, reopen_run
from babysit.pipeline.train import train
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.store.run_id import require_plain_id

if TYPE_CHECKING:
    from rich.progress import Progress

    from babysit.store.store import Store

# Names stored with runs: preprocessing; initial loss, small-batch overfit and learning rate range; coarse-to-fine
# search; training; findings and report.
STAGES: Final = ("prepared", "checked", "searched", "trained", "concluded")

# Default range if the learning rate range test is inconclusive: wide around Adam's usual learning rates.
LRS: Final = (1e-4, 1e-1)
WEIGHT_DECAYS: Final = (1e-6, 1e-2)


@final
@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """Settings of the pipeline, stored with the run so that it can be resumed."""

    source: str  # digits, or the path of a table, an archive or a folder of images
    target: str = ""  # column of a table
    model: str = ""  # package.module:factory; "" builds an mlp for tables and a cnn for images
    seed: int = 0
    skip_invalid: bool = False  # damaged and incomplete samples are skipped and counted
    epochs: int = 60  # maximum: early stopping may end the training before
    # Twice the default of fit: scores on small validation splits are noisy. On digits (ten seeds, dropout 0.2) the test
    # accuracy was 0.977 instead of 0.975, which is within the noise; it takes about a second.
    patience: int = 16
    gap_patience: int = 10
    folder: str = "babysit_runs"  # contains one folder per run


@final
@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Callbacks of the pipeline; they do not change any result."""

    progress: Progress | None = None
    on_stage: OnStage = lambda stage, run: None  # called after each stage
    judge: Callable[[Run], Run] | None = None  # adds the findings; None for all rules


def run_pipeline(
    settings: PipelineSettings, *, store: Store, resume: Run | None = None, guidance: Guidance = Guidance()
) -> Run:
    """Run the full workflow on the data of the settings and return the finished run.

    Every stage is saved in the store as it ends. An interrupted run stays readable; with `resume`, finished stages are
    skipped and the training continues from its checkpoint, with the same results as without the interruption. Model,
    checkpoint and report are in a folder named by the run's ID.

    Raises:
        UserError: the data or the model are invalid, or the folder cannot be written.
        KeyboardInterrupt: with a message about what was saved and how to resume.
    """
    run = reopen_run(resume, asdict(settings)) if resume else begin_run("pipeline", asdict(settings))
    require_plain_id(run.id)  # it names the folder
    folder = make_folder(Path(settings.folder) / run.id)
    prepared = prepare(
        settings.source,
        target=settings.target,
        model=settings.model,
        seed=settings.seed,
        reading=Reading(skip_invalid=settings.skip_invalid, progress=guidance.progress),
    )
    require_same_data(run, prepared.profile)
    with RunState(run, store, stages=STAGES, on_stage=guidance.on_stage) as state:
        if not state.finished("prepared"):
            state.finish("prepared", data=prepared.profile)
        if not state.finished("checked"):
            _check(state, prepared, guidance.progress)
        if not state.finished("searched"):
            _search(state, prepared, guidance.progress)
        if not state.finished("trained"):
            train(state, prepared, folder=folder, progress=guidance.progress)
        return finalize(state, folder=folder, judge=guidance.judge)


def settings_of(run: Run, *, source: str, model: str, folder: str) -> PipelineSettings:
    """Return the settings of a pipeline run. Raises UserError if it cannot be resumed.

    Data, model and folder come from the caller, since a record must not decide which code or files are loaded.
    """
    if run.kind != "pipeline":
        raise UserError(f"run {run.id} is a {run.kind} run", do="Resume a run of `babysit run`")
    if run.status is Status.FINISHED:
        raise UserError(f"run {run.id} is finished", do=f"Show it with `babysit runs {run.id}`, or start a new run")
    if run.status is Status.RUNNING:
        raise UserError(f"run {run.id} is still running", do="Wait for it, or stop it first")
    return describe_source(PipelineSettings, run, source=source, model=model, folder=folder)


def _check(state: RunState, prepared: Prepared, progress: Progress | None) -> None:
    """Check the initial loss, overfit a small batch and run the learning rate range test."""
    from babysit.experiments.check import CheckSettings, check

    model = prepared.model(state.seed)
    experiments = check(model, prepared.splits.train, settings=CheckSettings(seed=state.seed), progress=progress)
    state.finish("checked", experiments=experiments)


def _search(state: RunState, prepared: Prepared, progress: Progress | None) -> None:
    """Search coarse to fine: many short trainings over the usable learning rates, then fewer longer ones."""
    from babysit.tuning.search import search
    from babysit.tuning.settings import SearchSettings
    from babysit.tuning.space import Range, Space

    found = search(
        prepared.build,
        prepared.splits,
        space=Space({"lr": Range(*usable_lrs(state.run)), "weight_decay": Range(*WEIGHT_DECAYS)}),
        settings=SearchSettings(seed=state.seed),
        writer=state.writer,
        progress=progress,
    )
    state.update(trials=found.trials, ranges=found.ranges)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.best is None:
        raise UserError("the search found no usable hyperparameters", do=" ".join(found.notes))
    state.configure(**found.best.parameters)
    state.finish("searched")


def usable_lrs(run: Run) -> tuple[float, float]:
    """Return the range of learning rates to search: that of the range test, or the default."""
    experiment = run.experiment("lr-range")
    measured = experiment.measured if experiment else {}
    low, high = measured.get("low", 0.0), measured.get("high", 0.0)
    return (low, high) if 0 < low < high else LRS
