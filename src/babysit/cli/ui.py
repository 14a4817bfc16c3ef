"""`babysit ui`: the runs in a browser, followed while training goes on."""

from __future__ import annotations

import secrets
import sys
import webbrowser
from typing import Annotated

from cyclopts import Parameter

from babysit.cli.options import StoreUrl, settle
from babysit.cli.terminal import err, say
from babysit.records.errors import UserError

# 22 characters of 6 bits: what secrets.token_urlsafe takes for enough, and still fits on a line.
_TOKEN_BYTES = 16
_SHORTEST_TOKEN = 16


def ui(
    *,
    port: Annotated[int, Parameter(help="Port to answer at; 0 takes any that is free.")] = 8642,
    host: Annotated[
        str, Parameter(help="Address to answer at. Any but this machine's own (127.0.0.1) asks for a token.")
    ] = "127.0.0.1",
    token: Annotated[
        str,
        Parameter(env_var="BABYSIT_UI_TOKEN", show_default=False, help="Ask every visitor for this token, once."),
    ] = "",
    open_: Annotated[
        bool, Parameter(name="--open", negative="", show_default=False, help="Show the page in the browser.")
    ] = False,
    store: StoreUrl = None,
) -> int:
    """Show the runs in a browser, live while training goes on."""
    from babysit.reporting.live.access import AccessPolicy, is_loopback
    from babysit.reporting.live.serving import bound, serve

    settings = settle(store=store)
    if token and (len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise UserError(
            f"a token has {_SHORTEST_TOKEN} or more letters, digits or signs, and no blanks",
            do="Leave --token out, and one is made",
        )
    if not token and not is_loopback(host):
        token = secrets.token_urlsafe(_TOKEN_BYTES)

    def ready(address: str) -> None:
        say(f"The runs are at {address} (Ctrl-C ends it)")
        if not is_loopback(host):
            say("Nothing is encrypted: in a network that others use, prefer --host 127.0.0.1 and an ssh tunnel")
        sys.stdout.flush()  # whoever reads a pipe waits for the address
        if open_:
            webbrowser.open(address)

    with bound(host, port) as listening:
        serve(listening, settings.store or None, AccessPolicy(host, token), ready=ready)
    err().print("Stopped; trainings go on.")
    return 0
