"""`babysit search`: hyperparameters from coarse to fine."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Group, Parameter

from babysit.cli.keeping import open_store
from babysit.cli.material import DEFAULT_MATERIAL, Data, Material, prepared
from babysit.cli.options import DEFAULT_JUDGING, DEFAULT_KEEPING, Json, Judging, Keeping, exit_code, judged, settle
from babysit.cli.terminal import progress_bars
from babysit.records.run import Status

SEARCHING = Group("Searching", sort_key=6)
USUAL = ("rate=1e-4..1e-1", "weight_decay=1e-6..1e-2")  # the lecture's two, in the ranges usual for Adam


def search(
    data: Data,
    /,
    *space: Annotated[str, Parameter(help="What is searched [rate=1e-4..1e-1 weight_decay=1e-6..1e-2].")],
    coarse: Annotated[int, Parameter(group=SEARCHING, help="Trials over the whole ranges.")] = 16,
    fine: Annotated[int, Parameter(group=SEARCHING, help="Trials around the best; 0 for none.")] = 8,
    sampler: Annotated[
        Literal["random", "grid", "qmc", "tpe"], Parameter(group=SEARCHING, help="Who chooses what to try.")
    ] = "random",
    material: Material = DEFAULT_MATERIAL,
    judging: Judging = DEFAULT_JUDGING,
    store: Keeping = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Search hyperparameters: many short trainings over wide ranges, then longer ones around the best."""
    settings = settle(judging, store=store, threads=material.threads)
    from babysit.tuning.space_text import read_space

    wanted = read_space(space or USUAL)
    with progress_bars() as progress, open_store(settings) as kept:
        ready = prepared(data, material, settings, progress)
        from babysit.routine.journal import Journal, begin_run, now
        from babysit.tuning.search import search as search_all
        from babysit.tuning.settings import SearchSettings, Stage

        stages = (Stage("coarse", coarse, 2), *([Stage("fine", fine, 4)] if fine else []))
        own = SearchSettings(stages=stages, sampler=sampler, seed=material.seed)
        run = begin_run("search", {"source": data, "space": " ".join(space or USUAL), **material.told})
        with Journal(run, kept, stages=("searched",)) as journal:
            journal.keep(data=ready.profile)
            found = search_all(
                ready.build, ready.splits, space=wanted, settings=own, writer=journal.writer, progress=progress
            )
            reason = "stopped by the user" if found.interrupted else ""
            status = Status.INTERRUPTED if found.interrupted else Status.FINISHED
            journal.keep(trials=found.trials, ranges=found.ranges, status=status, stop_reason=reason, ended=now())
            journal.finish("searched", findings=judged(journal.run, settings).findings)
        run = journal.run
    from babysit.cli.boxes import show_report, show_search

    if json:
        show_report(run, format="json")
    else:
        show_search(run, found.notes)
    return 130 if found.interrupted else exit_code(run, settings, exit_zero=judging.exit_zero)
