"""A run as one HTML file that holds everything it needs: it opens offline, prints, and reaches no network."""

from __future__ import annotations

import functools

from babysit.analysis.trials import ranked
from babysit.plots.catalogue import PLOTS
from babysit.records.run import Run
from babysit.reporting import run_metadata, summary
from babysit.reporting.page import panels, render
from babysit.reporting.source_locations import source_locations
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
        causes=summary.causes(run, problems=True),
        notes=summary.causes(run, problems=False),
        missing=summary.missing(run, {panel.name for panel in shown}),
        story=summary,
        sparkline=functools.partial(sparkline, run),
        places=functools.partial(source_locations, run),
        facts=run_metadata,
        trials=ranked(run.trials)[:_BEST_TRIALS],
    )
