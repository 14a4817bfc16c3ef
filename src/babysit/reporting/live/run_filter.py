"""Filter of the list of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple, final

from babysit.records.run import Status
from babysit.records.verdict import Verdict
from babysit.store.summary import RunSummary

FEW: Final = 100
STATES: Final = ("live", *(str(status) for status in Status if status is not Status.RUNNING))
VERDICTS: Final = tuple(str(verdict) for verdict in Verdict)


@final
class RunFilter(NamedTuple):
    """Filter of the list; "" matches all runs."""

    text: str = ""
    status: str = ""
    verdict: str = ""
    show_all: bool = False


def run_filter(query: Mapping[str, str]) -> RunFilter:
    """Parse the filter from a query string; invalid values are ignored."""
    status, verdict = query.get("status", ""), query.get("verdict", "")
    return RunFilter(
        text=query.get("text", "").strip()[:200],
        status=status if status in STATES else "",
        verdict=verdict if verdict in VERDICTS else "",
        show_all=query.get("show") == "all",
    )


def matching(summaries: Sequence[RunSummary], asked: RunFilter) -> list[RunSummary]:
    """Return the matching runs, at most 100 unless `show_all` is set."""
    found = [summary for summary in summaries if _matches(summary, asked)]
    return found if asked.show_all else found[:FEW]


def _matches(summary: RunSummary, asked: RunFilter) -> bool:
    if asked.status and asked.status != ("live" if summary.status == Status.RUNNING else str(summary.status)):
        return False
    if asked.verdict and asked.verdict != summary.verdict:
        return False
    searched = " ".join(
        (summary.id, summary.name, summary.kind, summary.root_cause, summary.notes, *summary.tags)
    ).lower()
    return all(word in searched for word in asked.text.lower().split())
