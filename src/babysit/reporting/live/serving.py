"""HTTP server of the live page."""

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
# Number of higher ports to try for a suggestion.
_PORTS_TRIED: Final = 50
# Streams end within 0.2 seconds; this is for slow clients.
_END_SECONDS: Final = 2


def bound(host: str, port: int) -> socket.socket:
    """Bind a listening socket; port 0 takes any free port. Raises UserError, with a free port, if that fails."""
    if not 0 <= port <= 65_535:
        raise UserError(f"there is no port {port}", do="Choose a port from 1024 to 65535, or 0 for any")
    try:
        return _listen(host, port)
    except socket.gaierror as problem:
        raise UserError(
            f"{host!r} is not an address of this machine", do="Use 127.0.0.1, or 0.0.0.0 for all addresses"
        ) from problem
    except OSError as problem:
        if problem.errno == errno.EADDRINUSE:
            raise UserError(f"port {port} is already in use", do=_suggestion(host, port)) from problem
        if problem.errno == errno.EACCES:
            raise UserError(f"port {port} is reserved for system services", do="Choose a port above 1023") from problem
        if problem.errno == errno.EADDRNOTAVAIL:
            raise UserError(
                f"{host} is not an address of this machine", do="Use 127.0.0.1, or 0.0.0.0 for all addresses"
            ) from problem
        raise UserError(f"cannot listen on {host}, port {port}: {problem.strerror}") from problem


def serve(listening: socket.socket, url: str | None, policy: AccessPolicy, *, ready: Callable[[str], None]) -> None:
    """Serve on this socket until Ctrl-C or SIGTERM; call `ready` with the URL to open, token included."""
    server = server_of(url, policy)
    asset("vega.js")  # takes a second or two: warm the cache before the first request
    ready(address(listening, policy))
    with suppress(KeyboardInterrupt):  # the usual way to stop the server
        server.run(sockets=[listening])


def server_of(url: str | None, policy: AccessPolicy) -> uvicorn.Server:
    """Create the server for a store URL."""
    server: uvicorn.Server
    page = application(url, policy, closing=lambda: server.should_exit)
    server = uvicorn.Server(
        uvicorn.Config(
            page,
            log_level="error",
            access_log=False,
            server_header=False,
            proxy_headers=False,  # no proxy is expected: do not trust X-Forwarded-* headers
            lifespan="off",
            ws="none",
            timeout_graceful_shutdown=_END_SECONDS,
        )
    )
    return server


def address(listening: socket.socket, policy: AccessPolicy) -> str:
    """Return the URL to open on this machine, token included."""
    host, port = listening.getsockname()[:2]
    name = "localhost" if host in ("0.0.0.0", "::") else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={policy.token}" if policy.token else "")


def _listen(host: str, port: int) -> socket.socket:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # allow a port that was released a moment ago
        listening.bind(address)
        listening.listen(128)
    except BaseException:
        listening.close()
        raise
    return listening


def _suggestion(host: str, port: int) -> str:
    for other in range(port + 1, min(port + 1 + _PORTS_TRIED, 65536)):
        with suppress(OSError), closing(_listen(host, other)):
            return f"Port {other} is free: babysit ui --port {other}"
    return "Use any free port: babysit ui --port 0"
