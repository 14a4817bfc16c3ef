"""Serves the live page until Ctrl-C, at a port that is free."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Final

import uvicorn

from babysit.records.errors import UserError
from babysit.reporting.live.access import AccessPolicy
from babysit.reporting.live.application import application
from babysit.reporting.live.templates import asset

PORT: Final = 8642
# How many ports above the one asked for are tried for a suggestion.
_PORTS_TRIED: Final = 50
# Streams end by themselves within a fifth of a second; this is for a visitor who is slow to take an answer.
_END_SECONDS: Final = 2


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 takes any. Raises UserError when that is impossible, with a port that is free."""
    if not 0 <= port <= 65_535:
        raise UserError(f"there is no port {port}", do="Give one from 1024 to 65535, or 0 for any")
    try:
        return _listen(host, port)
    except socket.gaierror as problem:
        raise UserError(
            f"{host!r} is no address of this machine", do="Name 127.0.0.1, or 0.0.0.0 for all of its addresses"
        ) from problem
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is taken by another program", do=_suggestion(host, port)) from problem
        if problem.errno == errno.EACCES:
            raise UserError(f"port {port} is for the system's own services", do="Give one above 1023") from problem
        if problem.errno == errno.EADDRNOTAVAIL:
            raise UserError(
                f"{host} is no address of this machine", do="Name 127.0.0.1, or 0.0.0.0 for all of its addresses"
            ) from problem
        raise UserError(f"nothing can listen at {host}, port {port}: {problem.strerror}") from problem


def serve(listening: socket.socket, url: str | None, doors: AccessPolicy, *, ready: Callable[[str], None]) -> None:
    """Answer at this socket until Ctrl-C or SIGTERM; `ready` is told the address to open, its token included."""
    server = server_of(url, doors)
    asset("vega.js")  # takes a second or two, once: now instead of at the first visit
    ready(address(listening, doors))
    with suppress(KeyboardInterrupt):  # the usual way to end it
        server.run(sockets=[listening])


def server_of(url: str | None, doors: AccessPolicy) -> uvicorn.Server:
    """What answers over the store at this address, once it is run."""
    server: uvicorn.Server
    page = application(url, doors, closing=lambda: server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            page,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody stands between: what a visitor claims to be is not believed
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_END_SECONDS,
        )
    )
    return server


def address(listening: socket.socket, doors: AccessPolicy) -> str:
    """What to open in a browser on this machine, its token included."""
    host, port = listening.getsockname()[:2]
    name = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={doors.token}" if doors.token else "")


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[
        0
    ]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was left a moment ago is free
        listening.bind(place)
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening


def _suggestion(host: str, port: int) -> str:
    for other in range(port + 1, min(port + 1 + _PORTS_TRIED, 65536)):
        with suppress(OSError), closing(_listen(host, other)):
            return f"Free is {other}: babysit ui --port {other}"
    return "Take any that is free: babysit ui --port 0"
