"""Request handlers of the live page: list, run, comparison, report, notes and tags."""

from __future__ import annotations

import asyncio
import hmac
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, final
from urllib.parse import parse_qs, quote, urlencode

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse

from babysit.records.errors import InvalidRequestError, NotFoundError, UserError
from babysit.reporting.live import fragments, run_filter
from babysit.reporting.live.access import AccessPolicy
from babysit.reporting.live.event_stream import Poll, RunPoller, events
from babysit.reporting.live.store_session import NO_STORE, StoreSession
from babysit.reporting.live.templates import ASSETS, asset, render
from babysit.reporting.report import report
from babysit.store.db_errors import UnreadableError
from babysit.store.store import LONGEST_TAG

Shown = TypeVar("Shown")

# Far more than a note needs; a longer request is refused before it is read.
MOST_NOTE_CHARACTERS: Final = 10_000
MOST_TAGS: Final = 20
# A character can take four bytes, each sent as three characters (%XX); the rest is field names.
_MOST_BYTES: Final = 12 * (MOST_NOTE_CHARACTERS + MOST_TAGS * LONGEST_TAG) + 1_000
_LATER: Final = 503
_YEAR_SECONDS: Final = 31_536_000


@final
class Pages:
    """Request handlers over one store."""

    def __init__(self, session: StoreSession, policy: AccessPolicy, *, closing: Callable[[], bool]) -> None:
        self._session = session
        self._policy = policy
        self._closing = closing
        self._poller = RunPoller(session)

    async def home(self, request: Request) -> Response:
        """Return the list of runs."""
        asked = run_filter.run_filter(request.query_params)
        address = f"/events/runs?{request.url.query}" if request.url.query else "/events/runs"
        return await self._page("runs.html", partial(self._list, asked), address, asked=asked, run_filter=run_filter)

    async def home_events(self, request: Request) -> Response:
        """Stream changes of the list."""
        return self._stream(partial(self._list, run_filter.run_filter(request.query_params)), dict)

    async def run(self, request: Request) -> Response:
        """Return the page of one run."""
        run_id = request.query_params.get("id", "latest")
        try:
            summary, _ = await asyncio.to_thread(self._session.with_store, lambda store: store.glance(run_id))
        except UserError as problem:
            return self._problem(problem)
        return await self._page(
            "run.html",
            partial(self._poller.poll, [summary.id]),
            f"/events/run?id={quote(summary.id, safe='')}",
            summary=summary,
            secret=self._policy.secret,
            most_note_characters=MOST_NOTE_CHARACTERS,
            saved=request.query_params.get("saved") == "yes",
        )

    async def run_events(self, request: Request) -> Response:
        """Stream changes of one run."""
        return await self._run_stream([request.query_params.get("id", "latest")])

    async def compare(self, request: Request) -> Response:
        """Return the comparison of several runs."""
        ids = request.query_params.getlist("run")
        address = f"/events/compare?{urlencode([('run', run_id) for run_id in ids])}"
        return await self._page("compared.html", partial(self._poller.poll, ids, compared=True), address)

    async def compare_events(self, request: Request) -> Response:
        """Stream changes of the compared runs."""
        return await self._run_stream(request.query_params.getlist("run"), compared=True)

    async def report(self, request: Request) -> Response:
        """Return the report of a run as a download."""
        run_id = request.query_params.get("id", "latest")
        try:
            run = await asyncio.to_thread(self._session.with_store, lambda store: store.load(run_id))
            page = await asyncio.to_thread(_shown, partial(report, run))
        except UserError as problem:
            return self._problem(problem)
        name = "".join(char if char.isascii() and (char.isalnum() or char in "-_") else "_" for char in run.id)[:80]
        # As a download: the security policy of this server blocks the inline scripts of the report.
        return HTMLResponse(page, headers={"content-disposition": f'attachment; filename="babysit-{name}.html"'})

    async def annotate(self, request: Request) -> Response:
        """Save notes and tags."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BYTES:
                return self._refused(f"Notes are limited to {MOST_NOTE_CHARACTERS:,} characters", 413)
        form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if not hmac.compare_digest(form.get("secret", "").encode(), self._policy.secret.encode()):
            return self._refused("The form has expired: go back and reload the page", 403)
        run_id, notes = form.get("id", ""), form.get("notes", "").replace("\r\n", "\n").strip()
        words = [word.strip() for word in form.get("tags", "").split(",") if word.strip()]
        if len(notes) > MOST_NOTE_CHARACTERS or len(words) > MOST_TAGS:
            return self._refused(f"Notes are limited to {MOST_NOTE_CHARACTERS:,} characters and {MOST_TAGS} tags", 413)
        try:
            write = partial(_annotate, run_id=run_id, notes=notes, tags=tuple(words))
            await asyncio.to_thread(self._session.with_store, write)
        except UserError as problem:
            return self._problem(problem)
        return RedirectResponse(f"/run?id={quote(run_id, safe='')}&saved=yes#notes", 303)

    async def asset(self, request: Request) -> Response:
        """Return a script or a style sheet."""
        name = request.path_params["name"]
        if name not in ASSETS:
            return self._refused("File not found", 404)
        text = await asyncio.to_thread(asset, name)
        forever = {"cache-control": f"max-age={_YEAR_SECONDS}, immutable"} if "v" in request.query_params else {}
        return Response(text, media_type=ASSETS[name], headers=forever)

    async def not_found(self, request: Request, problem: Exception) -> Response:
        """Return the 404 page."""
        return self._refused("Page not found", getattr(problem, "status_code", 404))

    def _list(self, asked: run_filter.RunFilter) -> dict[str, str]:
        summaries = self._session.with_store(lambda store: store.list())
        return fragments.of_runs(run_filter.matching(summaries, asked), total=len(summaries))

    async def _page(self, template: str, poll: Poll, address: str, **context: Any) -> Response:
        """Render a complete page; its stream only sends changes."""
        try:
            shown, status = await asyncio.to_thread(_shown, poll), 200
        except UserError as problem:
            if _status_of(problem) != _LATER:
                return self._problem(problem)
            # Serve the page: its stream fills it as soon as the store can be read.
            shown, status = fragments.of_problem(str(problem)), 200 if problem.what == NO_STORE else 503
        ready = defaultdict(
            Markup, {name: Markup(html) for name, html in shown.items()}
        )  # rendered by templates of this package
        page = render(template, fragments=ready, events=address, store=self._session.label, **context)
        return HTMLResponse(page, status)

    async def _run_stream(self, run_ids: list[str], *, compared: bool = False) -> Response:
        poll, draw = (partial(act, run_ids, compared=compared) for act in (self._poller.poll, self._poller.draw))
        try:
            await asyncio.to_thread(_shown, poll)
        except UserError as problem:
            if _status_of(problem) != _LATER:
                return self._problem(problem)
        return self._stream(poll, draw)

    def _stream(self, poll: Poll, draw: Poll) -> Response:
        return StreamingResponse(
            events(poll, draw, closing=self._closing),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    def _problem(self, problem: UserError) -> Response:
        return self._refused(str(problem), _status_of(problem))

    def _refused(self, why: str, status: int) -> Response:
        return HTMLResponse(render("refused.html", why=why, store=self._session.label), status)


def _status_of(problem: UserError) -> int:
    """Map an error to a status: 404 unknown run, 422 damaged run, 400 invalid request, else _LATER.

    For errors that may pass (_LATER) the page is served and filled later.
    """
    if isinstance(problem, UnreadableError):
        return 422
    if isinstance(problem, NotFoundError):
        return 404
    return 400 if isinstance(problem, InvalidRequestError) else _LATER


def _shown(poll: Callable[[], Shown]) -> Shown:
    """Return the fragments; convert an internal error to UnreadableError, so that it affects this page only."""
    try:
        return poll()
    except UserError:
        raise
    except Exception as problem:
        raise UnreadableError(f"internal error: {type(problem).__name__}: {problem}") from problem


def _annotate(store: Any, *, run_id: str, notes: str, tags: tuple[str, ...]) -> None:
    store.annotate(run_id, notes=notes, tags=tags)
