"""Report of a run as one HTML file that opens offline and loads nothing from the network."""

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
    """Render the report as one self-contained page; figures without data are listed with the reason."""
    shown = panels(PLOTS, run)
    return render(
        "report.html",
        shown,
        run=run,
        verdict=verdict(run),
        causes=summary.causes(run, problems=True),
        notes=summary.causes(run, problems=False),
        missing=summary.missing(run, {panel.name for panel in shown}),
        summary=summary,
        sparkline=functools.partial(sparkline, run),
        locations=functools.partial(source_locations, run),
        facts=run_metadata,
        trials=ranked(run.trials)[:_BEST_TRIALS],
    )
