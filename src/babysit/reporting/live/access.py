"""Who may ask: names of this machine only, a token where others can reach the page, and nothing written from outside.

A page on the loopback address is reached by every program of this machine, and by web pages in its browser: these are
kept out by the name they ask for (DNS rebinding), by the origin they write from, and by a secret that only our own
pages hold. Beyond the loopback address a token is needed as well.
"""

from __future__ import annotations

import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Scripts and styles from our own address only, and nothing else at all: a name that slipped through all escaping would
# neither run nor load anything. Vega's expressions are interpreted, not compiled, so no unsafe-eval.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # The first address holds the token; with "no-referrer" browsers would hide the origin of our own forms, too.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_COOKIE_SECONDS: Final = 30 * 86_400


@final
@dataclass(frozen=True)
class AccessPolicy:
    """Which names the page answers to, the token it asks for, and the secret that its own forms carry."""

    host: str = "127.0.0.1"
    token: str = ""  # "" asks for none
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def session(self) -> str:
        """What the cookie holds instead of the token."""
        return hmac.new(self.token.encode(), b"babysit live page", sha256).hexdigest()

    def answers_to(self, name: str) -> bool:
        """Whether a request that asks for this host (with or without port) is meant for us."""
        try:
            hostname = (urlsplit(f"//{name}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if hostname in {"localhost", self.host.lower()}:
            return True
        try:
            address = ipaddress.ip_address(hostname)
        except ValueError:
            return not is_loopback(self.host) and hostname in {socket.gethostname().lower(), socket.getfqdn().lower()}
        # A bare address cannot have been rebound by anybody's name server.
        return address.is_loopback or not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a page bound to this host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@final
class Guard:
    """Stands before the application: lets in who may ask, and sends the security headers with every answer."""

    def __init__(self, application: ASGIApp, doors: AccessPolicy) -> None:
        self._application = application
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on."""
        if scope["type"] != "http":
            return
        request = Request(scope)

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                known = {name.lower() for name, _ in message["headers"]}
                fresh = {"cache-control": "no-store", **HEADERS}
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in fresh.items() if name.encode() not in known),
                ]
            await send(message)

        answer = self._refusal(request)
        await (answer or self._application)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """What stands in the way of a request; None when nothing does."""
        if not self._doors.answers_to(request.headers.get("host", "")):
            return PlainTextResponse(
                "This page answers to the names of its own machine only: localhost, its host name or its address.\n"
                f"From elsewhere: ssh -L {_port(request)}:127.0.0.1:{_port(request)} this-machine, then "
                f"http://localhost:{_port(request)}/\n",
                421,
            )
        if request.method not in ("GET", "HEAD") and not _same_origin(request):
            return PlainTextResponse("Notes and tags are written from this page only.\n", 403)
        return self._token_refusal(request) if self._doors.token else None

    def _token_refusal(self, request: Request) -> Response | None:
        cookie = f"babysit_{_port(request)}"  # cookies know no ports: two pages on one machine would share one
        if _same(request.cookies.get(cookie, ""), self._doors.session):
            return None
        if _same(request.headers.get("authorization", ""), f"Bearer {self._doors.token}"):
            return None
        given = request.query_params.get("token", "")
        if not _same(given, self._doors.token):
            why = "That is not the token of this page" if given else "This page needs its token"
            return PlainTextResponse(
                f"{why}. `babysit ui` printed an address that holds it when it started: open that address once.\n",
                401,
                {"www-authenticate": "Bearer"},
            )
        # The token leaves the address at once, and with it the browser's history.
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "token"]
        path = "/" + request.url.path.lstrip("/")  # `//elsewhere` would lead to another machine
        answer = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), 303)
        answer.set_cookie(cookie, self._doors.session, max_age=_COOKIE_SECONDS, httponly=True, samesite="lax")
        return answer


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode())


def _same_origin(request: Request) -> bool:
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    return origin is None or urlsplit(origin).netloc == request.headers.get("host")


def _port(request: Request) -> int:
    server = request.scope.get("server")
    return int(server[1]) if server and server[1] else 80
