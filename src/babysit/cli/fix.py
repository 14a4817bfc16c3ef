"""`babysit fix`: measures what the proposed fixes bring by training again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from babysit.cli.data_options import set_threads
from babysit.cli.options import DEFAULT_KEEPING, Json, RunId, StoreOptions, Threads, settle
from babysit.cli.plain_text import visible
from babysit.cli.resuming import confirmed
from babysit.cli.run_folders import open_store
from babysit.cli.terminal import out, progress_bars, say
from babysit.fixes.trial import LEAST_SEEDS
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from babysit.fixes.trial import FixTrial


def fix(
    run: RunId = "latest",
    /,
    *,
    data: Annotated[
        str, Parameter(show_default=False, help="Its data, for a run that was not begun here by you.")
    ] = "",
    model: Annotated[
        str, Parameter(show_default=False, help="Its model, where it has one of its own: package.module:factory.")
    ] = "",
    seeds: Annotated[int, Parameter(help="On how many seeds each fix is tried; three or more.")] = 3,
    threads: Threads = None,
    store: StoreOptions = DEFAULT_KEEPING,
    json: Json = False,
) -> int:
    """Try each fix that a run's findings propose: train again with it and without it, on several seeds."""
    settings = settle(store=store, threads=threads)
    if seeds < LEAST_SEEDS:
        raise UserError(
            f"{seeds} seeds are too few to tell what a fix brings from chance", do=f"Give {LEAST_SEEDS} or more"
        )
    with open_store(settings) as kept:
        found = kept.load(run)
        tried = any(finding.fixes for finding in found.problems)
        again = f"babysit fix {found.id} --data {{data}}{{model}}{kept.option}"
        known = confirmed(kept, found, source=data, model=model, command=again) if tried else None
    if known is None:
        say("[]" if json else f"No finding of run {found.id} proposes a fix that could be tried.")
        return 0
    set_threads(settings)
    from babysit.fixes.fit_with_fixes import try_fixes_of_fit
    from babysit.pipeline.reproduce import rebuild_training

    ready, own = rebuild_training(found, source=known.source, model=known.model)
    with progress_bars() as progress:
        trials = try_fixes_of_fit(
            lambda: ready.build({}),
            ready.splits,
            settings=own,
            findings=found.problems,
            seeds=tuple(range(own.seed, own.seed + seeds)),
            progress=progress,
        )
    if json:
        say(msgspec.json.format(msgspec.json.encode(trials), indent=2).decode())
    else:
        _show(trials)
    return _exit_code(trials)


def _exit_code(trials: Sequence[FixTrial]) -> int:
    from babysit.fixes.try_fixes import INTERRUPTED

    if any(trial.problem == INTERRUPTED for trial in trials):
        return 130
    return 0 if any(trial.helped for trial in trials) else 1


def _show(trials: Sequence[FixTrial]) -> None:
    from babysit.fixes.try_fixes import describe, summary

    tried = [trial for trial in trials if not trial.problem]
    if tried:
        table = Table("fix", "gain", "interval", "", box=None, pad_edge=False)
        for trial in tried:
            gain = "" if trial.gain is None else f"{trial.gain:+.3f}"
            interval = "" if trial.low is None else f"{trial.low:+.3f} to {trial.high:+.3f}"
            table.add_row(escape(visible(describe(trial.fix))), gain, interval, str(trial.outcome))
        out().print(table)
        say(f"Intervals hold together at 90 %, corrected for {len(tried)} tried, on {len(tried[0].seeds)} seeds.")
    say(visible(summary(trials)))
    if by_hand := [trial for trial in trials if trial.problem]:
        say("\nNot tried, to be done by hand:")
        for trial in by_hand:
            _show_by_hand(trial)


def _show_by_hand(trial: FixTrial) -> None:
    from babysit.fixes.try_fixes import describe

    say(visible(f"- {', '.join(trial.proposed_by)}: {describe(trial.fix)} ({trial.problem})"))
    for line in trial.fix.code.splitlines():
        say(f"      {visible(line)}")
