"""The method of the lecture, one function a stage: prepare, check, search, train, conclude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, final

import msgspec

from babysit.records.problem import UserError
from babysit.records.run import Run, Status
from babysit.routine.journal import Journal, Tell, begin_run, now
from babysit.routine.prepare import Prepared, prepare

if TYPE_CHECKING:
    from rich.progress import Progress

    from babysit.store.store import Store

# Preprocess; is the initial loss right, are twenty samples learned, which rates help; coarse to fine; the training under
# watch; and what came of it.
STAGES: Final = ("prepared", "checked", "searched", "trained", "concluded")

# Where the rate range says nothing: Adam's usual rates, wide.
RATES: Final = (1e-4, 1e-1)
WEIGHT_DECAYS: Final = (1e-6, 1e-2)


@final
@dataclass(frozen=True, kw_only=True)
class RoutineSettings:
    """What the method is carried out on, and how."""

    source: str  # digits, or the path of a table, an archive or a folder of images
    target: str = ""  # column of a table
    model: str = ""  # package.module:factory; "" builds an mlp for tables and a cnn for images
    seed: int = 0
    epochs: int = 50  # at most: the training ends when validation has stopped improving
    overhead: float = 0.01  # share of step time that watching may take
    folder: Path = Path("babysit_runs")  # gets one folder a run
    select: Sequence[str] = ()
    ignore: Sequence[str] = ()
    limits: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def carry_out(
    settings: RoutineSettings,
    *,
    store: Store,
    resume: Run | None = None,
    progress: Progress | None = None,
    tell: Tell = lambda stage, run: None,
) -> Run:
    """Carry the whole method out on the data of the settings and return the finished run.

    Every stage is kept in the store as it ends, and `tell` is then called with its name. Stopped at any point, the run
    stays readable; given as `resume`, finished stages are not repeated and the training goes on from its checkpoint,
    to the same numbers as without the interruption. Model, checkpoint and report lie in a folder named as the run.

    Raises:
        UserError: the data or the model cannot be used, or the folder cannot be written.
        KeyboardInterrupt: with the sentence that says what was kept and how to go on.
    """
    run = resume or begin_run("routine", _told(settings))
    folder = make_folder(settings.folder / run.id)
    prepared = prepare(settings.source, target=settings.target, model=settings.model, seed=settings.seed)
    _require_same_data(run, prepared)
    with Journal(run, store, stages=STAGES, tell=tell) as journal:
        if not journal.finished("prepared"):
            journal.finish("prepared", data=prepared.profile)
        if not journal.finished("checked"):
            _check(journal, prepared, settings, progress)
        if not journal.finished("searched"):
            _search(journal, prepared, settings, progress)
        _train(journal, prepared, settings, folder, progress)
        return _conclude(journal, prepared, settings, folder)


def settings_of(run: Run) -> RoutineSettings:
    """The settings that a run of the method began with. Raises UserError when it cannot be resumed."""
    if run.kind != "routine":
        raise UserError(f"run {run.id} is a {run.kind} run", do="Resume one that `babysit run` began")
    if run.status is Status.FINISHED:
        raise UserError(f"run {run.id} is finished", do=f"See it with `babysit runs {run.id}`, or begin a new run")
    if run.status is Status.RUNNING:
        raise UserError(f"run {run.id} is still running", do="Wait for it, or stop it first")
    told = run.config
    return RoutineSettings(
        source=str(told["source"]),
        target=str(told["target"]),
        model=str(told["model"]),
        seed=int(told["seed"]),
        epochs=int(told["epochs"]),
        folder=Path(str(told["folder"])),
    )


def _told(settings: RoutineSettings) -> dict[str, float | int | str | bool]:
    return {
        "source": settings.source,
        "target": settings.target,
        "model": settings.model,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "folder": str(settings.folder),
    }


def _require_same_data(run: Run, prepared: Prepared) -> None:
    if run.data is not None and run.data.fingerprint != prepared.profile.fingerprint:
        raise UserError(
            "the data have changed since this run began",
            where=prepared.profile.source,
            do="Begin a new run, or bring the former data back",
        )


def _check(journal: Journal, prepared: Prepared, settings: RoutineSettings, progress: Progress | None) -> None:
    """Is the loss that of guessing, can twenty samples be learned by heart, which rates make the loss fall?"""
    from babysit.probes.check import CheckSettings, check

    probes = check(
        prepared.model(settings.seed),
        prepared.splits.train,
        settings=CheckSettings(seed=settings.seed),
        progress=progress,
    )
    journal.finish("checked", probes=probes)


def _search(journal: Journal, prepared: Prepared, settings: RoutineSettings, progress: Progress | None) -> None:
    """Many short trainings over the rates that help, then fewer and longer ones around the best."""
    from babysit.tuning.search import search
    from babysit.tuning.settings import SearchSettings
    from babysit.tuning.space import Scale, Space

    found = search(
        prepared.build,
        prepared.splits,
        space=Space({"rate": Scale(*usable_rates(journal.run)), "weight_decay": Scale(*WEIGHT_DECAYS)}),
        settings=SearchSettings(seed=settings.seed),
        writer=journal.writer,
        progress=progress,
    )
    journal.keep(trials=found.trials, ranges=found.ranges)
    if found.interrupted:
        raise KeyboardInterrupt
    if found.best is None:
        raise UserError("no hyperparameters could be found", where=settings.source, do=" ".join(found.notes))
    journal.configure(**found.best.parameters)
    journal.finish("searched")


def _train(
    journal: Journal, prepared: Prepared, settings: RoutineSettings, folder: Path, progress: Progress | None
) -> None:
    """One long training with what the search found, watched, and ended when validation stops improving."""
    if journal.finished("trained"):
        return
    from babysit.training.fit import fit
    from babysit.training.settings import FitSettings

    told = journal.run.config
    checkpoint = folder / CHECKPOINT
    fitted = fit(
        prepared.model(settings.seed),
        prepared.splits,
        settings=FitSettings(
            rate=float(told["rate"]),
            weight_decay=float(told["weight_decay"]),
            epochs=settings.epochs,
            seed=settings.seed,
            folder=folder,
        ),
        writer=journal.writer,
        progress=progress,
        resume=checkpoint if checkpoint.exists() else None,
    )
    ...


def usable_rates(run: Run) -> tuple[float, float]:
    """The rates worth searching, as the rate range measured them, or the usual ones."""
    probe = run.probe("rate-range")
    measured = probe.measured if probe else {}
    low, high = measured.get("low", 0.0), measured.get("high", 0.0)
    return (low, high) if 0 < low < high else RATES
