"""Layer statistics: a heat map of one statistic by layer and time, selected from a list."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np

from babysit.plots.aggregation import Aggregation
from babysit.plots.formatting import count, percent
from babysit.plots.heatmap_data import Cells, MetricScale, cells
from babysit.plots.heatmap_drawing import draw_cells
from babysit.plots.theme import Figure
from babysit.records.run import Run

Numbers: TypeAlias = Cells

# Viridis and yellow-orange-red are uniform in lightness, so they survive print and color blindness; blue-orange is
# diverging. Update ratio: 1e-3 in the middle, three decades to each side. Activation std: 1 in the middle, since
# initializations aim for it. Shares: from none to all.
DRAWN: Final = (
    MetricScale("gradient_rms", "gradient RMS", "viridis", None, None, Aggregation.MEDIAN, log=True),
    MetricScale("update_ratio", "update / weight", "blueorange", -6.0, 0.0, Aggregation.FARTHEST, log=True),
    MetricScale("dead", "dead units", "yelloworangered", 0.0, 1.0, Aggregation.HIGHEST),
    MetricScale("saturated", "saturated units", "yelloworangered", 0.0, 1.0, Aggregation.HIGHEST),
    MetricScale("activation_std", "activation std", "blueorange", -2.0, 2.0, Aggregation.MEDIAN, log=True),
)

# The statistic that a finding of this code is about.
_ABOUT: Final = {
    "A401": "dead", "I305": "dead", "A402": "saturated", "I304": "saturated", "I302": "activation_std",
    "I303": "activation_std", "U601": "update_ratio", "U602": "update_ratio", "U603": "update_ratio",
}  # fmt: skip


def numbers(run: Run) -> Numbers | None:
    """Return the layer metrics of a run, grouped and binned to a readable size; None when none was measured."""
    found = cells(run.layer_metrics, DRAWN)
    # The statistic of the root cause; without one, the first available.
    about = _ABOUT.get(run.root_cause.code, "") if run.root_cause else ""
    return found._replace(first=about) if found and about in found.tables else found


def describe(numbers: Numbers) -> str:
    """Describe the figure in one or two sentences."""
    steps = f"from step {numbers.starts[0]:,} to {numbers.ends[-1] - 1:,}"
    text = f"{count(numbers.layers, 'layer')}, input at the top, {steps}."
    if len(numbers.folds) < numbers.layers:
        text += f" Neighboring layers share a row ({len(numbers.folds)} rows), which shows the worst of their shares."
    if numbers.broken:
        text += f" NaN or infinite values from step {min(start for _, start, _ in numbers.broken):,} on (covered)."
    if "dead" in numbers.tables and np.isfinite(numbers.tables["dead"]).any():
        table = numbers.tables["dead"][:, -1]
        if np.isfinite(table).any():
            worst = int(np.nanargmax(table))
            dead = f" Most dead units at the end: {percent(table[worst])} in {numbers.folds[worst].label}."
            text += dead if table[worst] > 0 else " No dead units at the end."
    return text


def draw(numbers: Numbers) -> Figure:
    """Draw color by layer and step, with a list to select the statistic."""
    return draw_cells(numbers)
