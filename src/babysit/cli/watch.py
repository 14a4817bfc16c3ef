"""`babysit watch`: an unchanged script under watch."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import msgspec
from cyclopts import Parameter

from babysit.cli.files import require_writable, write_text
from babysit.cli.keeping import open_store
from babysit.cli.options import DEFAULT_JUDGING, DEFAULT_KEEPING, Judging, Keeping, exit_code, judged, settle


def watch(
    script: Annotated[Path, Parameter(help="The script, as you would give it to Python.")],
    /,
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, help="Its own arguments.")],
    live: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Show a panel at the foot of the terminal while it trains."),
    ] = False,
    no_live: Annotated[
        bool, Parameter(negative="", show_default=False, help="Show none, even when its output goes elsewhere.")
    ] = False,
    json: Annotated[Path | None, Parameter(name="--json", help="Write what was found to this file, as JSON.")] = None,
    overhead: Annotated[float | None, Parameter(help="Share of step time that watching may take [0.01].")] = None,
    judging: Judging = DEFAULT_JUDGING,
    store: Keeping = DEFAULT_KEEPING,
) -> int:
    """Run a training script, unchanged, under watch, and say what was found."""
    settings = settle(judging, store=store)
    share = settings.overhead if overhead is None else overhead
    if json is not None:
        require_writable(json)
    from babysit.cli.live import panel
    from babysit.routine.journal import begin_run
    from babysit.watcher.script import read_script, run_script

    read_script(str(script))  # what cannot start is told before a run is kept of it
    with open_store(settings, anywhere=True) as kept:
        began = begin_run("watch", {"source": str(script)})
        writer = kept.open_writer(began)
        with panel(writer, asked=live or (False if no_live else None), name=began.name, overhead=share) as sink:
            outcome = run_script(str(script), arguments, overhead=share, name=began.name, writer=sink)
        run = judged(msgspec.structs.replace(outcome.run, id=began.id, created=began.created), settings)
        kept.save(run)
    if json is not None:
        from babysit.reporting.report import report

        write_text(json, report(run, format="json"))
    from babysit.cli.boxes import show_found

    with contextlib.suppress(OSError, ValueError):  # a script may have closed its standard error
        show_found(run, store=kept.option)
    return outcome.exit_code or exit_code(run, settings, exit_zero=judging.exit_zero)
