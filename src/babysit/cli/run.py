"""`babysit run`: the whole method on one set of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from babysit.cli.keeping import open_store, runs_folder
from babysit.cli.material import DEFAULT_MATERIAL, TRAINING, Data, Material, loading, set_threads
from babysit.cli.options import DEFAULT_JUDGING, DEFAULT_KEEPING, Json, Judging, Keeping, exit_code, judged, settle
from babysit.cli.terminal import progress_bars
from babysit.records.problem import UserError

if TYPE_CHECKING:
    from babysit.records.run import Run
    from babysit.store.store import Store

LATEST = "latest"


def run(
    data: Data = "",
    /,
    *,
    resume: Annotated[
        str, Parameter(show_default=False, help="Go on with an interrupted run: its id, or nothing for the latest.")
    ] = "",
    epochs: Annotated[int, Parameter(group=TRAINING, help="Epochs of the final training, at most.")] = 60,
    material: Material = DEFAULT_MATERIAL,
    judging: Judging = DEFAULT_JUDGING,
    store: Keeping = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Carry the whole method out: prepare, check, search, train under watch, and say what came of it."""
    settings = settle(judging, store=store, threads=material.threads)
    if not data and not resume:
        raise UserError("there is no data to run on", do="Name some: babysit run digits")
    if data and resume:
        raise UserError("a run that goes on has its data already", where=data, do=f"Leave {data} out")
    from babysit.cli.boxes import show_end, show_report, show_stage

    with progress_bars() as progress, open_store(settings) as kept:
        with loading(progress):
            set_threads(settings)
            from babysit.routine.method import Guidance, RoutineSettings, carry_out, settings_of
        before = _resumable(kept, resume) if resume else None
        finished = carry_out(
            settings_of(before)
            if before
            else RoutineSettings(
                source=data,
                target=material.target,
                model=material.model,
                seed=material.seed,
                skip_bad=material.skip_bad,
                epochs=epochs,
                folder=str(runs_folder(settings).absolute()),
            ),
            store=kept,
            resume=before,
            guidance=Guidance(
                judge=lambda found: judged(found, settings),
                progress=progress,
                tell=_nothing if json else lambda stage, now: show_stage(stage, now, progress),
            ),
        )
    if json:
        show_report(finished, format="json")
    else:
        show_end(finished, store=kept.option)
    return exit_code(finished, settings, exit_zero=judging.exit_zero)


def _resumable(store: Store, wanted: str) -> Run:
    """The run of that id, or the latest of the method that has not been finished."""
    if wanted != LATEST:
        return store.load(wanted)
    for line in store.list():
        if line.kind == "routine" and line.status in ("interrupted", "crashed"):
            return store.load(line.id)
    raise UserError("there is no interrupted run to go on with", do="Begin one: babysit run digits")


def _nothing(stage: str, run: Run) -> None:
    """Say nothing of a stage: only JSON is wanted."""
