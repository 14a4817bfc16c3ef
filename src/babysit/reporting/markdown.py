"""A run as Markdown, for a pull request, an issue or a notebook: verdict, findings under their causes, results."""

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
    """The report as GitHub-flavoured Markdown; whatever names hold, it stays text."""
    said = verdict(run)
    symbol = "❌" if run.status is Status.CRASHED else _SYMBOLS[said.word]
    lines = [f"# {symbol} {prose(said.title.capitalize())}", "", f"**{prose(said.sentence)}**", ""]
    lines += [f"{prose(said.why)}", ""] if said.why else []
    lines += [f"**Next:** {prose(said.next)}", ""] if said.next else []
    for title, problems in (("Findings", True), ("Worth knowing", False)):
        causes = summary.causes(run, problems=problems)
        if causes:
            lines += [f"## {title}", ""]
            lines += [line for cause in causes for line in _cause(run, cause, 0)] + [""]
    if run.result:
        lines += ["## Result", "", *_table(("what", "value"), summary.results(run)), ""]
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
        lines += ["## Experiments", "", *_table(("experiment", "outcome", "measured", "message"), rows), ""]
    if run.trials:
        lines += ["## Search", "", *_search(run), ""]
    lines += [
        "## The run",
        "",
        *_table(("what", "value"), run_metadata.facts(run)),
        "",
        f"_{escape(run_metadata.cost(run))}_",
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
    # Two blanks at the end of a line break it.
    yield ""
    for label, words in (
        ("", prose(finding.message)),
        ("Numbers: ", numbers),
        ("**Do:** ", prose(finding.recommendation)),
    ):
        if words:
            yield f"{label}{words}  "
    for place in source_locations(run, finding)[:3]:
        yield f"{_code(f'{place.file}:{place.line}')}: {escape(place.words)}  "
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
        (str(place.trial.number), place.stage, number(place.metric, 4), ", ".join(
            f"{short(name, 24)} "
            f"{run_metadata.value_words(value)}" for name, value in list(place.trial.parameters.items())[:8]
        ))
        for place in ranked(run.trials)[:_BEST_TRIALS]
    ]  # fmt: skip
    yield from _table(("trial", "stage", "metric", "parameters"), rows) if rows else ["No trial was finished."]


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"|{'---|' * len(heads)}"
    for row in rows:
        yield f"| {' | '.join(prose(cell, in_table=True) or ' ' for cell in row)} |"


# Whatever begins markup, a link, a mention or a formula anywhere in a line.
_MARKUP = re.compile(r"[\\`*_\[\]|~#$!]")


def escape(text: str) -> str:
    """Text that reads the same as Markdown: no markup, no HTML, no mention of people, on one line."""
    plain = short(text, _LONGEST).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    # A code host turns bare addresses and @names into links: a zero-width escape would be a hidden character.
    plain = _MARKUP.sub(lambda mark: "\\" + mark[0], plain)
    return plain.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")


def prose(text: str, *, in_table: bool = False) -> str:
    """A sentence in which what stands between backquotes stays code, and all else is text."""
    pieces = short(text, _LONGEST).split("`")
    if len(pieces) % 2 == 0:
        return escape("`".join(pieces))
    return "".join(_code(p, in_table=in_table) if i % 2 else escape(p) for i, p in enumerate(pieces))


def _code(text: str, *, in_table: bool = False) -> str:
    plain = short(text, 200).replace("`", "'")
    if not plain.strip():
        return ""
    # A bar ends a cell of a table even within code, unless it is escaped.
    return f"`{plain.replace('|', chr(92) + '|') if in_table else plain}`"


def _fenced(code: str) -> Iterator[str]:
    lines = [short(line, 300) for line in code.splitlines()[:40]]
    longest = max((len(run) for line in lines for run in re.findall(r"`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    yield f"{fence}python"
    yield from lines
    yield fence
