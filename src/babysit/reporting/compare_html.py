"""Comparison of runs as one offline HTML file."""

from __future__ import annotations

from babysit.plots.catalogue import COMPARED
from babysit.reporting import run_metadata
from babysit.reporting.compare import Comparison, name_of
from babysit.reporting.page import panels, render


def compare_html(comparison: Comparison) -> str:
    """Render the comparison as one self-contained page: results, differences, curves and layers."""
    shown = panels(COMPARED, comparison.runs)
    names = {panel.name for panel in shown}
    return render(
        "compare.html",
        shown,
        comparison=comparison,
        columns=columns(comparison),
        missing=[(plot.title, plot.needs) for plot in COMPARED if plot.name not in names],
    )


def columns(comparison: Comparison) -> list[dict[str, str]]:
    """Return the column headings: letter, name and start time of each run."""
    return [
        {"label": label, "name": name_of(run), "when": run_metadata.moment(run.created) if run.created else ""}
        for label, run in zip(comparison.labels, comparison.runs, strict=True)
    ]
