"""Which runs a list shows, and in which order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, final

from babysit.records.curves import metric_of
from babysit.store.summary import RunSummary

# A list comes from the store with the newest first.
_NEWEST: Final = "newest"
_OLDEST: Final = "oldest"
_ORDERS: Final[dict[str, tuple[Callable[[RunSummary], Any], bool]]] = {
    "name": (lambda line: line.name.casefold(), False),
    "steps": (lambda line: line.steps, True),
    # A loss is better when it is low; runs of other metrics do not compare, so each metric stands by itself.
    "result": (lambda line: (line.metric is None, line.metric_name, _worse(line)), False),
    "size": (lambda line: line.bytes, True),
}
ORDERS: Final = (_NEWEST, _OLDEST, *_ORDERS)


@final
@dataclass(frozen=True, kw_only=True)
class RunQuery:
    """What is asked of the runs; empty fields ask nothing."""

    text: str = ""  # somewhere in id, name, kind, diagnosis, tags or notes, in upper or lower case
    kind: str = ""
    status: str = ""
    verdict: str = ""
    tags: tuple[str, ...] = ()  # all of them
    order: str = "newest"


def choose(lines: Iterable[RunSummary], choice: RunQuery) -> list[RunSummary]:
    """Of lines with the newest first, those that are asked for, in the order that is asked for."""
    chosen = [line for line in lines if _fits(line, choice)]
    if choice.order in _ORDERS:
        value, reverse = _ORDERS[choice.order]
        return sorted(chosen, key=value, reverse=reverse)
    return chosen[::-1] if choice.order == _OLDEST else chosen


def _fits(line: RunSummary, choice: RunQuery) -> bool:
    said = "\n".join((line.id, line.name, line.kind, line.root_cause, line.notes, *line.tags)).casefold()
    return (
        choice.text.casefold() in said
        and choice.kind in ("", line.kind)
        and choice.status in ("", line.status)
        and choice.verdict in ("", line.verdict)
        and set(choice.tags) <= set(line.tags)
    )


def _worse(line: RunSummary) -> float:
    if line.metric is None or math.isnan(line.metric):
        return math.inf
    return line.metric if metric_of(line.metric_name) == "loss" else -line.metric
