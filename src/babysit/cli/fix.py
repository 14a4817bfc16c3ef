"""`babysit fix`: measures the effect of proposed fixes by training again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import msgspec
from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from babysit.cli.data_options import set_threads
from babysit.cli.options import DEFAULT_STORE_OPTIONS, Json, RunId, StoreOptions, Threads, settle
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
        str, Parameter(show_default=False, help="Name the data again, for a run that you did not start here.")
    ] = "",
    model: Annotated[
        str,
        Parameter(
            show_default=False, help="Name the model again, for a run with its own model: package.module:factory."
        ),
    ] = "",
    seeds: Annotated[int, Parameter(help="Set the number of seeds per fix (at least 3).")] = 3,
    threads: Threads = None,
    store: StoreOptions = DEFAULT_STORE_OPTIONS,
    json: Json = False,
) -> int:
    """Try the fixes proposed by the findings of a run: train with and without each fix on several seeds."""
    settings = settle(store=store, threads=threads)
    if seeds < LEAST_SEEDS:
        raise UserError(
            f"{seeds} seeds are too few to distinguish an effect from chance", do=f"Use {LEAST_SEEDS} or more"
        )
    with open_store(settings) as run_store:
        found = run_store.load(run)
        tried = any(finding.fixes for finding in found.problems)
        again = f"babysit fix {found.id} --data {{data}}{{model}}{run_store.option}"
        known = confirmed(run_store, found, source=data, model=model, command=again) if tried else None
    if known is None:
        say("[]" if json else f"No finding of run {found.id} proposes a fix.")
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
        say(f"Simultaneous 90 % intervals, corrected for {len(tried)} fixes, {len(tried[0].seeds)} seeds each.")
    say(visible(summary(trials)))
    if manual := [trial for trial in trials if trial.problem]:
        say("\nNot tried; apply manually:")
        for trial in manual:
            _show_manual(trial)


def _show_manual(trial: FixTrial) -> None:
    from babysit.fixes.try_fixes import describe

    say(visible(f"- {', '.join(trial.proposed_by)}: {describe(trial.fix)} ({trial.problem})"))
    for line in trial.fix.code.splitlines():
        say(f"      {visible(line)}")
