"""Report of a run as Markdown, for a pull request, an issue or a notebook."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from babysit.analysis.trials import finished, ranked
from babysit.plots.formatting import count, number
from babysit.plots.names import display_name, short
from babysit.records.finding import Finding
from babysit.records.run import Run, Status
from babysit.reporting import run_metadata, summary
from babysit.reporting.source_locations import source_locations
from babysit.reporting.verdict import verdict

_LONGEST = 2_000
_BEST_TRIALS = 5
_SYMBOLS = {"healthy": "✅", "problems": "❌", "inconclusive": "❔"}


def markdown(run: Run) -> str:
    """Return the report as GitHub-flavoured Markdown; text of the run is escaped."""
    headline = verdict(run)
    symbol = "❌" if run.status is Status.CRASHED else _SYMBOLS[headline.word]
    lines = [f"# {symbol} {prose(headline.title.capitalize())}", "", f"**{prose(headline.sentence)}**", ""]
    lines += [f"{prose(headline.why)}", ""] if headline.why else []
    lines += [f"**Next:** {prose(headline.next)}", ""] if headline.next else []
    for title, problems in (("Findings", True), ("Notes", False)):
        causes = summary.causes(run, problems=problems)
        if causes:
            lines += [f"## {title}", ""]
            lines += [line for cause in causes for line in _cause(run, cause, 0)] + [""]
    if run.result:
        lines += ["## Result", "", *_table(("metric", "value"), summary.results(run)), ""]
    if run.experiments:
        rows = [
            (
                experiment.name,
                str(experiment.outcome),
                run_metadata.measured_words(experiment.measured),
                experiment.message,
            )
            for experiment in run.experiments
        ]
        lines += ["## Checks", "", *_table(("check", "outcome", "measured", "message"), rows), ""]
    if run.trials:
        lines += ["## Search", "", *_search(run), ""]
    lines += [
        "## The run",
        "",
        *_table(("field", "value"), run_metadata.facts(run)),
        "",
        f"_{escape(run_metadata.overhead(run))}_",
    ]
    return "\n".join(lines) + "\n"


def _cause(run: Run, cause: summary.Cause, depth: int) -> Iterator[str]:
    it, indent = cause.finding, "  " * depth
    head = f"**{escape(short(it.code, 12))} {escape(display_name(it.name))}** ({it.severity})"
    yield f"{indent}- {'explains ' if depth else ''}{head}{escape(summary.location_text(it))}"
    for line in _body(run, it):
        yield f"{indent}  {line}" if line else ""
    for symptom in cause.symptoms:
        yield from _cause(run, symptom, depth + 1)


def _body(run: Run, finding: Finding) -> Iterator[str]:
    numbers = " · ".join(f"{escape(name)} {escape(value)}" for name, value in summary.evidence(finding)[:12])
    # Two trailing spaces are a line break.
    yield ""
    for label, words in (
        ("", prose(finding.message)),
        ("Numbers: ", numbers),
        ("**Fix:** ", prose(finding.recommendation)),
    ):
        if words:
            yield f"{label}{words}  "
    for location in source_locations(run, finding)[:3]:
        yield f"{_code(f'{location.file}:{location.line}')}: {escape(location.words)}  "
    for fix in finding.fixes:
        yield f"Try: {prose(fix.say or fix.action)}  "
        if fix.code:
            yield ""
            yield from _fenced(fix.code)
    yield ""


def _search(run: Run) -> Iterator[str]:
    done = sum(map(finished, run.trials))
    pruned = sum(trial.state == "pruned" for trial in run.trials)
    yield f"{count(len(run.trials), 'trial')}, {done:,} finished, {pruned:,} stopped early."
    yield ""
    rows = [
        (str(row.trial.number), row.stage, number(row.metric, 4), ", ".join(
            f"{short(name, 24)} "
            f"{run_metadata.value_words(value)}" for name, value in list(row.trial.parameters.items())[:8]
        ))
        for row in ranked(run.trials)[:_BEST_TRIALS]
    ]  # fmt: skip
    yield from _table(("trial", "stage", "metric", "parameters"), rows) if rows else ["No trial finished."]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(prose(cell, in_table=True) or ' ' for cell in row)} |"


# Characters that start markup, a link, a mention or a formula anywhere in a line.
_MARKUP = re.compile(r"[\\`*_\[\]|~#$!]")


def escape(text: str) -> str:
    """Escape text for Markdown, on one line: no markup, no HTML, no mentions."""
    plain = short(text, _LONGEST).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # Code hosts turn bare URLs and @names into links; entities prevent it without hidden characters.
    plain = _MARKUP.sub(lambda mark: "\\" + mark[0], plain)
    return plain.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")


def prose(text: str, *, in_table: bool = False) -> str:
    """Escape a sentence, keeping text in backquotes as code."""
    pieces = short(text, _LONGEST).split("`")
    if len(pieces) % 2 == 0:
        return escape("`".join(pieces))
    return "".join(_code(p, in_table=in_table) if i % 2 else escape(p) for i, p in enumerate(pieces))


def _code(text: str, *, in_table: bool = False) -> str:
    plain = short(text, 200).replace("`", "'")
    if not plain.strip():
        return ""
    # A vertical bar ends a table cell even within code, unless it is escaped.
    return f"`{plain.replace('|', chr(92) + '|') if in_table else plain}`"


def _fenced(code: str) -> Iterator[str]:
    lines = [short(line, 300) for line in code.splitlines()[:40]]
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}python"
    yield from lines
    yield fence
