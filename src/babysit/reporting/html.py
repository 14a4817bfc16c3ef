"""A run as one HTML file that holds everything it needs: it opens offline, prints, and reaches no network."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
from importlib import resources
from typing import Any, NamedTuple

import vl_convert
from altair.utils.schemapi import debug_mode
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from babysit.plots.catalogue import PLOTS
from babysit.plots.names import clean, short
from babysit.plots.save import plain, version
from babysit.plots.words import number
from babysit.records.run import Run
from babysit.reporting import facts, story

# Text from elsewhere that is longer than this says nothing more to a reader, and could fill a page.
_LONGEST = 2_000
_BEST_TRIALS = 10


class Panel(NamedTuple):
    """One figure on the page."""

    name: str
    title: str
    words: str
    wide: bool


def html(run: Run) -> str:
    """The report as one self-contained page; a figure that cannot be drawn is said to be so, the rest stays."""
    panels, figures = _figures(run)
    scripts = [drawing_script(), _part("figures.js")] if panels else []
    template = _environment().get_template("report.html")
    return template.render(
        run=run,
        verdict=story.verdict(run),
        causes=story.causes(run, alarms=True),
        notes=story.causes(run, alarms=False),
        panels=panels,
        figures=_in_script(figures),
        scripts=[Markup(script) for script in scripts],  # our own files and Vega's, checked below for "</script"
        # What may run is named by its hash: a name that slipped through all escaping would still not run.
        hashes=" ".join(_hash(script) for script in scripts),
        style=Markup(_part("report.css")),
        missing=story.missing(run, figures),
        story=story,
        facts=facts,
        trials=_best_trials(run),
    )


def _figures(run: Run) -> tuple[list[Panel], dict[str, Any]]:
    panels, figures = [], {}
    # Altair checks every part against its schema while it is made, which takes most of the time of a large report;
    # tests hold every figure to the schema instead.
    with debug_mode(arg=False):
        for plot in PLOTS:
            numbers = plot.numbers(run)
            if numbers is not None:
                figures[plot.name] = plain(plot.draw(numbers))
                panels.append(Panel(plot.name, plot.title, plot.describe(numbers), plot.wide))
    return panels, figures


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
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("babysit.reporting"),
        autoescape=True,
        finalize=_finalize,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"code": _code, "prose": _prose, "number": number, "short": short}
    return environment


def _finalize(value: Any) -> Any:
    """Every text on its way into the page: cleaned and bounded, unless it is markup of our own."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return short(value, _LONGEST) if len(value) > _LONGEST else clean(value)


def _prose(text: str) -> Markup:
    """A sentence in which what stands between backquotes is set as code."""
    pieces = short(text, _LONGEST).split("`")
    if len(pieces) % 2 == 0:  # a backquote without a partner is a backquote
        return escape("`".join(pieces))
    return Markup().join(Markup("<code>{}</code>").format(p) if i % 2 else escape(p) for i, p in enumerate(pieces))


def _code(text: str) -> Markup:
    """Code with its line breaks."""
    return Markup("\n").join(escape(short(line, 300)) for line in text.splitlines()[:40])


@functools.cache
def _part(name: str) -> str:
    return (resources.files("babysit.reporting") / "templates" / name).read_text(encoding="utf-8")


def _best_trials(run: Run) -> list[Any]:
    done = [trial for trial in run.trials if trial.state == "complete" and trial.metric is not None]
    return sorted(done, key=lambda trial: -(trial.metric or 0.0))[:_BEST_TRIALS]
