"""How the loss went: start, end, best, noise and trend, read from a curve that may be noisy, short or broken."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.records.curves import TRAIN_LOSS, Series
from babysit.records.run import Run

Floats = NDArray[np.float64]

# A trend is tested on block means: their number bounds the cost, and averaging removes most of the batch noise.
BLOCKS = 40
MANY = 1000  # shorter curves are read as they are
FEWEST = 5  # values that show a level
EXPLOSION = (
    10.0  # from step to step; batches of sound trainings differ by less, losses at a learning rate of 1e6 by over 1e3
)
LEFT_FOR_GOOD = 100.0  # no loss of the opening comes within this of the first: the first step threw the network far off
EXPLOSION_AT_ONCE = 1e6  # of two losses alone


class Levels(NamedTuple):
    """The loss in numbers; all in the units of the loss."""

    looks: int  # values, finite or not
    steps: int  # that they span
    start: float  # what `start_of` says
    end: float  # mean over the last tenth, at least five values
    best: float  # lowest block mean
    noise: float  # standard deviation from value to value, trend removed
    broken_at: int | None  # step of the first NaN or infinity after which none is finite
    lowest: float = np.nan  # the lowest single value
    start_of: str = ""  # which values the start is taken from
    end_of: str = ""

    @property
    def begun(self) -> str:
        """The start in words that say what it is."""
        return f"{self.start:.4g} ({self.start_of})"

    @property
    def ended(self) -> str:
        """The end in words that say what it is."""
        return f"{self.end:.4g} ({self.end_of})"


def values_of(series: Series) -> tuple[Floats, Floats]:
    """The finite values of a curve with their steps, evenly spaced.

    Where steps are short, a watch reads all losses at first and then every few: of the many first ones as few are kept,
    so that a tenth of the values is a tenth of the run.
    """
    steps, values = _finite(series)
    if len(steps) < MANY:
        return steps, values
    apart = np.diff(steps)
    early, late = float(np.median(apart[: len(apart) // 4])), float(np.median(apart[-len(apart) // 4 :]))
    if late <= 1.5 * early:
        return steps, values
    _, first = np.unique(steps // late, return_index=True)
    return steps[first], values[first]


def _finite(series: Series) -> tuple[Floats, Floats]:
    values = np.asarray(series.values, dtype=np.float64)
    keep = np.isfinite(values)
    return np.asarray(series.steps, dtype=np.float64)[keep], values[keep]


def noise_of(values: Floats) -> float:
    """The noise from value to value: median absolute deviation of differences, scaled to a standard deviation.

    Differences remove any slow trend; 1.4826 makes the deviation of a normal one, and each holds two values' noise.
    """
    if len(values) < 3:
        return 0.0
    steps = np.diff(values)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))


def blocks(values: Floats, count: int = BLOCKS) -> Floats:
    """Means of at most `count` equal parts, in order."""
    if len(values) <= count:
        return values
    return np.asarray([part.mean() for part in np.array_split(values, count)])


# Of squared errors of single samples one in a thousand is larger than 24 times the median: beyond, it is an explosion.
OUTLIER = 24.0


def _start(values: Floats) -> tuple[float, str]:
    """Where the loss began, and which values say so."""
    opening = values[: max(10, len(values) // 50)]
    sizes, middle = np.abs(opening), float(np.median(values[:3]))
    later = sizes[3:]
    # Threefold growth from each of the first values to the next, and never back, is an explosion and no noise.
    grown = len(sizes) > 2 and sizes[1] > 3 * sizes[0] and sizes[2] > 3 * sizes[1]
    if len(sizes) > 2 and sizes[1:].min() > LEFT_FOR_GOOD * sizes[0]:
        return float(values[0]), "the first value"
    if grown and (not len(later) or later.min() > max(sizes[1], sizes[2] / 3)):
        return float(values[0]), "the first value"
    # Batches of one or two samples differ by more than their level: then only a mean over many tells where it began.
    # One that explodes later in the opening began before that.
    exploding = len(later) > 1 and float(np.median(later[len(later) // 2 :])) > 3 * float(sizes[:3].max())
    if noise_of(opening) > 0.5 * abs(middle) and not exploding:
        usual = opening[sizes <= OUTLIER * max(float(np.median(sizes)), 1e-12)]
        if len(usual) > 2:
            return float(usual.mean()), f"mean of the first {len(usual)} values"
    return middle, "median of the first three values"


def explodes(values: Floats) -> bool:
    """Whether a few losses are enough to see divergence: each is over ten times the one before, or not finite.

    Loops that stop at the first loss that is not finite record two or three losses at a learning rate that is orders of
    magnitude too high. Two losses alone have to be further apart: those of batches of one sample differ by thousands.
    """
    if len(values) < 2 or not np.isfinite(values[0]):
        return False
    finite = values[np.isfinite(values)]
    least = EXPLOSION if len(values) > 2 else EXPLOSION_AT_ONCE
    return bool(np.all(np.abs(finite[1:]) > least * np.abs(finite[:-1])))


def levels(run: Run, name: str = TRAIN_LOSS) -> Levels | None:
    """The levels of a curve; None when it has fewer than five values and does not explode."""
    series = run.curves.get(name)
    raw = np.asarray(series.values, dtype=np.float64)
    if len(raw) < FEWEST and not explodes(raw):
        return None
    steps = int(series.steps[-1]) + 1
    _, values = values_of(series)
    _, every = _finite(series)
    if not len(values):
        return Levels(len(raw), steps, np.nan, np.nan, np.nan, 0.0, int(series.steps[0]))
    last = int(np.flatnonzero(np.isfinite(raw))[-1])
    broken_at = int(series.steps[last + 1]) if last + 1 < len(raw) else None
    window = max(5, len(values) // 10)
    start, start_of = _start(every)
    return Levels(
        looks=len(raw),
        steps=steps,
        start=start,
        end=float(values[-window:].mean()),
        best=float(blocks(values).min()),
        noise=noise_of(every),
        broken_at=broken_at,
        lowest=float(every.min()),
        start_of=start_of,
        end_of=f"mean of the last {min(window, len(values))} values",
    )


def trend(values: Floats) -> tuple[float, float]:
    """Mann-Kendall's test on block means: (tau from -1 to 1, probability that there is no trend)."""
    from scipy.stats import kendalltau  # heavy: loaded only when a trend is asked for

    means = blocks(values)
    if len(means) < 5 or np.ptp(means) == 0:
        return 0.0, 1.0
    answer: Any = kendalltau(np.arange(len(means)), means)
    return float(answer.statistic), float(answer.pvalue)


def share_of_fall(values: Floats, last: float) -> float:
    """Which share of the whole fall came in the last part of the curve; 1 x `last` means a straight line."""
    means = blocks(values)
    tail = max(2, round(len(means) * last))
    if len(means) < 2 * tail:
        return 0.0
    fall = float(means[0] - means[-1])
    return float(means[-tail - 1] - means[-1]) / fall if fall > 0 else 0.0


def is_improving(values: Floats, chance: float) -> bool:
    """Whether a loss falls beyond its noise: over the whole curve, ending lower, or over its second half.

    A short first drop that is followed by nothing is neither: Mann-Kendall weighs every pair of values alike.
    """
    if len(values) < 5:
        return False
    tau, probability = trend(values)
    tail = max(5, len(values) // 10)
    over_all = tau < 0 and probability < chance and float(values[-tail:].mean()) < float(values[:tail].mean())
    late_tau, late_probability = trend(values[len(values) // 2 :])
    return over_all or (late_tau < 0 and late_probability < chance)
