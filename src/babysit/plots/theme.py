"""Common style of all figures: readable on light and dark pages, in print, and without color vision."""

from __future__ import annotations

import math
from typing import Any, Final, TypeAlias

import altair as alt

# The types of figures that Altair's functions return.
Figure: TypeAlias = alt.Chart | alt.LayerChart | alt.FacetChart

# "currentColor" is the text color of the page: text and axes follow light and dark mode without a script.
INK: Final = "currentColor"

# Every color has a contrast of at least 3:1 on white and on near-black (WCAG 2.1, 1.4.11, tested), and neighbors are
# distinguishable with the common kinds of color blindness (Okabe and Ito's hues, with similar lightness). Dashes and
# shapes repeat the distinction without color.
BLUE: Final = "#3a7bd5"
VERMILION: Final = "#d9540b"
TEAL: Final = "#0b9474"
PURPLE: Final = "#a45fbf"
OCHRE: Final = "#a97f00"
GREY: Final = "#7d828a"
COLOURS: Final = (BLUE, VERMILION, TEAL, PURPLE, OCHRE, GREY)
DASHES: Final = ([1, 0], [6, 3], [2, 2], [8, 2, 2, 2], [4, 4], [1, 3])
SHAPES: Final = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")

_FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
_CONFIG: Final[dict[str, Any]] = {
    "background": "transparent",
    "aria": False,  # the page describes each figure in one sentence; a thousand labelled marks do not help
    "font": _FONT,
    "padding": {"left": 4, "right": 14, "top": 4, "bottom": 4},
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "domainColor": INK,
        "tickColor": INK,
        "gridColor": INK,
        "gridOpacity": 0.11,
        "domainOpacity": 0.35,
        "tickOpacity": 0.35,
        "labelOpacity": 0.85,
        "titleFontWeight": "normal",
        "titleFontSize": 12,
        "labelFontSize": 11,
        "labelOverlap": "greedy",
    },
    "legend": {
        "labelColor": INK,
        "titleColor": INK,
        "titleFontWeight": "normal",
        "labelFontSize": 11.5,
        "titleFontSize": 11.5,
        "orient": "top",
        "symbolStrokeWidth": 2,
        "symbolSize": 60,
        "labelLimit": 320,
        "titleLimit": 400,
    },
    "title": {"color": INK, "anchor": "start", "fontSize": 14, "fontWeight": 600, "offset": 10},
    "text": {"color": INK, "fontSize": 11},
    "line": {"strokeWidth": 2, "strokeJoin": "round"},
    "rule": {"color": INK},
}


def themed(figure: Figure, *, height: int = 260, legend_offset: int = 8) -> Figure:
    """Apply the common style at the full width of the container; `height` and `legend_offset` in pixels."""
    config = {**_CONFIG, "legend": {**_CONFIG["legend"], "offset": legend_offset}}
    styled: Figure = figure.properties(width="container", height=height).configure(**config)
    return styled


def legend(names: list[str]) -> alt.Legend:
    """Return a legend above a half-page figure, with as many columns as its longest name allows."""
    longest = max((len(name) for name in names), default=1)
    return alt.Legend(title=None, symbolType="stroke", columns=max(1, 72 // (longest + 5)))


def step_axis(*, field: str = "step", log: bool = False, grid: bool = True) -> alt.X:
    """Return the horizontal axis of figures by step."""
    label = "datum.value >= 10000 ? format(datum.value, '~s') : format(datum.value, ',')"
    if log:  # decades only: labels within a decade overlap
        label = f"abs(log(datum.value) / LN10 - round(log(datum.value) / LN10)) > 1e-9 ? '' : {label}"
    # Fractional steps do not exist: a training of three steps gets three ticks.
    options: dict[str, Any] = {} if log else {"tickCount": 8, "tickMinStep": 1}
    axis = alt.Axis(title="optimizer step (log)" if log else "optimizer step", labelExpr=label, grid=grid, **options)
    return alt.X(f"{field}:Q", axis=axis, scale=alt.Scale(nice=False))


def log_scale(low: float, high: float) -> alt.Scale:
    """Return a logarithmic scale from just below `low` to just above `high`, both positive."""
    return alt.Scale(type="log", domain=list(_domain(low, high)), nice=False, clamp=True)


def log_axis(title: str, low: float, high: float, **axis: Any) -> alt.Axis:
    """Return a logarithmic axis labelled in decades (1e-5, 0.01, 10), or at 1, 2 and 5 when it spans few decades."""
    # Vega's own ticks label every 2, 3, 4 … of every decade, or nothing between them.
    return alt.Axis(title=title, values=log_ticks(*_domain(low, high)), labelExpr=_POWER, **axis)


def log_ticks(low: float, high: float) -> list[float]:
    """Return the labelled values of a logarithmic axis from `low` to `high`: about two to nine."""
    decades = math.log10(high) - math.log10(low)
    digits = (1, 2, 5) if decades <= 2.5 else (1,)
    every = max(1, math.ceil(decades / 9))
    powers = [power for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high))) if power % every == 0]
    ticks = [float(f"{digit}e{power}") for power in powers for digit in digits]
    return [tick for tick in ticks if low <= tick <= high]


def _domain(low: float, high: float) -> tuple[float, float]:
    # Far outside the range of measured values, and well within that of floats: padding stays finite.
    low, high = max(low, 1e-250), min(max(high, 1e-250), 1e250)
    # A twelfth of a decade of padding, and at least half a decade in total, so that a flat curve can be drawn.
    room = max(0.08, (0.5 - math.log10(high) + math.log10(low)) / 2)
    return float(f"{low / 10**room:.3e}"), float(f"{high * 10**room:.3e}")


_POWER: Final = (
    "abs(datum.value) < 0.00999 || abs(datum.value) >= 1e5"
    " ? replace(format(datum.value, '.0e'), '+', '')"
    " : format(datum.value, '~g')"
)
