"""What every tracker is sent: the run as named scalars by step, and its findings as text."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from babysit.records.arrays import Array
from babysit.records.run import Run
from babysit.reporting.verdict import verdict

# Of each statistic the worst layer says whether there is trouble and the median says what is usual; a chart a layer
# and statistic would bury both in a net of a hundred layers.
SUMMARIES: Final[dict[str, Callable[[Array], float]]] = {
    "median": np.nanmedian,
    "lowest": np.nanmin,
    "highest": np.nanmax,
}


def scalars(run: Run) -> Iterator[tuple[str, int, float]]:
    """Every curve and a summary of every vital sign over the layers, as (name, step, value)."""
    for name, series in run.curves.series.items():
        yield from zip([name] * len(series), series.steps.tolist(), series.values.tolist(), strict=True)
    for metric, table in run.layer_metrics.values.items():
        for step, row in zip(run.layer_metrics.steps.tolist(), table, strict=True):
            if not np.isnan(row).all():
                for word, summary in SUMMARIES.items():
                    yield f"layer metrics/{metric}/{word}", step, float(summary(row))


def rows(run: Run) -> list[tuple[int, dict[str, float]]]:
    """The same scalars, one dictionary a step, by rising step."""
    by_step: dict[int, dict[str, float]] = defaultdict(dict)
    for name, step, value in scalars(run):
        by_step[step][name] = value
    return sorted(by_step.items())


def findings_text(run: Run) -> str:
    """Verdict and findings in Markdown, the cause before what it explains."""
    said = verdict(run)
    lines = [f"**{said.title}**: {said.sentence}", ""]
    for finding in run.findings:
        because = f" (explained by {finding.explained_by})" if finding.explained_by else ""
        lines += [f"- **{finding.severity} {finding.code} {finding.name}**{because}: {finding.message}"]
        lines += [f"  {finding.recommendation}"] if finding.recommendation else []
    return "\n".join(lines)
