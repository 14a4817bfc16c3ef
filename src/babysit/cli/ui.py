"""`babysit ui`: the runs in a browser, with live updates."""

from __future__ import annotations

import secrets
import sys
import webbrowser
from typing import Annotated

from cyclopts import Parameter

from babysit.cli.options import StoreUrl, settle
from babysit.cli.terminal import err, say
from babysit.records.errors import UserError

# 128 bits, 22 characters in URL-safe base64: infeasible to guess, and short enough for a line.
_TOKEN_BYTES = 16
_SHORTEST_TOKEN = 16


def ui(
    *,
    port: Annotated[int, Parameter(help="Listen on this port; 0 takes any free port.")] = 8642,
    host: Annotated[
        str, Parameter(help="Listen on this address. Any address other than loopback (127.0.0.1) requires a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str,
        Parameter(env_var="BABYSIT_UI_TOKEN", show_default=False, help="Require this token from every browser, once."),
    ] = "",
    open_: Annotated[
        bool, Parameter(name="--open", negative="", show_default=False, help="Open the page in the browser.")
    ] = False,
    store: StoreUrl = None,
) -> int:
    """Show the runs in a browser, with live updates during training."""
    from babysit.reporting.live.access import AccessPolicy, is_loopback
    from babysit.reporting.live.serving import bound, serve

    settings = settle(store=store)
    if token and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UserError(
            f"a token needs at least {_SHORTEST_TOKEN} printable ASCII characters without spaces",
            do="Without this option a token is generated",
        )
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(_TOKEN_BYTES)

    def ready(address: str) -> None:
        say(f"Serving runs at {address} (press Ctrl-C to stop)")
        if not is_loopback(host):
            say("The connection is not encrypted: on a shared network, prefer --host 127.0.0.1 and an SSH tunnel")
        sys.stdout.flush()  # a reader of a pipe waits for the URL
        if open_:
            webbrowser.open(address)

    with bound(host, port) as listening:
        serve(listening, settings.store or None, AccessPolicy(host, token), ready=ready)
    err().print("Stopped. Running trainings are not affected.")
    return 0
