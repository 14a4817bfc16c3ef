"""Sets the ranges of the next stage: narrowed around the best trials, or moved if the best lie at an edge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal

from babysit.analysis.constant import Constant, none_beat
from babysit.analysis.parameter_bounds import bounds, is_count
from babysit.analysis.trial_positions import PositionedTrials, edge, position_trials
from babysit.records.trial import Trial
from babysit.tuning.space import Categorical, Dimension, Range

_NARROWEST: Final = 1 / 3  # as in the lecture: three decades of the learning rate, then one
_MARGIN: Final = 1.25  # around the best trials: three or four of them do not mark the end of the good region
_BLIND: Final = "unchanged: no trial beat a constant prediction, so none shows where to narrow"
_WHOLE: Final = 0.9  # a narrowed range of at least this fraction of the old one is left unchanged


def next_range(
    name: str,
    dimension: Dimension,
    trials: Sequence[Trial],
    known: Sequence[Trial] = (),
    *,
    constant: Constant | None = None,
) -> tuple[Dimension, str]:
    """Return the range of the next stage and the reason for it.

    Args:
        name: name of the hyperparameter.
        dimension: its range in the stage that has ended.
        trials: trials of that stage.
        known: all trials of the search, to avoid regions that are known to diverge.
        constant: score of a constant prediction. While no trial beats it, ranges move by the training losses and are
            not narrowed.
    """
    blind = none_beat(trials, constant)
    if isinstance(dimension, Categorical):
        return (dimension, _BLIND) if blind else _next_choice(name, dimension, trials)
    placed = position_trials(name, dimension.position, trials, known, constant=constant)
    if not placed.finished:
        return _after_nothing_finished(name, dimension, placed)
    if side := edge(placed):
        scale, why = _moved(name, dimension, placed, side)
    elif blind:
        return dimension, _BLIND
    else:
        scale, why = _narrowed(dimension, placed)
    return _rounded(scale, name, dimension), why


def _half_width(placed: PositionedTrials) -> float:
    bounds = max(abs(position - placed.median) for position in placed.top)
    return max(_NARROWEST / 2, _MARGIN * bounds)


def _narrowed(scale: Range, placed: PositionedTrials) -> tuple[Range, str]:
    half = _half_width(placed)
    low, high = max(placed.median - half, 0.0), min(placed.median + half, 1.0)
    remark = ""
    if placed.highest < high and math.isfinite(placed.ceiling):
        # Not up to where divergence began: samplers concentrate at the end of a range toward which results improve.
        high = placed.highest
        remark = _diverged_from(scale, placed)
    count, top = len(placed.finished), len(placed.top)
    if high - low >= _WHOLE:
        return (
            scale,
            f"unchanged: the best {top} of {count} trials are spread over all of it, so it matters little here",
        )
    ends = f"{scale.value(min(placed.top)):.2g} to {scale.value(max(placed.top)):.2g}"
    return _between(scale, low, high), f"narrowed around the best {top} of {count} trials ({ends}){remark}"


def _diverged_from(scale: Range, placed: PositionedTrials) -> str:
    diverged, survived = placed.beyond(placed.ceiling)
    return f"; from {scale.value(placed.ceiling):.2g} upwards {diverged} of {diverged + survived} trials diverged"


def _moved(name: str, scale: Range, placed: PositionedTrials, side: Literal["low", "high"]) -> tuple[Range, str]:
    """Extend the range past its end by half the new width; the best values stay inside.

    Where no trial beat a constant prediction the optimum is far away: the range then moves by its whole width.
    """
    half = 1.0 if placed.blind else _half_width(placed)
    remark = ""
    if side == "high":
        low, high = min(placed.top) if placed.blind else min(placed.median - half, *placed.top), 1 + half
        if (1 + placed.ceiling) / 2 < high:  # halfway to what diverged
            high, remark = (1 + placed.ceiling) / 2, _diverged_from(scale, placed)
    else:
        low, high = -half, max(placed.top) if placed.blind else max(placed.median + half, *placed.top)
    moved = _within(_between(scale, low, high), name, scale)
    if moved.low == scale.low and moved.high == scale.high:
        return scale, f"unchanged: the best lie at its {side} end, which is the limit of {name}"
    end, direction = ("upper", "higher") if side == "high" else ("lower", "lower")
    best = "lowest training losses (no trial beat a constant prediction)" if placed.blind else "best"
    return moved, (
        f"moved {'up' if side == 'high' else 'down'}: the {best} of {scale.low:.2g} to {scale.high:.2g} lie toward its "
        f"{end} end (best {scale.value(placed.finished[0]):.2g}, rank correlation {placed.correlation:+.2f}), "
        f"so {direction} values may be better{remark}"
    )


def _after_nothing_finished(name: str, scale: Range, placed: PositionedTrials) -> tuple[Range, str]:
    """Update a range when all trials diverged: lower the learning rate by the range's width, leave others unchanged."""
    if name == "lr" and placed.stopped and not scale.linear:
        lowest = min(placed.stopped)
        return _between(scale, lowest - 1, lowest), (
            f"moved down: all {len(placed.stopped)} trials diverged, even at {scale.value(lowest):.2g}"
        )
    return scale, "unchanged: no trial finished"


def _next_choice(name: str, choice: Categorical, trials: Sequence[Trial]) -> tuple[Categorical, str]:
    """Drop the values that no trial of the better half has."""
    finished = sorted(
        (trial for trial in trials if trial.metric is not None and name in trial.parameters),
        key=lambda trial: -(trial.metric or 0.0),
    )
    better = {trial.parameters[name] for trial in finished[: math.ceil(len(finished) / 2)]}
    tried = {trial.parameters[name] for trial in finished}
    # An untried value stays, since nothing is known about it.
    left = tuple(value for value in choice.values if value in better or value not in tried)
    if len(left) == len(choice.values) or not better:
        return choice, ""
    dropped = ", ".join(str(value) for value in choice.values if value not in left)
    return Categorical(left), f"dropped {dropped}: no trial of the better half has it"


def _between(scale: Range, low: float, high: float) -> Range:
    """Return the part of a range between two positions; a position at an end keeps that end's exact number."""
    return Range(
        scale.low if low == 0 else scale.value(low),
        scale.high if high == 1 else scale.value(high),
        linear=scale.linear,
    )


def _within(moved: Range, name: str, before: Range) -> Range:
    """Clip a moved range to the valid values of its hyperparameter."""
    least, most = bounds(name, before.low, whole=before.whole)
    return Range(max(moved.low, least), min(moved.high, most), linear=moved.linear)


def _rounded(scale: Range, name: str, before: Range) -> Range:
    """Round a range of counts to integers, so that the next stage treats it as one of counts too."""
    if not (before.whole and is_count(name, whole=True)):
        return scale
    return Range(math.floor(scale.low), math.ceil(scale.high), linear=scale.linear)
