"""Templates of the live page, with the report's own look and its escaping."""

from __future__ import annotations

import functools
from hashlib import sha256
from importlib import resources
from typing import Any, Final

from jinja2 import ChoiceLoader, Environment, PackageLoader
from markupsafe import Markup, escape

from babysit.plots.names import clean
from babysit.reporting import page, run_metadata, summary

_OWN: Final = "babysit.reporting.live"
# Name in the address -> kind; the text of each is made when it is first asked for.
ASSETS: Final = {
    "report.css": "text/css",
    "live.css": "text/css",
    "live.js": "text/javascript",
    "vega.js": "text/javascript",
}


@functools.cache
def _environment() -> Environment:
    # Every text is cleaned, bounded and escaped on its way into a page, as in the report.
    loader = ChoiceLoader([PackageLoader(_OWN), PackageLoader("babysit.reporting")])
    environment = page.environment().overlay(loader=loader)
    environment.filters = {**environment.filters, "lines": _lines}
    environment.globals = {**environment.globals, "asset": asset_address, "story": summary, "facts": run_metadata}
    return environment


def render(template: str, **context: Any) -> str:
    """A page or a piece of one."""
    return _environment().get_template(template).render(**context)


def _lines(text: str) -> Markup:
    """Text in which line breaks stay, for a field to write in."""
    return Markup("\n").join(escape(clean(line)) for line in text.split("\n"))


@functools.cache
def asset(name: str) -> str:
    """A script or a style; raises KeyError for another name."""
    if name not in ASSETS:
        raise KeyError(name)
    if name == "vega.js":
        return page.drawing_script()
    if name == "report.css":
        return page.part(name)
    return (resources.files(_OWN) / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def asset_address(name: str) -> str:
    """Where a script or style is, with a mark that changes when it does: browsers may keep it for good."""
    return f"/assets/{name}?v={sha256(asset(name).encode()).hexdigest()[:12]}"
