"""The loss compared with typical curves: learning rate too low, too high, far too high, good."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Final, Literal, NamedTuple, TypeAlias

import altair as alt
import numpy as np

from babysit.plots.formatting import number, percent
from babysit.plots.points import finite, rows, smooth
from babysit.plots.theme import BLUE, GREY, VERMILION, Figure, themed
from babysit.records.arrays import Array
from babysit.records.curves import TRAIN_LOSS
from babysit.records.run import Run

# Shorter curves have no recognizable shape.
_FEWEST: Final = 30
_POINTS: Final = 60
# Losses above twice the initial one are clipped.
_TOP: Final = 2.0


_Side: TypeAlias = Literal["top", "middle", "bottom"]


class Shape(NamedTuple):
    """One family of curves, as fractions of the initial loss by fraction of the training, and the member drawn."""

    words: str
    curve: Callable[[Array, float, float], Array]
    first: Sequence[float]  # values of the first parameter
    second: Sequence[float]
    drawn: tuple[float, float]
    label_at: tuple[float, _Side]  # fraction of the training at which the label ends, and its side of the curve


def _straight(share: Array, fall: float, _: float) -> Array:
    return 1 - fall * share


def _decay(share: Array, floor: float, scale: float) -> Array:
    return floor + (1 - floor) * np.exp(-share / scale)


def _growth(share: Array, power: float, last: float) -> Array:
    return 1 + (last - 1) * share**power


# The four of CS231n (2017), lecture 6, slide "Monitor and visualize the loss curve", as functions: with a low learning
# rate the loss decreases linearly and is far from converged; with a high one it drops quickly and plateaus high; with a
# very high one it rises; with a good one it drops by more than half early in the training and ends low.
_SCALES: Final = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.24]  # of decay, as fractions of the training
SHAPES: Final = (
    Shape("learning rate too low", _straight, np.linspace(0, 0.5, 11).tolist(), [0.0], (0.25, 0.0), (1.0, "top")),
    Shape(
        "learning rate too high",
        _decay,
        np.linspace(0.45, 0.95, 11).tolist(),
        _SCALES[:5],
        (0.55, 0.03),
        (0.6, "bottom"),
    ),
    Shape("learning rate far too high", _growth, [0.3, 1.0, 3.0], [1.1, 1.3, 1.6, _TOP], (3.0, _TOP), (0.86, "middle")),
    Shape("good learning rate", _decay, np.linspace(0, 0.4, 9).tolist(), _SCALES[2:], (0.08, 0.14), (1.0, "bottom")),
)


class Numbers(NamedTuple):
    """The smoothed loss relative to the initial loss, by fraction of the training, and its distance from each shape."""

    shares: tuple[float, ...]
    values: tuple[float, ...]
    distances: dict[str, float]  # root mean square, by the label of the shape
    broken: bool  # the loss ended as NaN or infinite

    @property
    def nearest(self) -> str:
        """Return the closest shape."""
        return min(self.distances, key=lambda words: self.distances[words])


def numbers(run: Run) -> Numbers | None:
    """Return the shape of a run's training loss; None for fewer than 30 steps, or a loss that can be negative."""
    series = run.curves.get(TRAIN_LOSS)
    line = finite(series)
    if len(line) < _FEWEST or len(series) < _FEWEST or line.values.min() < 0:
        return None
    broken = not bool(np.isfinite(np.asarray(series.values, dtype="float64")[-1]))
    smoothed = smooth(line, max(1, len(line) // 30))
    start = float(np.median(line.values[:3]))
    if start <= 0:
        return None
    shares = np.linspace(0, 1, _POINTS)
    last = float(np.asarray(series.steps)[-1]) or 1.0
    # After the last finite value there is only NaN: such a curve has diverged.
    values = np.interp(shares, smoothed.steps / last, smoothed.values / start, right=_TOP if broken else None)
    values = values.clip(max=_TOP)
    distances = {shape.words: _distance(values, shares, shape) for shape in SHAPES}
    if broken:
        distances["learning rate far too high"] = 0.0
    return Numbers(tuple(shares.tolist()), tuple(values.tolist()), distances, broken)


def describe(numbers: Numbers) -> str:
    """Describe the figure in one or two sentences."""
    if numbers.broken:
        return "The loss ended as NaN or infinite, as with a learning rate far too high."
    ranked = sorted(numbers.distances, key=lambda words: numbers.distances[words])
    left = percent(numbers.values[-1])
    first, second = ((words, number(numbers.distances[words], 2)) for words in ranked[:2])
    return (
        f"Final loss: {left} of the initial loss. Closest typical curve: {first[0]} (distance {first[1]}), then "
        f"{second[0]} (distance {second[1]}). "
        "The shape is only a hint: data that cannot be learned any better give the same one."
    )


def draw(numbers: Numbers) -> Figure:
    """Draw the relative loss over the four typical curves (dashed), the closest one highlighted."""
    shares = np.asarray(numbers.shares)
    x = alt.X("share:Q", axis=alt.Axis(title="share of the training", format=".0%", tickCount=5), scale=_scale(1.0))
    y = alt.Y("value:Q", axis=alt.Axis(title="loss / initial loss", tickCount=5), scale=_scale(_TOP))
    layers: list[Figure] = []
    for shape in SHAPES:
        values = shape.curve(shares, *shape.drawn)
        near = shape.words == numbers.nearest
        colour = VERMILION if near else GREY
        data = rows(share=shares, value=values, shape=shape.words)
        line = alt.Chart(data).mark_line(
            color=colour, strokeDash=[5, 4], strokeWidth=2 if near else 1.4, clip=True, opacity=1 if near else 0.8
        )
        share, side = shape.label_at
        at = float(shape.curve(np.array([share]), *shape.drawn)[0])
        words = alt.Chart(rows(share=[share], value=[at], shape=[shape.words])).mark_text(
            align="right", baseline=side, dx=-5, dy={"top": 5, "bottom": -4}.get(side, 0),
            fontWeight=600 if near else "normal",
        )  # fmt: skip
        layers += [line.encode(x=x, y=y), words.encode(x="share:Q", y=y, text="shape:N")]
    own = rows(share=shares, value=np.asarray(numbers.values))
    tooltip = [alt.Tooltip("share:Q", format=".0%"), alt.Tooltip("value:Q", title="loss / initial loss", format=".3~g")]
    curve = alt.Chart(own).mark_line(color=BLUE, strokeWidth=3, clip=True).encode(x=x, y=y, tooltip=tooltip)
    return themed(alt.layer(*layers, curve))


def _scale(high: float) -> alt.Scale:
    return alt.Scale(domain=[0, high], nice=False, clamp=True)


def _distance(values: Array, shares: Array, shape: Shape) -> float:
    """Return the root mean square distance from the closest member of the family."""
    members = (shape.curve(shares, *pair) for pair in product(shape.first, shape.second))
    return min(float(np.sqrt(np.mean((values - member.clip(max=_TOP)) ** 2))) for member in members)
