"""The answers to browsers: the list of runs, one run, several beside each other, and what a visitor writes."""

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

from babysit.records.errors import UserError
from babysit.reporting.live import fragments, run_filter
from babysit.reporting.live.access import AccessPolicy
from babysit.reporting.live.event_stream import Look, RunPoller, events
from babysit.reporting.live.store_session import NOT_BEGUN, StoreSession
from babysit.reporting.live.templates import ASSETS, asset, render
from babysit.reporting.report import report
from babysit.store.db_errors import UnreadableError
from babysit.store.store import LONGEST_TAG

Shown = TypeVar("Shown")

# More than anybody writes about a run; a request beyond it is refused before it is read.
MOST_NOTE_LETTERS: Final = 10_000
MOST_TAGS: Final = 20
# A letter outside the first 65,536 is four bytes, and a form sends each as three signs; the rest is names and marks.
_MOST_BYTES: Final = 12 * (MOST_NOTE_LETTERS + MOST_TAGS * LONGEST_TAG) + 1_000
_LATER: Final = 503
_YEAR_SECONDS: Final = 31_536_000


@final
class Pages:
    """Every page over one store."""

    def __init__(self, library: StoreSession, doors: AccessPolicy, *, closing: Callable[[], bool]) -> None:
        self._library = library
        self._doors = doors
        self._closing = closing
        self._follower = RunPoller(library)

    async def home(self, request: Request) -> Response:
        """The list of runs."""
        asked = run_filter.run_filter(request.query_params)
        address = f"/events/runs?{request.url.query}" if request.url.query else "/events/runs"
        return await self._page("runs.html", partial(self._look_at_all, asked), address, asked=asked, shelf=run_filter)

    async def home_events(self, request: Request) -> Response:
        """Changes of the list."""
        return self._stream(partial(self._look_at_all, run_filter.run_filter(request.query_params)), dict)

    async def run(self, request: Request) -> Response:
        """One run."""
        run_id = request.query_params.get("id", "latest")
        try:
            summary, _ = await asyncio.to_thread(self._library.ask, lambda store: store.glance(run_id))
        except UserError as problem:
            return self._problem(problem)
        return await self._page(
            "run.html",
            partial(self._follower.look, [summary.id]),
            f"/events/run?id={quote(summary.id, safe='')}",
            summary=summary,
            secret=self._doors.secret,
            most_note_letters=MOST_NOTE_LETTERS,
            saved=request.query_params.get("saved") == "yes",
        )

    async def run_events(self, request: Request) -> Response:
        """Changes of one run."""
        return await self._followed([request.query_params.get("id", "latest")])

    async def compare(self, request: Request) -> Response:
        """Several runs beside each other."""
        ids = request.query_params.getlist("run")
        address = f"/events/compare?{urlencode([('run', run_id) for run_id in ids])}"
        return await self._page("compared.html", partial(self._follower.look, ids, compared=True), address)

    async def compare_events(self, request: Request) -> Response:
        """Changes of what is compared."""
        return await self._followed(request.query_params.getlist("run"), compared=True)

    async def report(self, request: Request) -> Response:
        """The report of a run as a file to keep."""
        run_id = request.query_params.get("id", "latest")
        try:
            run = await asyncio.to_thread(self._library.ask, lambda store: store.load(run_id))
            page = await asyncio.to_thread(_shown, partial(report, run))
        except UserError as problem:
            return self._problem(problem)
        name = "".join(mark if mark.isascii() and (mark.isalnum() or mark in "-_") else "_" for mark in run.id)[:80]
        # As a file: the page carries its own scripts, which the policy of this server does not let run.
        return HTMLResponse(page, headers={"content-disposition": f'attachment; filename="babysit-{name}.html"'})

    async def annotate(self, request: Request) -> Response:
        """Notes and tags as a visitor wrote them."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _MOST_BYTES:
                return self._refused(f"Notes of up to {MOST_NOTE_LETTERS:,} letters are kept; these are longer", 413)
        form = {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
        if not hmac.compare_digest(form.get("secret", "").encode(), self._doors.secret.encode()):
            return self._refused("This form is older than this `babysit ui`: go back and load it again", 403)
        run_id, notes = form.get("id", ""), form.get("notes", "").replace("\r\n", "\n").strip()
        words = [word.strip() for word in form.get("tags", "").split(",") if word.strip()]
        if len(notes) > MOST_NOTE_LETTERS or len(words) > MOST_TAGS:
            return self._refused(f"Up to {MOST_NOTE_LETTERS:,} letters and {MOST_TAGS} tags are kept", 413)
        try:
            write = partial(_annotate, run_id=run_id, notes=notes, tags=tuple(words))
            await asyncio.to_thread(self._library.ask, write)
        except UserError as problem:
            return self._problem(problem)
        return RedirectResponse(f"/run?id={quote(run_id, safe='')}&saved=yes#notes", 303)

    async def asset(self, request: Request) -> Response:
        """A script or a style of ours."""
        name = request.path_params["name"]
        if name not in ASSETS:
            return self._refused("There is no such file here", 404)
        text = await asyncio.to_thread(asset, name)
        forever = {"cache-control": f"max-age={_YEAR_SECONDS}, immutable"} if "v" in request.query_params else {}
        return Response(text, media_type=ASSETS[name], headers=forever)

    async def missing(self, request: Request, problem: Exception) -> Response:
        """Any other address."""
        return self._refused("There is no such page here", getattr(problem, "status_code", 404))

    def _look_at_all(self, asked: run_filter.RunFilter) -> dict[str, str]:
        summaries = self._library.ask(lambda store: store.list())
        return fragments.of_runs(run_filter.matching(summaries, asked), kept=len(summaries))

    async def _page(self, template: str, look: Look, address: str, **context: Any) -> Response:
        """A page with everything in its place already; its stream only brings what changes."""
        try:
            shown, status = await asyncio.to_thread(_shown, look), 200
        except UserError as problem:
            if _status_of(problem) != _LATER:
                return self._problem(problem)
            # The page stays: its stream fills it as soon as the store can be read.
            shown, status = fragments.of_problem(str(problem)), 200 if problem.what == NOT_BEGUN else 503
        ready = defaultdict(Markup, {name: Markup(html) for name, html in shown.items()})  # by our own templates
        page = render(template, pieces=ready, events=address, place=self._library.label, **context)
        return HTMLResponse(page, status)

    async def _followed(self, run_ids: list[str], *, compared: bool = False) -> Response:
        look, draw = (partial(act, run_ids, compared=compared) for act in (self._follower.look, self._follower.draw))
        try:
            await asyncio.to_thread(_shown, look)
        except UserError as problem:
            if _status_of(problem) != _LATER:
                return self._problem(problem)
        return self._stream(look, draw)

    def _stream(self, look: Look, draw: Look) -> Response:
        return StreamingResponse(
            events(look, draw, closing=self._closing),
            media_type="text/event-stream",
            headers={"x-accel-buffering": "no"},
        )

    def _problem(self, problem: UserError) -> Response:
        return self._refused(str(problem), _status_of(problem))

    def _refused(self, why: str, status: int) -> Response:
        return HTMLResponse(render("refused.html", why=why, place=self._library.label), status)


def _status_of(problem: UserError) -> int:
    """404 for a run that is not there, 422 for one that is damaged, 400 for what cannot be asked or kept; else _LATER.

    What may go well later keeps its page, which is filled as soon as it does.
    """
    if isinstance(problem, UnreadableError):
        return 422
    if "there is no run" in problem.what:
        return 404
    refused = ("several runs begin", "a comparison needs", "are too many to", "cannot be compared", "cannot be a tag")
    return 400 if any(words in problem.what for words in refused) else _LATER


def _shown(look: Callable[[], Shown]) -> Shown:
    """What a look gives; a run that was kept and cannot be shown costs its own page, and no more than that."""
    try:
        return look()
    except UserError:
        raise
    except Exception as problem:
        raise UnreadableError(f"this cannot be shown: {type(problem).__name__}: {problem}") from problem


def _annotate(store: Any, *, run_id: str, notes: str, tags: tuple[str, ...]) -> None:
    store.annotate(run_id, notes=notes, tags=tags)
