"""A run as one HTML file that holds everything it needs: it opens offline, prints, and reaches no network."""

from __future__ import annotations

import functools

from babysit.analysis.trials import ranked
from babysit.plots.catalogue import PLOTS
from babysit.records.run import Run
from babysit.reporting import facts, story
from babysit.reporting.page import panels, render
from babysit.reporting.places import places
from babysit.reporting.sparkline import sparkline
from babysit.reporting.verdict import verdict

_BEST_TRIALS = 10


def html(run: Run) -> str:
    """The report as one self-contained page; a figure that the run has nothing for is named, with the reason."""
    shown = panels(PLOTS, run)
    return render(
        "report.html",
        shown,
        run=run,
        verdict=verdict(run),
        causes=story.causes(run, alarms=True),
        notes=story.causes(run, alarms=False),
        missing=story.missing(run, {panel.name for panel in shown}),
        story=story,
        sparkline=functools.partial(sparkline, run),
        places=functools.partial(places, run),
        facts=facts,
        trials=ranked(run.trials)[:_BEST_TRIALS],
    )
