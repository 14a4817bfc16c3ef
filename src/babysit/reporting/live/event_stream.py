"""Runs as they are shown now, each made once however many look at it, and the events that carry them to browsers."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, final

from babysit.records.errors import UserError
from babysit.records.run import Run
from babysit.reporting.compare import Comparison, compare
from babysit.reporting.live import fragments
from babysit.reporting.live.store_session import StoreSession
from babysit.store.summary import RunSummary

# The writer commits four times a second at most; a page that changes once a second can still be read.
LOOK_SECONDS: Final = 1.0
# Drawing takes 0.3 to 0.7 s of a core (measured: 4 to 100 layers, up to 10,000 steps), from a training on the same
# machine perhaps: figures follow every 2 to 4 seconds, verdict and numbers every second.
DRAWING_SHARE: Final = 0.2
# Below what browsers, tunnels and proxies take for a dead connection (30 to 60 seconds).
STILL_HERE_SECONDS: Final = 15.0
# How soon a stream notices that the server is to end.
_TICK_SECONDS: Final = 0.2
_MOST_KEPT: Final = 8
# One more than a comparison takes, so that it says itself that they are too many.
MOST_COMPARED: Final = 7

State: TypeAlias = tuple[str, int, str]  # a run's id, its last change, its status
Texts: TypeAlias = Mapping[str, str]


@final
@dataclass
class _Kept:
    """What was made of a subject (a run, or runs beside each other) in one state."""

    states: tuple[State, ...]
    subject: Run | Comparison
    fragments: Texts
    figures: Texts | None = None  # drawn when somebody wants to see them


@final
class RunPoller:
    """Makes what a page shows of runs when they have changed, and not more often."""

    def __init__(self, library: StoreSession) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._drawing = threading.Lock()  # one at a time: two viewers must not take two cores from a training
        self._kept: OrderedDict[tuple[str, ...], _Kept] = OrderedDict()

    def look(self, run_ids: Sequence[str], *, compared: bool = False) -> Texts:
        """The pieces to be shown of a run, or of several beside each other; raises UserError when there are none."""
        return self._now(run_ids, compared=compared).fragments

    def draw(self, run_ids: Sequence[str], *, compared: bool = False) -> Texts:
        """Their figures, as JSON by name."""
        with self._drawing:
            kept = self._now(run_ids, compared=compared)
            if kept.figures is None:
                kept.figures = fragments.figures(kept.subject)
            return kept.figures

    def _now(self, run_ids: Sequence[str], *, compared: bool) -> _Kept:
        with self._lock:
            glances = [self._glance(run_id) for run_id in run_ids[:MOST_COMPARED]]
            # The same run twice is a slip of the finger.
            states = tuple(dict.fromkeys(state for _, state in glances))
            key = (str(compared), *(run_id for run_id, *_ in states))
            kept = self._kept.get(key)
            if kept is None or kept.states != states:
                runs = [self._load(run_id) for run_id, *_ in states]
                kept = self._kept[key] = _beside(states, runs) if compared else _alone(states, runs[0], glances[0][0])
            self._kept.move_to_end(key)
            while len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)
            return kept

    def _glance(self, run_id: str) -> tuple[RunSummary, State]:
        summary, change = self._library.ask(lambda store: store.glance(run_id))
        return summary, (summary.id, change, str(summary.status))

    def _load(self, run_id: str) -> Run:
        return self._library.ask(lambda store: store.load(run_id))


def _alone(states: tuple[State, ...], run: Run, summary: RunSummary) -> _Kept:
    return _Kept(states, run, fragments.of_run(run))


def _beside(states: tuple[State, ...], runs: Sequence[Run]) -> _Kept:
    comparison = compare(runs)
    return _Kept(states, comparison, fragments.of_comparison(comparison))


Look: TypeAlias = Callable[[], Texts]


async def events(look: Look, draw: Look, *, closing: Callable[[], bool]) -> AsyncIterator[str]:
    """Server-sent events: every piece and figure at first, then each that changed, until the server closes."""
    sent: dict[str, str] = {}
    last_word, next_drawing = time.monotonic(), 0.0
    yield "retry: 2000\n\n"
    while not closing():
        next_look = time.monotonic() + LOOK_SECONDS
        news, _ = await asyncio.to_thread(_news, "piece", look, sent)
        for event in news:
            yield event
        if time.monotonic() >= next_drawing:
            drawn, spent = await asyncio.to_thread(_news, "figure", draw, sent)
            next_drawing = time.monotonic() + spent * (1 / DRAWING_SHARE - 1)
            for event in drawn:
                yield event
            news += drawn
        if news:
            last_word = time.monotonic()
        elif time.monotonic() - last_word > STILL_HERE_SECONDS:
            last_word = time.monotonic()
            yield ": still here\n\n"
        while not closing() and (left := next_look - time.monotonic()) > 0:
            await asyncio.sleep(min(_TICK_SECONDS, left))


def _news(kind: str, look: Look, sent: dict[str, str]) -> tuple[list[str], float]:
    """The events that bring what was sent up to date, and the seconds of a core it took to know them."""
    start = time.thread_time()
    found: Texts
    try:
        found = {"problem": "", **look()} if kind == "piece" else look()
    except UserError as problem:
        found = fragments.of_problem(str(problem)) if kind == "piece" else {}
    except Exception as problem:  # a fault of ours in one look must not end the stream: the next look may go well
        found = fragments.of_problem(f"This cannot be shown: {type(problem).__name__}: {problem}")
        kind = "piece"
    if kind == "piece":
        found = {name: json.dumps({"name": name, "html": html}) for name, html in found.items()}
    news = {name: text for name, text in found.items() if sent.get(f"{kind} {name}") != text}
    sent.update((f"{kind} {name}", text) for name, text in news.items())
    return [f"event: {kind}\ndata: {text}\n\n" for text in news.values()], time.thread_time() - start
