"""Analysis of a loss curve that may be noisy, short or non-finite: start, end, best, noise and trend."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.records.curves import TRAIN_LOSS, Series
from babysit.records.run import Run

Floats = NDArray[np.float64]

# Trends are tested on block means: their number bounds the run time, and averaging removes most batch noise.
BLOCKS = 40
MANY = 1000  # shorter curves are used as they are
FEWEST = 5  # least number of values
EXPLOSION = 10.0  # factor per step; healthy trainings vary by less, losses at a learning rate of 1e6 by over 1e3
LEFT_FOR_GOOD = 100.0  # all later losses of the opening exceed the first by this factor: the first update diverged
EXPLOSION_AT_ONCE = 1e6  # factor if there are only two losses


class Levels(NamedTuple):
    """Levels of a loss curve, in the units of the loss."""

    recorded: int  # number of values, finite or not
    steps: int  # steps that they span
    start: float  # see `start_of`
    end: float  # mean over the last tenth, at least five values
    best: float  # lowest block mean
    noise: float  # standard deviation from value to value, trend removed
    broken_at: int | None  # step of the first NaN or infinity after which none is finite
    lowest: float = np.nan  # the lowest single value
    start_of: str = ""  # description of the values that `start` summarizes
    end_of: str = ""

    @property
    def begun(self) -> str:
        """Return the start with a description of its values."""
        return f"{self.start:.4g} ({self.start_of})"

    @property
    def ended(self) -> str:
        """Return the end with a description of its values."""
        return f"{self.end:.4g} ({self.end_of})"


def values_of(series: Series) -> tuple[Floats, Floats]:
    """Return the steps and finite values of a curve, evenly spaced.

    With short steps the monitor records all losses at first and a subset later; the early ones are thinned accordingly,
    so that a tenth of the values is a tenth of the run.
    """
    steps, values = _finite(series)
    if len(steps) < MANY:
        return steps, values
    gaps = np.diff(steps)
    early, late = float(np.median(gaps[: len(gaps) // 4])), float(np.median(gaps[-len(gaps) // 4 :]))
    if late <= 1.5 * early:
        return steps, values
    _, first = np.unique(steps // late, return_index=True)
    return steps[first], values[first]


def _finite(series: Series) -> tuple[Floats, Floats]:
    values = np.asarray(series.values, dtype=np.float64)
    keep = np.isfinite(values)
    return np.asarray(series.steps, dtype=np.float64)[keep], values[keep]


def noise_of(values: Floats) -> float:
    """Return the noise from value to value: median absolute deviation of differences, as a standard deviation.

    Differences remove slow trends; 1.4826 converts the deviation to that of a normal distribution, and the square root
    of 2 accounts for the noise of both values.
    """
    if len(values) < 3:
        return 0.0
    steps = np.diff(values)
    return float(1.4826 * np.median(np.abs(steps - np.median(steps))) / np.sqrt(2))


def blocks(values: Floats, count: int = BLOCKS) -> Floats:
    """Return the means of at most `count` equal parts, in order."""
    if len(values) <= count:
        return values
    return np.asarray([part.mean() for part in np.array_split(values, count)])


# One in a thousand squared normal errors is larger than 24 times the median; larger values are outliers.
OUTLIER = 24.0


def _start(values: Floats) -> tuple[float, str]:
    """Return the start of the loss and a description of the values that it summarizes."""
    opening = values[: max(10, len(values) // 50)]
    sizes, middle = np.abs(opening), float(np.median(values[:3]))
    later = sizes[3:]
    # Threefold growth between the first values without a return is divergence, not noise.
    grown = len(sizes) > 2 and sizes[1] > 3 * sizes[0] and sizes[2] > 3 * sizes[1]
    if len(sizes) > 2 and sizes[1:].min() > LEFT_FOR_GOOD * sizes[0]:
        return float(values[0]), "the first value"
    if grown and (not len(later) or later.min() > max(sizes[1], sizes[2] / 3)):
        return float(values[0]), "the first value"
    # Losses of one or two samples vary by more than their level, so the start is a mean over many, unless the loss
    # diverges within the opening.
    exploding = len(later) > 1 and float(np.median(later[len(later) // 2 :])) > 3 * float(sizes[:3].max())
    if noise_of(opening) > 0.5 * abs(middle) and not exploding:
        usual = opening[sizes <= OUTLIER * max(float(np.median(sizes)), 1e-12)]
        if len(usual) > 2:
            return float(usual.mean()), f"mean of the first {len(usual)} values"
    return middle, "median of the first three values"


def explodes(values: Floats) -> bool:
    """Check whether a few losses suffice to show divergence: each is over ten times the previous one, or not finite.

    Loops that stop at the first non-finite loss record two or three losses at a learning rate that is orders of
    magnitude too high. Two losses alone need a larger factor: those of single samples differ by thousands.
    """
    if len(values) < 2 or not np.isfinite(values[0]):
        return False
    finite = values[np.isfinite(values)]
    least = EXPLOSION if len(values) > 2 else EXPLOSION_AT_ONCE
    return bool(np.all(np.abs(finite[1:]) > least * np.abs(finite[:-1])))


def levels(run: Run, name: str = TRAIN_LOSS) -> Levels | None:
    """Return the levels of a curve; None if it has fewer than five values and does not diverge."""
    series = run.curves.get(name)
    raw = np.asarray(series.values, dtype=np.float64)
    if len(raw) < FEWEST and not explodes(raw):
        return None
    steps = int(series.steps[-1]) + 1
    _, values = values_of(series)
    _, all_values = _finite(series)
    if not len(values):
        return Levels(len(raw), steps, np.nan, np.nan, np.nan, 0.0, int(series.steps[0]))
    last = int(np.flatnonzero(np.isfinite(raw))[-1])
    broken_at = int(series.steps[last + 1]) if last + 1 < len(raw) else None
    window = max(5, len(values) // 10)
    start, start_of = _start(all_values)
    return Levels(
        recorded=len(raw),
        steps=steps,
        start=start,
        end=float(values[-window:].mean()),
        best=float(blocks(values).min()),
        noise=noise_of(all_values),
        broken_at=broken_at,
        lowest=float(all_values.min()),
        start_of=start_of,
        end_of=f"mean of the last {min(window, len(values))} values",
    )


def trend(values: Floats) -> tuple[float, float]:
    """Return (tau from -1 to 1, p-value) of the Mann-Kendall trend test on block means."""
    from scipy.stats import kendalltau  # slow import: only when needed

    means = blocks(values)
    if len(means) < 5 or np.ptp(means) == 0:
        return 0.0, 1.0
    result: Any = kendalltau(np.arange(len(means)), means)
    return float(result.statistic), float(result.pvalue)


def share_of_fall(values: Floats, last: float) -> float:
    """Return the fraction of the total decrease in the last part of the curve; `last` for a straight line."""
    means = blocks(values)
    tail = max(2, round(len(means) * last))
    if len(means) < 2 * tail:
        return 0.0
    fall = float(means[0] - means[-1])
    return float(means[-tail - 1] - means[-1]) / fall if fall > 0 else 0.0


def is_improving(values: Floats, chance: float) -> bool:
    """Check whether a loss decreases significantly: over the full curve with a lower end, or over its second half.

    A short initial drop followed by a plateau is neither: Mann-Kendall weighs all pairs of values equally.
    """
    if len(values) < 5:
        return False
    tau, probability = trend(values)
    tail = max(5, len(values) // 10)
    over_all = tau < 0 and probability < chance and float(values[-tail:].mean()) < float(values[:tail].mean())
    late_tau, late_probability = trend(values[len(values) // 2 :])
    return over_all or (late_tau < 0 and late_probability < chance)
