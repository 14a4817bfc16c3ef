"""Access control of the live page: host check, origin check, form secret and token.

A page on the loopback address is reachable by every program of this machine and by web pages in its browser. The Host
header (DNS rebinding), the origin and a form secret keep these out. Beyond the loopback address a token is required.
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

# Scripts and styles from the same origin only: injected markup would neither run nor load anything even if escaping
# failed. Vega's expressions are interpreted, not compiled, so unsafe-eval is not needed.
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    # The first URL contains the token; "no-referrer" would also hide the origin of the page's own forms.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
_COOKIE_SECONDS: Final = 30 * 86_400


@final
@dataclass(frozen=True)
class AccessPolicy:
    """Accepted host, required token and form secret of the page."""

    host: str = "127.0.0.1"
    token: str = ""  # "" requires none
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(32))

    @property
    def session(self) -> str:
        """Return the value of the session cookie, derived from the token."""
        return hmac.new(self.token.encode(), b"babysit live page", sha256).hexdigest()

    def accepts_host(self, name: str) -> bool:
        """Check whether the Host header (with or without port) names this server."""
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
        # A literal IP address cannot be rebound by DNS.
        return address.is_loopback or not is_loopback(self.host)


def is_loopback(host: str) -> bool:
    """Check whether only this machine can reach a page bound to this host."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@final
class Guard:
    """ASGI middleware that enforces the access policy and adds security headers to every response."""

    def __init__(self, application: ASGIApp, policy: AccessPolicy) -> None:
        self._application = application
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request, or pass it on to the application."""
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

        response = self._refusal(request)
        await (response or self._application)(scope, receive, send_guarded)

    def _refusal(self, request: Request) -> Response | None:
        """Return the response that refuses a request; None if it is allowed."""
        if not self._policy.accepts_host(request.headers.get("host", "")):
            return PlainTextResponse(
                "Unknown host. Use localhost, the host name or the IP address of this machine.\n"
                f"From another machine: ssh -L {_port(request)}:127.0.0.1:{_port(request)} this-machine, then "
                f"http://localhost:{_port(request)}/\n",
                421,
            )
        if request.method not in ("GET", "HEAD") and not _same_origin(request):
            return PlainTextResponse("Notes and tags can only be changed from this page.\n", 403)
        return self._token_refusal(request) if self._policy.token else None

    def _token_refusal(self, request: Request) -> Response | None:
        cookie = f"babysit_{_port(request)}"  # cookies ignore ports: two pages on one machine would share one
        if _same(request.cookies.get(cookie, ""), self._policy.session):
            return None
        if _same(request.headers.get("authorization", ""), f"Bearer {self._policy.token}"):
            return None
        given = request.query_params.get("token", "")
        if not _same(given, self._policy.token):
            why = "Invalid token" if given else "A token is required"
            return PlainTextResponse(
                f"{why}. Open the URL that `babysit ui` printed when it started.\n",
                401,
                {"www-authenticate": "Bearer"},
            )
        # Redirect without the token, so that it does not stay in the browser's history.
        rest = [(name, value) for name, value in parse_qsl(request.url.query) if name != "token"]
        path = "/" + request.url.path.lstrip("/")  # `//other-host` would redirect to another machine
        response = RedirectResponse(path + (f"?{urlencode(rest)}" if rest else ""), 303)
        response.set_cookie(cookie, self._policy.session, max_age=_COOKIE_SECONDS, httponly=True, samesite="lax")
        return response


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
