"""The loss against the four shapes that a learning rate gives it: too low, too high, far too high, good."""

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

# Fewer steps have no shape yet.
_FEWEST: Final = 30
_POINTS: Final = 60
# A loss above twice its start has left the picture.
_TOP: Final = 2.0


_Side: TypeAlias = Literal["top", "middle", "bottom"]


class Shape(NamedTuple):
    """One family of curves, as parts of the first loss by share of the training, and the member that is drawn."""

    words: str
    curve: Callable[[Array, float, float], Array]
    first: Sequence[float]  # what the first parameter may be
    second: Sequence[float]
    drawn: tuple[float, float]
    beside: tuple[float, _Side]  # share of the training at which its words end, and their side of the curve there


def _straight(share: Array, fall: float, _: float) -> Array:
    return 1 - fall * share


def _decay(share: Array, floor: float, scale: float) -> Array:
    return floor + (1 - floor) * np.exp(-share / scale)


def _growth(share: Array, power: float, last: float) -> Array:
    return 1 + (last - 1) * share**power


# The four of CS231n (2017), lecture 6, slide "Monitor and visualize the loss curve", in numbers: a low learning rate
# falls in a straight line and is far from done; a high one falls at once and stays high; a very high one rises; a good
# one falls by more than half within the first part of the training and is low in the end.
_SCALES: Final = [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.24]  # of decay, as shares of the training
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
    """The smoothed loss as a part of its start, by share of the training, and its distance from each shape."""

    shares: tuple[float, ...]
    values: tuple[float, ...]
    distances: dict[str, float]  # root mean square, by the words of the shape
    broken: bool  # it ended as NaN or infinite

    @property
    def nearest(self) -> str:
        """The shape that it is nearest to."""
        return min(self.distances, key=lambda words: self.distances[words])


def numbers(run: Run) -> Numbers | None:
    """The shape of a run's training loss; None for fewer than 30 steps, or a loss that can go below 0."""
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
    # Beyond the last number there is only NaN: such a curve has left upward.
    values = np.interp(shares, smoothed.steps / last, smoothed.values / start, right=_TOP if broken else None)
    values = values.clip(max=_TOP)
    distances = {shape.words: _distance(values, shares, shape) for shape in SHAPES}
    if broken:
        distances["learning rate far too high"] = 0.0
    return Numbers(tuple(shares.tolist()), tuple(values.tolist()), distances, broken)


def describe(numbers: Numbers) -> str:
    """The figure in one or two sentences."""
    if numbers.broken:
        return "The loss ended as NaN or infinite, as it does at a learning rate far too high."
    ranked = sorted(numbers.distances, key=lambda words: numbers.distances[words])
    left = percent(numbers.values[-1])
    first, second = ((words, number(numbers.distances[words], 2)) for words in ranked[:2])
    return (
        f"In the end {left} of the first loss is left. The curve is nearest to the shape of a {first[0]} "
        f"(apart by {first[1]} of the first loss), then of a {second[0]} ({second[1]}). "
        "A shape is a hint: data that cannot be learned better give the same one."
    )


def draw(numbers: Numbers) -> Figure:
    """The figure: the loss as a part of its start, thick, over the four shapes, dashed; the nearest one in colour."""
    shares = np.asarray(numbers.shares)
    x = alt.X("share:Q", axis=alt.Axis(title="share of the training", format=".0%", tickCount=5), scale=_scale(1.0))
    y = alt.Y("value:Q", axis=alt.Axis(title="loss / first loss", tickCount=5), scale=_scale(_TOP))
    layers: list[Figure] = []
    for shape in SHAPES:
        values = shape.curve(shares, *shape.drawn)
        near = shape.words == numbers.nearest
        colour = VERMILION if near else GREY
        data = rows(share=shares, value=values, shape=shape.words)
        line = alt.Chart(data).mark_line(
            color=colour, strokeDash=[5, 4], strokeWidth=2 if near else 1.4, clip=True, opacity=1 if near else 0.8
        )
        share, side = shape.beside
        at = float(shape.curve(np.array([share]), *shape.drawn)[0])
        words = alt.Chart(rows(share=[share], value=[at], shape=[shape.words])).mark_text(
            align="right", baseline=side, dx=-5, dy={"top": 5, "bottom": -4}.get(side, 0),
            fontWeight=600 if near else "normal",
        )  # fmt: skip
        layers += [line.encode(x=x, y=y), words.encode(x="share:Q", y=y, text="shape:N")]
    own = rows(share=shares, value=np.asarray(numbers.values))
    tooltip = [alt.Tooltip("share:Q", format=".0%"), alt.Tooltip("value:Q", title="loss / first loss", format=".3~g")]
    curve = alt.Chart(own).mark_line(color=BLUE, strokeWidth=3, clip=True).encode(x=x, y=y, tooltip=tooltip)
    return themed(alt.layer(*layers, curve))


def _scale(high: float) -> alt.Scale:
    return alt.Scale(domain=[0, high], nice=False, clamp=True)


def _distance(values: Array, shares: Array, shape: Shape) -> float:
    """The root mean square distance from the nearest member of the family."""
    members = (shape.curve(shares, *pair) for pair in product(shape.first, shape.second))
    return min(float(np.sqrt(np.mean((values - member.clip(max=_TOP)) ** 2))) for member in members)
