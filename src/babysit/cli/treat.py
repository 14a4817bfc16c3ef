"""`babysit treat`: proves the proposed cures by training again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter
from rich.table import Table

from babysit.cli.keeping import open_store
from babysit.cli.material import set_threads
from babysit.cli.options import DEFAULT_KEEPING, Json, Keeping, RunId, Threads, settle
from babysit.cli.terminal import out, progress_bars, say
from babysit.records.problem import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from babysit.treatment.trial import TreatmentTrial


def treat(
    run: RunId = "latest",
    /,
    *,
    seeds: Annotated[int, Parameter(help="On how many seeds each cure is tried; two or more.")] = 3,
    threads: Threads = None,
    store: Keeping = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Try each cure that a run's findings propose: train again with it and without it, on several seeds."""
    settings = settle(store=store, threads=threads)
    if seeds < 2:
        raise UserError(f"{seeds} seed cannot tell a cure from luck", do="Give 2 or more")
    with open_store(settings) as kept:
        found = kept.load(run)
    if not any(finding.treatments for finding in found.alarms):
        say(
            "[]"
            if json
            else f"The findings of run {found.id} (verdict: {found.verdict}) propose nothing that could be tried."
        )
        return 0
    set_threads(settings)
    from babysit.routine.again import the_same_again
    from babysit.treatment.treat_fit import treat_fit

    ready, own = the_same_again(found)
    with progress_bars() as progress:
        trials = treat_fit(
            lambda: ready.build({}),
            ready.splits,
            settings=own,
            findings=found.alarms,
            seeds=tuple(range(own.seed, own.seed + seeds)),
            progress=progress,
        )
    if json:
        say(msgspec.json.format(msgspec.json.encode(trials), indent=2).decode())
    else:
        _show(trials)
    return 0 if any(trial.helped for trial in trials) else 1


def _show(trials: Sequence[TreatmentTrial]) -> None:
    from babysit.treatment.treat import describe, summary

    table = Table("treatment", "gain", "spread", "helped", "", box=None, pad_edge=False)
    for trial in trials:
        gain = "" if trial.gain is None else f"{trial.gain:+.4f}"
        spread = "" if trial.spread is None else f"{trial.spread:.4f}"
        table.add_row(describe(trial.treatment), gain, spread, "yes" if trial.helped else "no", trial.problem)
    out().print(table)
    say(summary(trials))
