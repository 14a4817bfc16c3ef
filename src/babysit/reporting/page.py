"""What every page of ours is made of: one template, one style, scripts named by their hash, and no network."""

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

# Text from elsewhere that is longer than this says nothing more to a reader, and could fill a page.
LONGEST = 2_000


class Panel(NamedTuple):
    """One figure on a page: its specification, and the same in words."""

    name: str
    title: str
    words: str
    wide: bool
    specification: dict[str, Any]


class Drawable(Protocol):
    """A figure as a catalogue lists it."""

    @property
    def name(self) -> str:
        """Its key in the page."""

    @property
    def title(self) -> str:
        """Its heading."""

    @property
    def wide(self) -> bool:
        """Whether it takes the width of the page."""

    @property
    def numbers(self) -> Callable[[Any], Any]:
        """What is drawn, or None when there is nothing."""

    @property
    def draw(self) -> Callable[[Any], Any]:
        """The figure of the numbers."""

    @property
    def describe(self) -> Callable[[Any], str]:
        """The numbers in words."""


def panels(plots: Sequence[Drawable], subject: Any) -> list[Panel]:
    """The figures that have something to show of the subject (a run, or runs), in order."""
    made = []
    # Altair checks every part against its schema while it is made, which takes most of the time of a large report;
    # tests hold every figure to the schema instead.
    with debug_mode(arg=False):
        for plot in plots:
            numbers = plot.numbers(subject)
            if numbers is not None:
                drawn = plain(plot.draw(numbers))
                made.append(Panel(plot.name, plot.title, plot.describe(numbers), plot.wide, drawn))
    halves = [place for place, panel in enumerate(made) if not panel.wide]
    if len(halves) % 2:  # the last one has no neighbour
        made[halves[-1]] = made[halves[-1]]._replace(wide=True)
    return made


def render(template: str, shown: Sequence[Panel], **context: Any) -> str:
    """The page of a template; figures are drawn by the scripts that it carries, and without figures it carries none."""
    scripts = [drawing_script(), part("figures.js")] if shown else []
    return (
        environment()
        .get_template(template)
        .render(
            panels=shown,
            figures=_in_script({panel.name: panel.specification for panel in shown}),
            scripts=[Markup(script) for script in scripts],  # our own files and Vega's, checked below for "</script"
            # What may run is named by its hash: a name that slipped through all escaping would still not run.
            hashes=" ".join(_hash(script) for script in scripts),
            style=Markup(part("report.css")),
            version=__version__,
            **context,
        )
    )


@functools.cache
def drawing_script() -> str:
    """The scripts that draw: Vega, Vega-Lite and vega-embed, as vl-convert carries them (900 kB; no network)."""
    # Only vegaEmbed is named: vl-convert 1.9 gives null for `vega` and `vegaLite` when they are asked for alone.
    bundle: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version())
    return bundle.replace("</script", r"<\/script")


def _in_script(value: Any) -> Markup:
    """JSON that can stand inside a script element: nothing in it can end the element or start a comment."""
    written = json.dumps(value, separators=(",", ":"), allow_nan=False)  # not ASCII is escaped: half characters too
    return Markup(written.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def _hash(script: str) -> str:
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"'sha256-{digest}'"


@functools.cache
def environment() -> Environment:
    """Templates with escaping on: every text is cleaned and bounded on its way into a page."""
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
    """Every text on its way into the page: cleaned and bounded, unless it is markup of our own."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return short(value, LONGEST) if len(value) > LONGEST else clean(value)


def _prose(text: str) -> Markup:
    """A sentence in which what stands between backquotes is set as code."""
    pieces = short(text, LONGEST).split("`")
    if len(pieces) % 2 == 0:  # a backquote without a partner is a backquote
        return escape("`".join(pieces))
    return Markup().join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(pieces))


def _code(text: str) -> Markup:
    """Code with its line breaks."""
    return Markup("\n").join(escape(short(line, 300)) for line in text.splitlines()[:40])


@functools.cache
def part(name: str) -> str:
    """A file of the templates folder."""
    return (resources.files("babysit.reporting") / "templates" / name).read_text(encoding="utf-8")
