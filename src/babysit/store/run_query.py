"""Filtering and sorting of run summaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from babysit.records.curves import metric_of
from babysit.store.summary import RunSummary

# The store lists the newest run first.
_NEWEST: Final = "newest"
_OLDEST: Final = "oldest"
_ORDERS: Final[dict[str, tuple[Callable[[RunSummary], Any], bool]]] = {
    "name": (lambda line: line.name.casefold(), False),
    "steps": (lambda line: line.steps, True),
    # A loss is better when low; different metrics are not comparable, so runs are grouped by metric.
    "result": (lambda line: (line.metric is None, line.metric_name, _worse(line)), False),
    "size": (lambda line: line.bytes, True),
}
ORDERS: Final = (_NEWEST, _OLDEST, *_ORDERS)


@final
@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """Filters and order of a list of runs; empty fields do not filter."""

    text: str = ""  # substring of ID, name, kind, root cause, tags or notes, case-insensitive
    kind: str = ""
    status: str = ""
    verdict: str = ""
    tags: tuple[str, ...] = ()  # all of them
    order: str = "newest"


def choose(lines: Iterable[RunSummary], choice: RunQuery) -> list[RunSummary]:
    """Filter and sort summaries that are given newest first."""
    chosen = [line for line in lines if _fits(line, choice)]
    if choice.order in _ORDERS:
        value, reverse = _ORDERS[choice.order]
        return sorted(chosen, key=value, reverse=reverse)
    return chosen[::-1] if choice.order == _OLDEST else chosen


def _fits(line: RunSummary, choice: RunQuery) -> bool:
    text = "\n".join((line.id, line.name, line.kind, line.root_cause, line.notes, *line.tags)).casefold()
    return (
        choice.text.casefold() in text
        and choice.kind in ("", line.kind)
        and choice.status in ("", line.status)
        and choice.verdict in ("", line.verdict)
        and set(choice.tags) <= set(line.tags)
    )


def _worse(line: RunSummary) -> float:
    if line.metric is None or math.isnan(line.metric):
        return math.inf
    return line.metric if metric_of(line.metric_name) == "loss" else -line.metric
