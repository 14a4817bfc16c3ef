"""`babysit watch`: runs an unchanged script with monitoring."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from cyclopts import Parameter

from babysit.cli.files import require_writable, write_text
from babysit.cli.launchers import launcher
from babysit.cli.options import (
    DEFAULT_RULE_OPTIONS,
    DEFAULT_STORE_OPTIONS,
    RuleOptions,
    StoreOptions,
    exit_code,
    judged,
    settle,
)
from babysit.cli.run_folders import open_store
from babysit.cli.settings import Settings
from babysit.cli.terminal import say_problem
from babysit.integrations.training_runs import TrainingRuns
from babysit.records.run import Run

if TYPE_CHECKING:
    from babysit.cli.live_panel import PanelWriter
    from babysit.store.store import Store


def watch(
    script: Annotated[str, Parameter(help="Run this script, as with Python.")],
    /,
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=True, help="Pass these arguments to the script.")],
    live: Annotated[
        bool,
        Parameter(negative="", show_default=False, help="Show a panel at the bottom of the terminal during training."),
    ] = False,
    no_live: Annotated[
        bool,
        Parameter(
            negative="", show_default=False, help="Show no panel, even if the output of the script is redirected."
        ),
    ] = False,
    json: Annotated[Path | None, Parameter(name="--json", help="Write the report to this file, as JSON.")] = None,
    overhead: Annotated[
        float | None, Parameter(help="Limit monitoring to this fraction of the step time [0.01].")
    ] = None,
    rule_options: RuleOptions = DEFAULT_RULE_OPTIONS,
    store: StoreOptions = DEFAULT_STORE_OPTIONS,
) -> Callable[[], NoReturn]:
    """Run an unchanged training script with monitoring, and report the findings."""
    settings = settle(rule_options, store=store)
    share = settings.overhead if overhead is None else overhead
    if json is not None:
        require_writable(json)
    from babysit.cli.live_panel import panel
    from babysit.monitor.script import read_script, run_script
    from babysit.monitor.script_exit import exit_process

    code = read_script(script)  # reject an unreadable script before a run is saved
    with open_store(settings, anywhere=True) as run_store, contextlib.ExitStack() as drawn:
        show = partial(panel, requested=live or (False if no_live else None), overhead=share)
        runs = _training_runs(script, settings, run_store, drawn, show)
        writer = runs.begin()

        def ended(watched: Run) -> Run:
            drawn.close()
            run = runs.end(watched)
            _show(run, runs, json, store=run_store.option)
            return run

        outcome = run_script(
            script, arguments, code=code, overhead=share, writer=writer, ended=ended, on_next=runs.next, last=True
        )
    found = 0 if outcome.forked or outcome.exit_code else _exit_code(runs.ended, settings, rule_options)
    return partial(exit_process, outcome.error, outcome.exit_code or found)


def _training_runs(
    script: str, settings: Settings, store: Store, drawn: contextlib.ExitStack, show: Callable[..., Any]
) -> TrainingRuns[PanelWriter]:
    """Return the runs of the script's trainings, each with a panel of its own, judged and saved at its end."""
    from babysit.pipeline.run_state import begin_run

    def begin(run: Run) -> PanelWriter:
        drawn.close()  # restore the terminal
        writer: PanelWriter = drawn.enter_context(show(store.open_writer(run), name=run.name))
        return writer

    def save(watched: Run) -> Run:
        run = judged(watched, settings)
        store.save(run)
        return run

    return TrainingRuns(lambda: begin_run("watch", {"source": script}), begin, save)


def _show(run: Run, runs: TrainingRuns[PanelWriter], json: Path | None, *, store: str) -> None:
    if json is not None:
        from babysit.reporting.report import report

        write_text(json, report(run, format="json"))
    from babysit.cli.render import show_findings

    try:
        show_findings(run, store=store, others=runs.others(run))
    except (OSError, ValueError):  # the script or the reader may have closed standard error
        # Buffered output must not fail again at interpreter exit, which would change the exit code.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _exit_code(runs: Sequence[Run], settings: Settings, rule_options: RuleOptions) -> int:
    """Return the exit code of a successful script: 1 for findings in any training, or 0 under a launcher by default."""
    code = max((exit_code(run, settings, exit_zero=rule_options.exit_zero) for run in runs), default=0)
    by = launcher(os.environ)
    if not code or not by or rule_options.fail_on is not None:
        return code
    with contextlib.suppress(OSError, ValueError):
        say_problem(f"started by {by}: exit code 0 despite findings; pass --fail-on {settings.fail_on} for exit code 1")
    return 0
