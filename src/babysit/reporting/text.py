"""Report of a run as text: verdict, findings, checks, results and monitoring overhead."""

from __future__ import annotations

import io
from collections.abc import Iterator

from rich.box import ROUNDED, SIMPLE
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from babysit.analysis.trials import finished, ranked
from babysit.plots.formatting import count, number
from babysit.plots.names import clean, display_name, short
from babysit.records.experiment import ExperimentResult
from babysit.records.run import Run, Status
from babysit.reporting import run_metadata, summary
from babysit.reporting.verdict import Verdict, verdict

_COLOURS = {"healthy": "green", "problems": "red", "inconclusive": "yellow"}
_SEVERITY = {"ERROR": "bold red", "WARNING": "yellow", "INFO": "cyan"}
_OUTCOME = {"pass": "green", "warn": "yellow", "fail": "bold red", "skipped": "dim"}
_BEST_TRIALS = 5
# A very long message (from a broken or hostile name) must not push the rest off the screen.
_LONGEST = 600


def text(run: Run, *, width: int = 100) -> str:
    """Return the report as plain text of at most `width` columns."""
    console = Console(
        file=io.StringIO(), width=width, color_system=None, force_terminal=False, legacy_windows=False, emoji=False
    )
    with console.capture() as capture:
        console.print(renderable(run))
    return "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"


def renderable(run: Run) -> RenderableType:
    """Return the report for a rich console."""
    sections: list[tuple[str, list[RenderableType]]] = [
        ("Findings", [_cause(cause) for cause in summary.causes(run, problems=True)]),
        ("Notes", [_cause(cause) for cause in summary.causes(run, problems=False)]),
        ("Checks", [experiment_table(run.experiments)] if run.experiments else []),
        ("Search", list(_search(run)) if run.trials else []),
        ("Result", [_pairs(summary.results(run))] if run.result else []),
        ("Not measured", [Text(f"{title}: {reason}") for title, reason in summary.unmeasured(run)]),
        ("Run", [_pairs(run_metadata.facts(run))]),
    ]
    parts: list[RenderableType] = [verdict_box(run), Text()]
    for title, content in sections:
        if content:
            parts += [Text(title, style="bold underline"), Text(), *content, Text()]
    return Group(*parts, Text(run_metadata.overhead(run), style="dim"))


def verdict_box(run: Run) -> Panel:
    """Return the box with verdict, reason and next step."""
    headline = verdict(run)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for label, words in (("Verdict", headline.sentence), ("Why", headline.why), ("Next", headline.next)):
        if words:
            table.add_row(label, Text(_bounded(words), style=_colour(run, headline) if label == "Verdict" else ""))
    colour = _colour(run, headline)
    title = Text(f" {headline.symbol} {headline.title} ", style=f"bold {colour}")
    return Panel(table, title=title, title_align="left", box=ROUNDED, border_style=colour)


def experiment_table(experiments: tuple[ExperimentResult, ...]) -> RenderableType:
    """Return a table of the checks, measured against expected, with the message of those that did not pass."""
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False)
    for name in ("check", "outcome", "measured", "expected"):
        table.add_column(name)
    for experiment in experiments:
        table.add_row(
            Text(short(experiment.name, 28)),
            Text(experiment.outcome, style=_OUTCOME.get(experiment.outcome, "")),
            Text(run_metadata.measured_words(experiment.measured)),
            Text(run_metadata.measured_words(experiment.expected)),
        )
    meanings = [
        Padding(Text.assemble((f"{short(experiment.name, 28)}: ", "bold"), _bounded(experiment.message)), (0, 0, 0, 2))
        for experiment in experiments
        if experiment.outcome != "pass" and experiment.message
    ]
    return Group(table, *meanings)


def _cause(cause: summary.Cause, *, depth: int = 0) -> RenderableType:
    finding = cause.finding
    head = Text.assemble(
        ("└ explains " if depth else ""),
        (f"{short(finding.code, 12)} {display_name(finding.name)}", "bold"),
        "  ",
        (str(finding.severity), _SEVERITY.get(finding.severity, "")),
        (summary.location_text(finding), "dim"),
    )
    body: list[RenderableType] = [head]
    numbers = " · ".join(f"{name} {value}" for name, value in summary.evidence(finding)[:12])
    lines = [("", finding.message), ("evidence: ", numbers), ("fix: ", finding.recommendation)]
    body += [Padding(Text.assemble((label, "dim"), _bounded(words)), (0, 0, 0, 2)) for label, words in lines if words]
    for fix in finding.fixes:
        words = Text.assemble(("try: ", "dim"), _bounded(fix.say or fix.action))
        body.append(Padding(words, (0, 0, 0, 2)))
        code = [_bounded(line) for line in fix.code.splitlines()[:12]]
        body += [Padding(Text(line, style="cyan"), (0, 0, 0, 7)) for line in code]
    body += [Padding(_cause(symptom, depth=depth + 1), (0, 0, 0, 2)) for symptom in cause.symptoms]
    return Group(*body)


def _search(run: Run) -> Iterator[RenderableType]:
    done = sum(map(finished, run.trials))
    pruned = sum(trial.state == "pruned" for trial in run.trials)
    yield Text(f"{count(len(run.trials), 'trial')}, {done:,} finished, {pruned:,} stopped early.")
    table = Table(box=SIMPLE, show_edge=False, pad_edge=False)
    for name in ("trial", "stage", "metric", "parameters"):
        table.add_column(name)
    for row in ranked(run.trials)[:_BEST_TRIALS]:
        trial = row.trial
        words = ", ".join(
            f"{short(k, 24)} {run_metadata.value_words(v)}" for k, v in list(trial.parameters.items())[:8]
        )
        table.add_row(str(trial.number), Text(short(row.stage, 20)), number(row.metric, 4), Text(words))
    if done:
        yield table
    for stage in run.ranges:
        bounds = f"{number(stage.low)} to {number(stage.high)}"
        yield Text(f"{short(stage.stage, 20)}: {short(stage.parameter, 24)} {bounds} ({_bounded(stage.why)})")


def _pairs(pairs: list[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True, max_width=24)
    table.add_column()
    for name, words in pairs:
        table.add_row(Text(clean(name)), Text(clean(words)))
    return table


def _bounded(words: str) -> str:
    return short(words, _LONGEST)


def _colour(run: Run, headline: Verdict) -> str:
    return "red" if run.status is Status.CRASHED else _COLOURS[headline.word]
