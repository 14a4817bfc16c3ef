"""Conversion of a run for trackers: named scalars by step, and findings as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from babysit.records.arrays import Array
from babysit.records.run import Run
from babysit.reporting.verdict import verdict

# Extremes show problems and the median the typical layer; one chart per layer and metric would be unreadable for a
# model of a hundred layers.
AGGREGATES: Final[dict[str, Callable[[Array], float]]] = {
    "median": np.nanmedian,
    "lowest": np.nanmin,
    "highest": np.nanmax,
}


def scalars(run: Run) -> Iterator[tuple[str, int, float]]:
    """Yield every curve, and every layer metric aggregated over the layers, as (name, step, value)."""
    for name, series in run.curves.series.items():
        yield from zip([name] * len(series), series.steps.tolist(), series.values.tolist(), strict=True)
    for metric, table in run.layer_metrics.values.items():
        for step, row in zip(run.layer_metrics.steps.tolist(), table, strict=True):
            if not np.isnan(row).all():
                for name, aggregate in AGGREGATES.items():
                    yield f"layer metrics/{metric}/{name}", step, float(aggregate(row))


def rows(run: Run) -> list[tuple[int, dict[str, float]]]:
    """Return the scalars as one dictionary per step, in order of the steps."""
    by_step: dict[int, dict[str, float]] = defaultdict(dict)
    for name, step, value in scalars(run):
        by_step[step][name] = value
    return sorted(by_step.items())


def findings_text(run: Run) -> str:
    """Format verdict and findings as Markdown, causes first."""
    headline = verdict(run)
    lines = [f"**{headline.title}**: {headline.sentence}", ""]
    for finding in run.findings:
        because = f" (explained by {finding.explained_by})" if finding.explained_by else ""
        lines += [f"- **{finding.severity} {finding.code} {finding.name}**{because}: {finding.message}"]
        lines += [f"  {finding.recommendation}"] if finding.recommendation else []
    return "\n".join(lines)
