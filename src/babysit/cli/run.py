"""`babysit run`: the whole method on one set of data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from babysit.cli.keeping import open_store, runs_folder
from babysit.cli.material import TRAINING, Material, set_threads
from babysit.cli.options import Json, Judging, StoreUrl, exit_code, settle
from babysit.cli.settings import Settings
from babysit.cli.terminal import progress_bars
from babysit.records.problem import UserError

if TYPE_CHECKING:
    from babysit.records.run import Run
    from babysit.store.store import Store


def run(  # noqa: PLR0913  each is an option of the command line
    data: str = "",
    /,
    *,
    resume: Annotated[str, Parameter(help="Go on with an interrupted run: its id, or nothing for the latest.")] = "",
    epochs: Annotated[int, Parameter(group=TRAINING, help="Epochs of the final training, at most.")] = 50,
    material: Material = Material(),
    judging: Judging = Judging(),
    store: StoreUrl = None,
    json: Json = False,
) -> int:
    """Carry the whole method out: prepare, check, search, train under watch, and say what came of it.

    Examples:

        $ babysit run digits
        $ babysit run people.csv --target income
        $ babysit run pictures/ --model mine.nets:build --seed 3
        $ babysit run --resume

    Args:
        data: `digits`, or a table (.csv, .parquet), an archive (.npz) or a folder of images by class.
    """
    from babysit.cli.boxes import show_end, show_stage

    settings = settle(judging, store=store, threads=material.threads)
    if bool(data) == bool(resume):
        raise UserError("there is nothing to run on" if not data else "a run that goes on has its own data",
                        do="Give data (`babysit run digits`), or `--resume`")
    set_threads(settings)
    from babysit.routine import RoutineSettings, carry_out, settings_of

    with open_store(settings) as kept, progress_bars() as progress:
        before = resumable(kept, resume) if resume else None
        wanted = settings_of(before) if before else RoutineSettings(
            source=data, target=material.target, model=material.model, seed=material.seed, epochs=epochs,
            folder=runs_folder(settings).absolute(),
        )
        finished = carry_out(
            judged_by(wanted, settings), store=kept, resume=before, progress=progress,
            tell=lambda stage, now: None if json else show_stage(stage, now),
        )
    if json:
        from babysit.reporting.report import report

        print(report(finished, format="json"))
    else:
        show_end(finished)
    return exit_code(finished, settings, exit_zero=judging.exit_zero)
