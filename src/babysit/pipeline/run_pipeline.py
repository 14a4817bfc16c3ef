"""The method of the lecture, one function a stage: prepare, check, search, train, conclude."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

from babysit.pipeline.finalize import finalize, make_folder
from babysit.pipeline.prepare import Prepared, Reading, prepare
from babysit.pipeline.reproduce import describe_source, require_same_data
from babysit.pipeline.run_state import RunState, Tell, begin_run, reopen_run
from babysit.pipeline.train import train
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.store.run_id import require_plain_id

if TYPE_CHECKING:
    from rich.progress import Progress

    from babysit.store.store import Store

# Preprocess; is the initial loss right, are twenty samples learned, which learning rates help; coarse to fine; the
# training; and what came of it.
STAGES: Final = ("prepared", "checked", "searched", "trained", "concluded")

# Where the learning rate range says nothing: Adam's usual learning rates, wide.
LRS: Final = (1e-4, 1e-1)
WEIGHT_DECAYS: Final = (1e-6, 1e-2)


@final
@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """What the method is carried out on; kept with the run, so that it can be resumed."""

    source: str  # digits, or the path of a table, an archive or a folder of images
    target: str = ""  # column of a table
    model: str = ""  # package.module:factory; "" builds an mlp for tables and a cnn for images
    seed: int = 0
    skip_invalid: bool = False  # damaged and incomplete samples are left out and counted
    epochs: int = 60  # at most: the training ends when validation has stopped improving
    # Twice fit's own: small validation splits jump from epoch to epoch. On digits (ten seeds, dropout 0.2) the test
    # accuracy was 0.977 instead of 0.975, which is within the noise; it costs about a second.
    patience: int = 16
    gap_patience: int = 10
    folder: str = "babysit_runs"  # gets one folder a run


@final
@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Who looks on while the method is carried out; nothing of it changes a number."""

    progress: Progress | None = None
    tell: Tell = lambda stage, run: None  # called with each stage that ends
    judge: Callable[[Run], Run] | None = None  # adds the findings; None asks every rule


def run_pipeline(
    settings: PipelineSettings, *, store: Store, resume: Run | None = None, guidance: Guidance = Guidance()
) -> Run:
    """Carry the whole method out on the data of the settings and return the finished run.

    Every stage is kept in the store as it ends. Stopped at any point, the run stays readable; given as `resume`,
    finished stages are not repeated and the training goes on from its checkpoint, to the same numbers as without the
    interruption. Model, checkpoint and report lie in a folder named as the run.

    Raises:
        UserError: the data or the model cannot be used, or the folder cannot be written.
        KeyboardInterrupt: with the sentence that says what was kept and how to go on.
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
    with RunState(run, store, stages=STAGES, tell=guidance.tell) as journal:
        if not journal.finished("prepared"):
            journal.finish("prepared", data=prepared.profile)
        if not journal.finished("checked"):
            _check(journal, prepared, guidance.progress)
        if not journal.finished("searched"):
            _search(journal, prepared, guidance.progress)
        if not journal.finished("trained"):
            train(journal, prepared, folder=folder, progress=guidance.progress)
        return finalize(journal, folder=folder, judge=guidance.judge)


def settings_of(run: Run, *, source: str, model: str, folder: str) -> PipelineSettings:
    """The settings that a run of the method began with. Raises UserError when it cannot be resumed.

    What leads to code or files is not taken from the run: the caller says which data and model, and where files lie.
    """
    if run.kind != "pipeline":
        raise UserError(f"run {run.id} is a {run.kind} run", do="Resume one that `babysit run` began")
    if run.status is Status.FINISHED:
        raise UserError(f"run {run.id} is finished", do=f"See it with `babysit runs {run.id}`, or begin a new run")
    if run.status is Status.RUNNING:
        raise UserError(f"run {run.id} is still running", do="Wait for it, or stop it first")
    return describe_source(PipelineSettings, run, source=source, model=model, folder=folder)


def _check(journal: RunState, prepared: Prepared, progress: Progress | None) -> None:
    """Is the loss that of guessing, can twenty samples be learned by heart, which learning rates make the loss fall?"""
    from babysit.experiments.check import CheckSettings, check

    model = prepared.model(journal.seed)
    experiments = check(model, prepared.splits.train, settings=CheckSettings(seed=journal.seed), progress=progress)
    journal.finish("checked", experiments=experiments)


def _search(journal: RunState, prepared: Prepared, progress: Progress | None) -> None:
    """Many short trainings over the learning rates that help, then fewer and longer ones around the best."""
    from babysit.tuning.search import search
    from babysit.tuning.settings import SearchSettings
    from babysit.tuning.space import Range, Space

    found = search(
        prepared.build,
        prepared.splits,
        space=Space({"lr": Range(*usable_lrs(journal.run)), "weight_decay": Range(*WEIGHT_DECAYS)}),
        settings=SearchSettings(seed=journal.seed),
        writer=journal.writer,
        progress=progress,
    )
    journal.keep(trials=found.trials, ranges=found.ranges)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.best is None:
        raise UserError("no hyperparameters could be found", do=" ".join(found.notes))
    journal.configure(**found.best.parameters)
    journal.finish("searched")


def usable_lrs(run: Run) -> tuple[float, float]:
    """The learning rates worth searching, as the learning rate range measured them, or the usual ones."""
    experiment = run.experiment("lr-range")
    measured = experiment.measured if experiment else {}
    low, high = measured.get("low", 0.0), measured.get("high", 0.0)
    return (low, high) if 0 < low < high else LRS
