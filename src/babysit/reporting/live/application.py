"""The live page as an ASGI application: every address it knows, behind the guard."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from babysit.reporting.live.access import AccessPolicy, Guard
from babysit.reporting.live.pages import Pages
from babysit.reporting.live.store_session import StoreSession


def application(url: str | None, doors: AccessPolicy, *, closing: Callable[[], bool] = lambda: False) -> ASGIApp:
    """The pages over the store at this address (None: `./babysit_runs`); streams end once `closing` says so."""
    pages = Pages(StoreSession(url), doors, closing=closing)
    routes = [
        Route("/", pages.home),
        Route("/run", pages.run),
        Route("/compare", pages.compare),
        Route("/report", pages.report),
        Route("/annotate", pages.annotate, methods=["POST"]),
        Route("/events/runs", pages.home_events),
        Route("/events/run", pages.run_events),
        Route("/events/compare", pages.compare_events),
        Route("/assets/{name}", pages.asset),
    ]
    handlers = {404: pages.missing, 405: pages.missing}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), doors)
