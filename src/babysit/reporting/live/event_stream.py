"""Server-sent events of the live page; rendered runs are cached and shared by all viewers."""

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

# The writer commits at most four times a second; a page that changes once a second is still readable.
POLL_SECONDS: Final = 1.0
# Drawing takes 0.3 to 0.7 s of a core (measured: 4 to 100 layers, up to 10,000 steps), possibly shared with a training:
# figures are updated every 2 to 4 seconds, verdict and numbers every second.
DRAWING_SHARE: Final = 0.2
# Shorter than the idle timeout of browsers, tunnels and proxies (30 to 60 seconds).
KEEP_ALIVE_SECONDS: Final = 15.0
# Interval at which a stream checks for shutdown.
_TICK_SECONDS: Final = 0.2
_CACHE_SIZE: Final = 8
# One more than a comparison accepts, so that the comparison reports the excess.
MOST_COMPARED: Final = 7

State: TypeAlias = tuple[str, int, str]  # a run's id, its last change, its status
Texts: TypeAlias = Mapping[str, str]


@final
@dataclass
class _Rendered:
    """Rendered fragments and figures of a run or a comparison in one state."""

    states: tuple[State, ...]
    subject: Run | Comparison
    fragments: Texts
    figures: Texts | None = None  # drawn on demand


@final
class RunPoller:
    """Polls runs and renders them only if they have changed."""

    def __init__(self, session: StoreSession) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._drawing_lock = (
            threading.Lock()
        )  # one at a time: several viewers must not take several cores from a training
        self._cache: OrderedDict[tuple[str, ...], _Rendered] = OrderedDict()

    def poll(self, run_ids: Sequence[str], *, compared: bool = False) -> Texts:
        """Return the fragments of a run or a comparison; raises UserError if a run does not exist."""
        return self._now(run_ids, compared=compared).fragments

    def draw(self, run_ids: Sequence[str], *, compared: bool = False) -> Texts:
        """Return the figures as JSON by name."""
        with self._drawing_lock:
            rendered = self._now(run_ids, compared=compared)
            if rendered.figures is None:
                rendered.figures = fragments.figures(rendered.subject)
            return rendered.figures

    def _now(self, run_ids: Sequence[str], *, compared: bool) -> _Rendered:
        with self._lock:
            found = [self._state(run_id) for run_id in run_ids[:MOST_COMPARED]]
            # Ignore repeated runs.
            states = tuple(dict.fromkeys(found))
            key = (str(compared), *(run_id for run_id, *_ in states))
            rendered = self._cache.get(key)
            if rendered is None or rendered.states != states:
                runs = [self._load(run_id) for run_id, *_ in states]
                rendered = self._cache[key] = _compared(states, runs) if compared else _single(states, runs[0])
            self._cache.move_to_end(key)
            while len(self._cache) > _CACHE_SIZE:
                self._cache.popitem(last=False)
            return rendered

    def _state(self, run_id: str) -> State:
        summary, change = self._session.with_store(lambda store: store.glance(run_id))
        return summary.id, change, str(summary.status)

    def _load(self, run_id: str) -> Run:
        return self._session.with_store(lambda store: store.load(run_id))


def _single(states: tuple[State, ...], run: Run) -> _Rendered:
    return _Rendered(states, run, fragments.of_run(run))


def _compared(states: tuple[State, ...], runs: Sequence[Run]) -> _Rendered:
    comparison = compare(runs)
    return _Rendered(states, comparison, fragments.of_comparison(comparison))


Poll: TypeAlias = Callable[[], Texts]


async def events(poll: Poll, draw: Poll, *, closing: Callable[[], bool]) -> AsyncIterator[str]:
    """Yield server-sent events: first every fragment and figure, then those that changed, until the server closes."""
    sent: dict[str, str] = {}
    last_event, next_drawing = time.monotonic(), 0.0
    yield "retry: 2000\n\n"
    while not closing():
        next_poll = time.monotonic() + POLL_SECONDS
        news, _ = await asyncio.to_thread(_news, "fragment", poll, sent)
        for event in news:
            yield event
        if time.monotonic() >= next_drawing:
            drawn, spent = await asyncio.to_thread(_news, "figure", draw, sent)
            next_drawing = time.monotonic() + spent * (1 / DRAWING_SHARE - 1)
            for event in drawn:
                yield event
            news += drawn
        if news:
            last_event = time.monotonic()
        elif time.monotonic() - last_event > KEEP_ALIVE_SECONDS:
            last_event = time.monotonic()
            yield ": keep-alive\n\n"
        while not closing() and (left := next_poll - time.monotonic()) > 0:
            await asyncio.sleep(min(_TICK_SECONDS, left))


def _news(kind: str, poll: Poll, sent: dict[str, str]) -> tuple[list[str], float]:
    """Return the events for everything that changed since `sent`, and the CPU seconds spent."""
    start = time.thread_time()
    found: Texts
    try:
        found = {"problem": "", **poll()} if kind == "fragment" else poll()
    except UserError as problem:
        found = fragments.of_problem(str(problem)) if kind == "fragment" else {}
    except Exception as problem:  # an internal error must not end the stream: the next poll may succeed
        found = fragments.of_problem(f"Internal error: {type(problem).__name__}: {problem}")
        kind = "fragment"
    if kind == "fragment":
        found = {name: json.dumps({"name": name, "html": html}) for name, html in found.items()}
    news = {name: text for name, text in found.items() if sent.get(f"{kind} {name}") != text}
    sent.update((f"{kind} {name}", text) for name, text in news.items())
    return [f"event: {kind}\ndata: {text}\n\n" for text in news.values()], time.thread_time() - start
