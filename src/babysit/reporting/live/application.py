"""ASGI application of the live page."""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from babysit.reporting.live.access import AccessPolicy, Guard
from babysit.reporting.live.pages import Pages
from babysit.reporting.live.store_session import StoreSession


def application(url: str | None, policy: AccessPolicy, *, closing: Callable[[], bool] = lambda: False) -> ASGIApp:
    """Create the application for a store URL (None: `./babysit_runs`); streams end once `closing()` is true."""
    pages = Pages(StoreSession(url), policy, closing=closing)
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
    handlers = {404: pages.not_found, 405: pages.not_found}
    return Guard(Starlette(routes=routes, exception_handlers=handlers), policy)
