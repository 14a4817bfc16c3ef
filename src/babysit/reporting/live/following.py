"""Runs as they are shown now, each made once however many look at it, and the events that carry them to browsers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Final, TypeAlias, final

from babysit.records.problem import UserError
from babysit.records.run import Run
from babysit.reporting.compare import compare
from babysit.reporting.live import pieces
from babysit.reporting.live.library import Library
from babysit.reporting.live.pieces import Shown
from babysit.store.summary import RunSummary

# The writer commits four times a second at most; a page that changes once a second can still be read.
LOOK_SECONDS: Final = 1.0
# Looking may take a tenth of one core from a training on the same machine: after a look of 0.3 s, 2.7 s of rest.
LOOK_SHARE: Final = 0.1
# Below what browsers, tunnels and proxies take for a dead connection (30 to 60 seconds).
STILL_HERE_SECONDS: Final = 15.0
# How soon a stream notices that the server is to end.
_TICK_SECONDS: Final = 0.2
_MOST_KEPT: Final = 8
# One more than a comparison takes, so that it says itself that they are too many.
MOST_COMPARED: Final = 7

State: TypeAlias = tuple[str, int, str]  # a run's id, its last change, its status


@final
class Follower:
    """Makes what a page shows of a run when the run has changed, and not more often."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()  # one at a time: two viewers must not take two cores from a training
        self._kept: OrderedDict[tuple[str, ...], tuple[tuple[State, ...], Shown]] = OrderedDict()

    def look(self, run_id: str) -> Shown:
        """What is to be shown of a run now; raises UserError when the store cannot tell."""
        summary, state = self._glance(run_id)
        return self._made((state,), lambda: pieces.of_run(self._load(summary.id), summary))

    def compare(self, run_ids: Sequence[str]) -> Shown:
        """What is to be shown of several runs beside each other; raises UserError when they cannot be compared."""
        glances = [self._glance(run_id) for run_id in run_ids[:MOST_COMPARED]]
        ids = dict.fromkeys(summary.id for summary, _ in glances)  # the same one twice is a slip of the finger
        states = tuple(dict.fromkeys(state for _, state in glances))
        return self._made(states, lambda: pieces.of_comparison(compare([self._load(run_id) for run_id in ids])))

    def _glance(self, run_id: str) -> tuple[RunSummary, State]:
        summary, change = self._library.ask(lambda store: store.glance(run_id))
        return summary, (summary.id, change, str(summary.status))

    def _load(self, run_id: str) -> Run:
        return self._library.ask(lambda store: store.load(run_id))

    def _made(self, states: tuple[State, ...], make: Callable[[], Shown]) -> Shown:
        subject = tuple(run_id for run_id, *_ in states)
        with self._lock:
            kept = self._kept.get(subject)
            if kept is None or kept[0] != states:
                kept = self._kept[subject] = (states, make())
            self._kept.move_to_end(subject)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return kept[1]


async def events(look: Callable[[], Shown], *, closing: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events: every piece and figure at first, then each that changed, until the server closes."""
    sent: dict[str, str] = {}
    last_word = time.monotonic()
    yield "retry: 2000\n\n"
    while not closing():
        start = time.monotonic()
        for event in await asyncio.to_thread(_news, look, sent):
            yield event
            last_word = time.monotonic()
        spent = time.monotonic() - start
        if time.monotonic() - last_word > STILL_HERE_SECONDS:
            last_word = time.monotonic()
            yield ": still here\n\n"
        await _rest(max(LOOK_SECONDS, spent * (1 / LOOK_SHARE - 1)), closing)


def _news(look: Callable[[], Shown], sent: dict[str, str]) -> list[str]:
    """The events that bring a page that was sent this much up to date."""
    try:
        shown = look()
        shown = Shown({"problem": "", **shown.pieces}, shown.figures)
    except UserError as problem:
        shown = pieces.of_problem(str(problem))
    except Exception as problem:  # a fault of ours in one look must not end the stream: the next look may go well
        shown = pieces.of_problem(f"This cannot be shown: {type(problem).__name__}: {problem}")
    told = [("piece", name, json.dumps({"name": name, "html": html})) for name, html in shown.pieces.items()]
    told += [("figure", f"figure {name}", written) for name, written in shown.figures.items()]
    news = [(kind, name, text) for kind, name, text in told if sent.get(name) != text]
    sent.update((name, text) for _, name, text in news)
    return [f"event: {kind}\ndata: {text}\n\n" for kind, _, text in news]


async def _rest(seconds: float, closing: Callable[[], bool]) -> None:
    end = time.monotonic() + seconds
    while not closing() and (left := end - time.monotonic()) > 0:
        await asyncio.sleep(min(_TICK_SECONDS, left))
