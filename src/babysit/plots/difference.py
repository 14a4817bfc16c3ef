"""How the layers of one run differ from those of another at the same steps: ratios, and shares in points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np

from babysit.plots.cells import Cells, Statistic, binned, time_edges
from babysit.plots.folding import fold
from babysit.plots.heat import draw_cells
from babysit.plots.reduce import Reduction
from babysit.plots.theme import Figure
from babysit.plots.words import count, number, percent
from babysit.records.arrays import Array
from babysit.records.run import Run
from babysit.records.vitals import Vitals

Numbers: TypeAlias = Cells

# Blue-orange keeps two sides apart for every kind of colour blindness. A hundredfold and all units are the ends.
DRAWN: Final = (
    Statistic("gradient_rms", "gradient size, B / A", "blueorange", -2.0, 2.0, Reduction.MEDIAN, log=True),
    Statistic("update_ratio", "update / weight, B / A", "blueorange", -2.0, 2.0, Reduction.MEDIAN, log=True),
    Statistic("activation_std", "spread of activations, B / A", "blueorange", -2.0, 2.0, Reduction.MEDIAN, log=True),
    Statistic("weight_rms", "weight size, B / A", "blueorange", -2.0, 2.0, Reduction.MEDIAN, log=True),
    Statistic("dead", "dead units, B - A", "blueorange", -1.0, 1.0, Reduction.HIGHEST),
    Statistic("saturated", "saturated units, B - A", "blueorange", -1.0, 1.0, Reduction.HIGHEST),
)


def numbers(runs: Sequence[Run]) -> Numbers | None:
    """B against A where both measured the same layers; None for more than two runs, or none in common."""
    if len(runs) != 2:
        return None
    one, other = runs[0].vitals, runs[1].vitals
    known = set(other.layers)
    shared = tuple(name for name in dict.fromkeys(one.layers) if name in known)
    if not shared or not len(one.steps) or not len(other.steps):
        return None
    last = min(int(one.steps[-1]), int(other.steps[-1]))
    both = [_part(vitals, shared, last) for vitals in (one, other)]
    if not all(len(vitals.steps) for vitals in both):
        return None
    # Columns in which the one that was sampled less often was sampled: the other's last value stands in between.
    edges, log_time = time_edges(min((np.asarray(vitals.steps) for vitals in both), key=len))
    folds = fold(shared)
    tables = [binned(vitals, DRAWN, folds=folds, edges=edges) for vitals in both]
    found = {}
    for statistic in DRAWN:
        if all(statistic.name in table for table in tables):
            with np.errstate(invalid="ignore"):  # 0 against 0, or infinite against infinite: nothing to say
                change = _carried(tables[1][statistic.name]) - _carried(tables[0][statistic.name])
            if not np.isnan(change).all():
                found[statistic.name] = change
    if not found:
        return None
    drawn = tuple(statistic for statistic in DRAWN if statistic.name in found)
    starts, ends = tuple(edges[:-1].tolist()), tuple(edges[1:].tolist())
    return Cells(drawn, found, folds, starts, ends, log_time, len(shared), (), next(iter(found)))


def describe(numbers: Numbers) -> str:
    """The figure in a few sentences: the largest change of each statistic."""
    said = [f"B against A in {count(numbers.layers, 'layer')} that both have, up to step {numbers.ends[-1] - 1:,}."]
    for statistic in numbers.statistics:
        table = np.where(np.isfinite(numbers.tables[statistic.name]), numbers.tables[statistic.name], 0.0)
        row, _ = np.unravel_index(int(np.abs(table).argmax()), table.shape)
        value = float(table.flat[int(np.abs(table).argmax())])
        words = statistic.words.rpartition(",")[0]
        if statistic.log and abs(value) >= np.log10(1.5):
            said.append(f"{words[0].upper()}{words[1:]}: up to ×{number(10**value)} ({numbers.folds[row].label}).")
        elif not statistic.log and abs(value) >= 0.05:
            sign = "+" if value > 0 else ""
            said.append(f"{words[0].upper()}{words[1:]}: up to {sign}{percent(value)} ({numbers.folds[row].label}).")
    return " ".join(said if len(said) > 1 else [*said, "No layer differs by half or more."])


def draw(numbers: Numbers) -> Figure:
    """The figure: colour by layer and step, two sides for more and for less, white for the same."""
    return draw_cells(numbers, times=True)


def _part(vitals: Vitals, layers: tuple[str, ...], last: int) -> Vitals:
    """The vital signs of these layers up to that step."""
    kept = np.asarray(vitals.steps) <= last
    columns = [vitals.layers.index(name) for name in layers]
    values = {name: np.asarray(table)[kept][:, columns] for name, table in vitals.values.items()}
    return Vitals(layers=layers, steps=np.asarray(vitals.steps)[kept], values=values)


def _carried(table: Array) -> Array:
    """Every column without a value takes the one before it."""
    places = np.where(np.isnan(table), 0, np.arange(table.shape[1]))
    carried: Array = np.take_along_axis(table, np.maximum.accumulate(places, axis=1), axis=1)
    return carried
