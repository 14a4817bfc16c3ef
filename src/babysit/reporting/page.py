"""Rendering of self-contained HTML pages: templates, style and scripts; nothing is loaded from the network."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, NamedTuple, Protocol

import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from babysit import __version__
from babysit.plots.formatting import number
from babysit.plots.names import clean, display_name, short
from babysit.plots.save import plain, version

# Longer external text adds no information and could fill a page.
LONGEST = 2_000


class Panel(NamedTuple):
    """One figure on a page: its Vega-Lite specification and a text alternative."""

    name: str
    title: str
    words: str
    wide: bool
    specification: dict[str, Any]


class Drawable(Protocol):
    """Entry of a plot catalogue."""

    @property
    def name(self) -> str:
        """Return the key of the figure in the page."""

    @property
    def title(self) -> str:
        """Return the heading."""

    @property
    def wide(self) -> bool:
        """Return whether the figure takes the full width of the page."""

    @property
    def numbers(self) -> Callable[[Any], Any]:
        """Return the function that computes the plotted data, or None if there are none."""

    @property
    def draw(self) -> Callable[[Any], Any]:
        """Return the function that draws the data."""

    @property
    def describe(self) -> Callable[[Any], str]:
        """Return the function that describes the data in words."""


def panels(plots: Sequence[Drawable], subject: Any) -> list[Panel]:
    """Draw the figures that have data for the subject (a run, or runs), in order."""
    made = []
    # Altair validates every part against its schema, which takes most of the time of a large report;
    # the tests validate every figure instead.
    with debug_mode(arg=False):
        for plot in plots:
            numbers = plot.numbers(subject)
            if numbers is not None:
                drawn = plain(plot.draw(numbers))
                made.append(Panel(plot.name, plot.title, plot.describe(numbers), plot.wide, drawn))
    halves = [index for index, panel in enumerate(made) if not panel.wide]
    if len(halves) % 2:  # the last figure would stand alone in its row
        made[halves[-1]] = made[halves[-1]]._replace(wide=True)
    return made


def render(template: str, shown: Sequence[Panel], **context: Any) -> str:
    """Render a template to a page; scripts are included only if there are figures."""
    scripts = [drawing_script(), part("figures.js")] if shown else []
    return (
        environment()
        .get_template(template)
        .render(
            panels=shown,
            figures=_in_script({panel.name: panel.specification for panel in shown}),
            scripts=[
                Markup(script) for script in scripts
            ],  # files of this package and Vega's; "</script" is escaped below
            # The policy allows scripts by hash, so injected script would not run even if escaping failed.
            hashes=" ".join(_hash(script) for script in scripts),
            style=Markup(part("report.css")),
            version=__version__,
            **context,
        )
    )


@functools.cache
def drawing_script() -> str:
    """Return Vega, Vega-Lite and vega-embed as bundled with vl-convert (900 kB; no network)."""
    # Only vegaEmbed is exported: vl-convert 1.9 returns null for `vega` and `vegaLite` alone.
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version())
    return bundle.replace("</script", r"<\/script")


def _in_script(value: Any) -> Markup:
    """Return JSON that is safe inside a script element: it cannot end the element or start a comment."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)  # escapes non-ASCII, lone surrogates included
    return Markup(written.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@functools.cache
def environment() -> Environment:
    """Create the template environment: every text is cleaned, bounded and escaped."""
    environment = Environment(
        loader=PackageLoader("babysit.reporting"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "code": _code,
        "prose": _prose,
        "number": number,
        "short": short,
        "display_name": display_name,
    }
    return environment


def _finalize(value: Any) -> Any:
    """Clean and bound a text before it is inserted, unless it is `Markup`."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return short(value, LONGEST) if len(value) > LONGEST else clean(value)


def _prose(text: str) -> Markup:
    """Escape a sentence and set text in backquotes as code."""
    pieces = short(text, LONGEST).split("`")
    if len(pieces) % 2 == 0:  # unbalanced backquotes stay literal
        return escape("`".join(pieces))
    return Markup().join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(pieces))


def _code(text: str) -> Markup:
    """Escape code, keeping line breaks."""
    return Markup("\n").join(escape(short(line, 300)) for line in text.splitlines()[:40])


@functools.cache
def part(name: str) -> str:
    """Read a file of the templates folder."""
    return (resources.files("babysit.reporting") / "templates" / name).read_text(encoding="utf-8")
