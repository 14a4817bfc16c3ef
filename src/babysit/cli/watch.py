"""`babysit watch`: an unchanged script under watch."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import msgspec
from cyclopts import Parameter

from babysit.cli.files import require_writable, write_text
from babysit.cli.launchers import launcher
from babysit.cli.options import DEFAULT_JUDGING, DEFAULT_KEEPING, RuleOptions, StoreOptions, exit_code, judged, settle
from babysit.cli.run_folders import open_store
from babysit.cli.settings import Settings
from babysit.cli.terminal import say_problem
from babysit.records.run import Run


def watch(
    script: Annotated[str, Parameter(help="The script, as you would give it to Python.")],
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
    judging: RuleOptions = DEFAULT_JUDGING,
    store: StoreOptions = DEFAULT_KEEPING,
) -> Callable[[], NoReturn]:
    """Run a training script, unchanged, under watch, and say what was found."""
    settings = settle(judging, store=store)
    share = settings.overhead if overhead is None else overhead
    if json is not None:
        require_writable(json)
    from babysit.cli.live_panel import panel
    from babysit.monitor.script import read_script, run_script
    from babysit.monitor.script_exit import exit_process
    from babysit.pipeline.run_state import begin_run

    code = read_script(script)  # what cannot start is told before a run is kept of it
    with open_store(settings, anywhere=True) as kept, contextlib.ExitStack() as drawn:
        began = begin_run("watch", {"source": script})
        asked = live or (False if no_live else None)
        sink = drawn.enter_context(panel(kept.open_writer(began), asked=asked, name=began.name, overhead=share))

        def ended(watched: Run) -> Run:
            drawn.close()  # the terminal is whole again
            run = judged(msgspec.structs.replace(watched, id=began.id, created=began.created), settings)
            kept.save(run)
            _show(run, json, store=kept.option)
            return run

        outcome = run_script(
            script, arguments, code=code, overhead=share, name=began.name, writer=sink, ended=ended, last=True
        )
    found = 0 if outcome.forked or outcome.exit_code else _exit_code(outcome.run, settings, judging)
    return partial(exit_process, outcome.error, outcome.exit_code or found)


def _show(run: Run, json: Path | None, *, store: str) -> None:
    if json is not None:
        from babysit.reporting.report import report

        write_text(json, report(run, format="json"))
    from babysit.cli.render import show_findings

    try:
        show_findings(run, store=store)
    except (OSError, ValueError):  # a script may have closed its standard error, or its reader went away
        # What waits in the stream must not fail once more at the end of Python, which would change the exit code.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _exit_code(run: Run, settings: Settings, judging: RuleOptions) -> int:
    """The exit code after a script that ended well: 1 for findings, under a launcher only with --fail-on."""
    code = exit_code(run, settings, exit_zero=judging.exit_zero)
    by = launcher(os.environ)
    if not code or not by or judging.fail_on is not None:
        return code
    with contextlib.suppress(OSError, ValueError):
        say_problem(f"started by {by}: the exit code stays 0; with --fail-on {settings.fail_on} it would be 1")
    return 0
