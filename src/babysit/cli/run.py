"""`babysit run`: the whole method on one set of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from babysit.cli.data_options import DEFAULT_MATERIAL, TRAINING, Data, DataOptions, loading, set_threads
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
from babysit.cli.resuming import LATEST, confirmed, latest_own
from babysit.cli.run_folders import open_store, run_folder, runs_folder
from babysit.cli.terminal import progress_bars, say_problem
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from babysit.records.run import Run
    from babysit.store.store import Store


def run(
    data: Data = "",
    /,
    *,
    resume: Annotated[
        str, Parameter(show_default=False, help="Go on with an interrupted run: its id, or nothing for the latest.")
    ] = "",
    epochs: Annotated[int, Parameter(group=TRAINING, help="Epochs of the final training, at most.")] = 60,
    material: DataOptions = DEFAULT_MATERIAL,
    judging: RuleOptions = DEFAULT_JUDGING,
    store: StoreOptions = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Carry the whole method out: prepare, check, search, train under watch, and say what came of it."""
    settings = settle(judging, store=store, threads=material.threads)
    if not data and not resume:
        raise UserError("there is no data to run on", do="Name some: babysit run digits")
    from babysit.cli.render import show_end, show_report, show_stage

    with progress_bars() as progress, open_store(settings) as kept:
        with loading(progress):
            set_threads(settings)
            from babysit.pipeline.run_pipeline import Guidance, PipelineSettings, run_pipeline, settings_of
        before = _resumable(kept, resume) if resume else None
        folder = str(runs_folder(settings).absolute())
        if before is not None:
            again = f"babysit run {{data}} --resume {before.id}{{model}}{kept.option}"
            known = confirmed(kept, before, source=data, model=material.model, command=again)
            wanted = settings_of(before, source=known.source, model=known.model, folder=folder)
            if known.own and not run_folder(settings, before.id).is_dir():
                say_problem(f"no files of run {before.id} are in {folder}: what it had trained is trained again")
        else:
            wanted = PipelineSettings(
                source=data,
                target=material.target,
                model=material.model,
                seed=material.seed,
                skip_invalid=material.skip_invalid,
                epochs=epochs,
                folder=folder,
            )
        finished = run_pipeline(
            wanted,
            store=kept,
            resume=before,
            guidance=Guidance(
                judge=lambda found: judged(found, settings),
                progress=progress,
                on_stage=_nothing if json else lambda stage, now: show_stage(stage, now, progress),
            ),
        )
    if json:
        show_report(finished, format="json")
    else:
        show_end(finished, store=kept.option)
    return exit_code(finished, settings, exit_zero=judging.exit_zero)


def _resumable(store: Store, wanted: str) -> Run:
    """The run of that id, or the latest of this user's that has not been finished."""
    if wanted != LATEST:
        return store.load(wanted)
    return latest_own(store, kind="pipeline", states=("interrupted", "crashed"))


def _nothing(stage: str, run: Run) -> None:
    """Say nothing of a stage: only JSON is wanted."""
