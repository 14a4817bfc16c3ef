"""Layer by time: one statistic of every layer over the whole training, chosen from a list."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import altair as alt
import numpy as np

from babysit.plots.folding import Fold, fold
from babysit.plots.points import rows, significant
from babysit.plots.reduce import Reduction, reduced
from babysit.plots.theme import INK, Figure, step_axis, themed
from babysit.plots.words import count, percent
from babysit.records.arrays import Array
from babysit.records.run import Run

# A page-wide figure gives each of 120 columns about seven pixels.
COLUMNS: Final = 120
# Longer trainings are shown on a logarithmic time axis: what goes wrong at the start needs its room.
LOG_FROM_STEPS: Final = 1000


class Statistic(NamedTuple):
    """How one statistic is drawn: its colours, their bounds (None: from the data), and what stands for many values."""

    name: str
    words: str
    scheme: str
    low: float | None
    high: float | None
    reduction: Reduction
    log: bool = False

    @property
    def usual(self) -> float:
        """The middle of the bounds: where colours that have two sides turn."""
        return ((self.low or 0.0) + (self.high or 0.0)) / 2


# Viridis and yellow-orange-red change evenly in lightness, so they survive print and colour blindness; blue-orange
# keeps two sides apart. Update ratio: 1e-3 in the middle, three decades to each side. Spread of activations: 1 in
# the middle, since initializations aim for it. Shares: from none to all.
DRAWN: Final = (
    Statistic("gradient_rms", "gradient size (rms)", "viridis", None, None, Reduction.MEDIAN, log=True),
    Statistic("update_ratio", "update / weight", "blueorange", -6.0, 0.0, Reduction.FARTHEST, log=True),
    Statistic("dead", "dead units", "yelloworangered", 0.0, 1.0, Reduction.HIGHEST),
    Statistic("saturated", "saturated units", "yelloworangered", 0.0, 1.0, Reduction.HIGHEST),
    Statistic("activation_std", "spread of activations (std)", "blueorange", -2.0, 2.0, Reduction.MEDIAN, log=True),
)


class Numbers(NamedTuple):
    """One table a statistic, (rows, columns) with NaN where nothing was measured, and what rows and columns are."""

    tables: dict[str, Array]
    folds: tuple[Fold, ...]
    starts: tuple[int, ...]  # first step of each column
    ends: tuple[int, ...]  # first step after it
    log_time: bool
    layers: int
    broken: tuple[tuple[int, int, int], ...]  # row, first step and step after the last of NaN or infinite values
    first: str  # the statistic shown first


def numbers(run: Run) -> Numbers | None:
    """The vital signs of a run, folded and binned to what can be seen; None when none was measured."""
    steps = np.asarray(run.vitals.steps)
    if not len(steps) or not run.vitals.layers:
        return None
    edges, log_time = _edges(steps)
    column = np.clip(np.searchsorted(edges, steps, side="right") - 1, 0, len(edges) - 2)
    folds = fold(run.vitals.layers)
    row = np.concatenate([np.full(len(group.indices), index) for index, group in enumerate(folds)])
    tables: dict[str, Array] = {}
    for statistic in DRAWN:
        values = run.vitals.values.get(statistic.name)
        if values is None or np.isnan(values).all():
            continue
        table = np.asarray(values, dtype="float64")
        if statistic.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                table = np.log10(np.abs(table))
        by_time = reduced(table, column, statistic.reduction, usual=statistic.usual)
        tables[statistic.name] = reduced(by_time, row, statistic.reduction, usual=statistic.usual).T
    if not tables:
        return None
    broken = _broken(run.vitals.values.get("nonfinite"), column, row, edges)
    starts, ends = tuple(edges[:-1].tolist()), tuple(edges[1:].tolist())
    return Numbers(
        tables, folds, starts, ends, log_time, len(run.vitals.layers), broken, first=_first(run, list(tables))
    )


def describe(numbers: Numbers) -> str:
    """The figure in one or two sentences."""
    steps = f"from step {numbers.starts[0]:,} to {numbers.ends[-1] - 1:,}"
    said = f"{count(numbers.layers, 'layer')}, input at the top, {steps}."
    if len(numbers.folds) < numbers.layers:
        said += f" Neighbouring layers share a row ({len(numbers.folds)} rows): for shares the worst of them is shown."
    if numbers.broken:
        said += f" NaN or infinite values from step {min(start for _, start, _ in numbers.broken):,} on (covered)."
    if "dead" in numbers.tables and np.isfinite(numbers.tables["dead"]).any():
        table = numbers.tables["dead"][:, -1]
        if np.isfinite(table).any():
            worst = int(np.nanargmax(table))
            dead = f" Most dead units at the end: {percent(table[worst])} in {numbers.folds[worst].label}."
            said += dead if table[worst] > 0 else " No dead units at the end."
    return said


def draw(numbers: Numbers) -> Figure:
    """The figure: colour by layer and step, with a list to choose the statistic from."""
    drawn = [statistic for statistic in DRAWN if statistic.name in numbers.tables]
    choice = alt.binding_select(
        options=[item.name for item in drawn], labels=[item.words for item in drawn], name="Show "
    )
    shift = int(numbers.log_time)  # a logarithmic axis has no room for step 0
    height = int(np.clip(len(numbers.folds) * 26, 90, 560))
    figure = (
        alt.Chart(_data(numbers, drawn))
        .mark_rect(x2Offset=0.5)  # half a pixel over the next: no seams
        .add_params(
            alt.param(name="statistic", value=numbers.first, bind=choice),
            alt.param(name="edges", value=[*numbers.starts, numbers.ends[-1]]),
            alt.param(name="rows", value=[group.label for group in numbers.folds]),
        )
        .transform_filter("datum.statistic === statistic")
        .transform_calculate(column="sequence(length(datum.values))")
        .transform_flatten(["values", "column"], as_=["value", "column"])
        .transform_filter("isValid(datum.value)")
        .transform_calculate(
            start=f"edges[datum.column] + {shift}",
            end=f"edges[datum.column + 1] + {shift}",
            steps="format(edges[datum.column], ',') + ' to ' + format(edges[datum.column + 1] - 1, ',')",
            layer="rows[datum.row]",
            shown="datum.log ? format(pow(10, datum.value), '.2~e') : format(datum.value, '.1~%')",
        )
    )
    heat = _encoded(figure, numbers, drawn)
    return themed(alt.layer(heat, _broken_cells(numbers)) if numbers.broken else heat, height=height)


def _encoded(chart: alt.Chart, numbers: Numbers, drawn: list[Statistic]) -> Figure:
    shift = int(numbers.log_time)
    steps = [*numbers.starts, numbers.ends[-1]]
    few = len(numbers.folds) < 25
    time = alt.Scale(
        type="log" if numbers.log_time else "linear", domain=[steps[0] + shift, steps[-1] + shift], nice=False
    )
    names = alt.Axis(
        title=None,
        labelExpr="rows[datum.value]",
        labelFontSize=11 if few else 9,
        labelLimit=230,
        ticks=False,
        domain=False,
    )
    encoded: Figure = chart.encode(
        x=step_axis(log=numbers.log_time, field="start", grid=False).scale(time),
        x2="end:Q",
        y=alt.Y("row:O", axis=names, scale=alt.Scale(paddingInner=0.08 if few else 0)),
        color=_colour(numbers, drawn),
        tooltip=[
            alt.Tooltip("layer:N"),
            alt.Tooltip("steps:N"),
            alt.Tooltip("words:N", title="statistic"),
            alt.Tooltip("shown:N", title="value"),
        ],
    )
    return encoded


def _broken_cells(numbers: Numbers) -> Figure:
    """NaN and infinite values cover whatever statistic is shown: nothing else about such a cell matters."""
    shift = int(numbers.log_time)
    data = rows(
        row=[row for row, _, _ in numbers.broken],
        start=[start + shift for _, start, _ in numbers.broken],
        end=[end + shift for _, _, end in numbers.broken],
        value="NaN or infinite values",
    )
    cells: Figure = (
        alt.Chart(data).mark_rect(color=INK).encode(x="start:Q", x2="end:Q", y="row:O", tooltip=alt.Tooltip("value:N"))
    )
    return cells


def _data(numbers: Numbers, drawn: list[Statistic]) -> alt.InlineData:
    values = []
    for statistic in drawn:
        low, high = _bounds(numbers, statistic)
        table = np.clip(numbers.tables[statistic.name], low, high)  # zero and infinite take the ends of the scale
        for index in range(len(numbers.folds)):
            values.append(
                {
                    "statistic": statistic.name,
                    "words": statistic.words,
                    "log": statistic.log,
                    "row": index,
                    "values": [significant(value, 3) for value in table[index]],
                }
            )
    return alt.InlineData(values=values)


def _bounds(numbers: Numbers, statistic: Statistic) -> tuple[float, float]:
    if statistic.low is not None and statistic.high is not None:
        return statistic.low, statistic.high
    table = numbers.tables[statistic.name]
    known = table[np.isfinite(table)]
    if not len(known):
        return -1.0, 0.0
    # A few extreme cells must not wash out the rest.
    low, high = np.quantile(known, [0.01, 0.99]).round(2).tolist()
    # Half a decade below all others for what is exactly zero, above for what is infinite.
    low, high = low - 0.5 * bool(np.isneginf(table).any()), high + 0.5 * bool(np.isposinf(table).any())
    return low, max(high, low + 1.0)


def _colour(numbers: Numbers, drawn: list[Statistic]) -> alt.Color:
    """The colour scale: it follows the chosen statistic through expressions."""

    def chosen(values: list[Any]) -> alt.ExprRef:
        cases = [f"statistic === '{item.name}' ? {value!r}" for item, value in zip(drawn, values, strict=True)]
        return alt.ExprRef(" : ".join([*cases, repr(values[0])]))

    bounds = [_bounds(numbers, item) for item in drawn]
    scale = alt.Scale(
        scheme=chosen([item.scheme for item in drawn]),
        domain=[chosen([low for low, _ in bounds]), chosen([high for _, high in bounds])],
        clamp=True,
    )
    log = " || ".join(f"statistic === '{item.name}'" for item in drawn if item.log) or "false"
    label = f"{log} ? (datum.value % 1 ? '' : '1e' + datum.value) : format(datum.value, '.0%')"
    legend = alt.Legend(title=None, labelExpr=label, orient="right", gradientThickness=12, tickCount=5)
    return alt.Color("value:Q", scale=scale, legend=legend)


def _broken(values: Array | None, column: Array, row: Array, edges: Array) -> tuple[tuple[int, int, int], ...]:
    if values is None:
        return ()
    counted = np.nan_to_num(np.asarray(values, dtype="float64"), nan=0.0)
    by_time = reduced(counted, column, Reduction.HIGHEST)
    table = reduced(by_time, row, Reduction.HIGHEST).T > 0
    stretches = []
    for index, cells in enumerate(table):
        # Where a stretch of broken cells begins and ends: the places where the padded row changes.
        turns = np.flatnonzero(np.diff(np.concatenate([[False], cells, [False]]).astype("int8")))
        stretches += [(index, int(edges[a]), int(edges[b])) for a, b in zip(turns[::2], turns[1::2], strict=True)]
    return tuple(stretches)


# The statistic that a finding of this family is about.
_ABOUT: Final = {
    "A401": "dead", "I305": "dead", "A402": "saturated", "I304": "saturated", "I302": "activation_std",
    "I303": "activation_std", "U601": "update_ratio", "U602": "update_ratio", "U603": "update_ratio",
}  # fmt: skip


def _first(run: Run, tables: list[str]) -> str:
    """The statistic that the diagnosis is about; without one, the first there is."""
    about = _ABOUT.get(run.diagnosis.code, "") if run.diagnosis else ""
    return about if about in tables else tables[0]


def _edges(steps: Array) -> tuple[Array, bool]:
    """First steps of the columns and one more: every column holds at least one sampled step."""
    last = int(steps[-1]) + 1
    log_time = last > LOG_FROM_STEPS
    if len(steps) <= COLUMNS and not log_time:
        return np.append(steps, last).astype("int64"), log_time
    ideal = np.geomspace(1, last + 1, COLUMNS + 1) - 1 if log_time else np.linspace(0, last, COLUMNS + 1)
    starts = steps[np.unique(np.searchsorted(steps, ideal[:-1]).clip(0, len(steps) - 1))]
    return np.append(starts, last).astype("int64"), log_time
