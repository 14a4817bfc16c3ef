"""Templates of the live page, with the style and escaping of the report."""

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
# Name in the URL -> media type; contents are created on first use.
ASSETS: Final = {
    "report.css": "text/css",
    "live.css": "text/css",
    "live.js": "text/javascript",
    "vega.js": "text/javascript",
}


@functools.cache
def _environment() -> Environment:
    # Every text is cleaned, bounded and escaped, as in the report.
    loader = ChoiceLoader([PackageLoader(_OWN), PackageLoader("babysit.reporting")])
    environment = page.environment().overlay(loader=loader)
    environment.filters = {**environment.filters, "lines": _lines}
    environment.globals = {**environment.globals, "asset": asset_address, "summary": summary, "facts": run_metadata}
    return environment


def render(template: str, **context: Any) -> str:
    """Render a page or a fragment."""
    return _environment().get_template(template).render(**context)


def _lines(text: str) -> Markup:
    """Escape text for a text field, keeping line breaks."""
    return Markup("\n").join(escape(clean(line)) for line in text.split("\n"))


@functools.cache
def asset(name: str) -> str:
    """Return a script or a style sheet; raises KeyError for an unknown name."""
    if name not in ASSETS:
        raise KeyError(name)
    if name == "vega.js":
        return page.drawing_script()
    if name == "report.css":
        return page.part(name)
    return (resources.files(_OWN) / "templates" / name).read_text(encoding="utf-8")


@functools.cache
def asset_address(name: str) -> str:
    """Return the URL of a script or style sheet with a content hash, so that browsers can cache it."""
    return f"/assets/{name}?v={sha256(asset(name).encode()).hexdigest()[:12]}"
