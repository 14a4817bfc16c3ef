"""Sparkline of the curve behind a finding, with the limit that it crossed."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, final

import numpy as np
from markupsafe import Markup

from babysit.analysis.model_structure import weight_layers
from babysit.plots.formatting import number
from babysit.plots.points import Line, downsample, finite
from babysit.records.arrays import Array
from babysit.records.curves import GRADIENT_NORM, TRAIN_LOSS, VAL_LOSS
from babysit.records.finding import Finding
from babysit.records.run import Run

_WIDTH, _HEIGHT, _ROOM = 240, 44, 4
_POINTS: Final = 100

Limits = Mapping[str, float]


class Spark(NamedTuple):
    """Sparkline as SVG, with a text alternative."""

    drawing: Markup
    words: str


@final
@dataclass(frozen=True)
class _Watched:
    words: str
    values: Callable[[Run, Finding], Line]
    limit: Callable[[Finding, Limits], float | None] = lambda finding, limits: None
    log: bool = False


def sparkline(run: Run, finding: Finding) -> Spark | None:
    """Draw the curve that a finding is about; None if the rule uses none, or the run did not record it."""
    watched = _WATCHED.get(finding.code)
    if watched is None:
        return None
    line = downsample(watched.values(run, finding), _POINTS)
    limit = watched.limit(finding, _limits(finding.code))
    limit = limit if limit is not None and math.isfinite(limit) else None
    if watched.log:
        line = Line(line.steps[line.values > 0], line.values[line.values > 0])
        limit = limit if limit is None or limit > 0 else None
    if len(line) < 2:
        return None
    first, last = number(float(line.values[0])), number(float(line.values[-1]))
    words = f"{watched.words}: {first} at step {int(line.steps[0]):,}, {last} at step {int(line.steps[-1]):,}"
    words += "" if limit is None else f"; dashed: the limit, {number(limit)}"
    return Spark(_drawn(line, limit, finding.first_step, log=watched.log), f"{words}.")


def _drawn(line: Line, limit: float | None, since: int | None, *, log: bool) -> Markup:
    values = np.log10(line.values) if log else line.values
    level = None if limit is None else math.log10(limit) if log else limit
    low, high = float(values.min()), float(values.max())
    if level is not None:
        low, high = min(low, level), max(high, level)
    span = (high - low) or 1.0
    first, last = float(line.steps[0]), float(line.steps[-1])

    def across(step: float) -> float:
        return round(_ROOM + (step - first) / ((last - first) or 1.0) * (_WIDTH - 2 * _ROOM), 1)

    def down(value: float) -> float:
        return round(_HEIGHT - _ROOM - (value - low) / span * (_HEIGHT - 2 * _ROOM), 1)

    points = " ".join(f"{across(s)},{down(v)}" for s, v in zip(line.steps.tolist(), values.tolist(), strict=True))
    # Only formatted numbers are inserted, so nothing needs escaping.
    parts = [f'<polyline class="curve" points="{points}"/>']
    if level is not None:
        parts.append(f'<line class="limit" x1="0" x2="{_WIDTH}" y1="{down(level)}" y2="{down(level)}"/>')
    if since is not None and first < since < last:
        parts.append(f'<line class="since" x1="{across(since)}" x2="{across(since)}" y1="0" y2="{_HEIGHT}"/>')
    frame = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" aria-hidden="true"'
    return Markup(f'<svg class="spark" {frame}>{"".join(parts)}</svg>')


@functools.cache
def _limits(code: str) -> Limits:
    from babysit.rules.catalogue import RULES

    rule = next((rule for rule in RULES if rule.code == code), None)
    return {} if rule is None else {name: limit.value for name, limit in rule.limits.items()}


def _curve(name: str) -> Callable[[Run, Finding], Line]:
    return lambda run, finding: finite(run.curves.get(name))


def _between_samples(run: Run, finding: Finding) -> Line:
    """Return the std of the output across samples; for a single output, its total std."""
    line = _over_layers("sample_std", _lowest)(run, finding)
    return line if len(line) else _over_layers("output_std", _lowest)(run, finding)


def _over_layers(metric: str, how: Callable[[Array], Array]) -> Callable[[Run, Finding], Line]:
    """Aggregate a layer metric by step over the layers of the finding, or over all weight layers if it names none."""

    def read(run: Run, finding: Finding) -> Line:
        table = run.layer_metrics.values.get(metric)
        if table is None or not np.size(table):
            return Line(np.zeros(0, dtype="int64"), np.zeros(0))
        named = set(finding.layers) or {layer.name for layer in weight_layers(run)}
        columns = [index for index, name in enumerate(run.layer_metrics.layers) if name in named]
        chosen = np.asarray(table, dtype="float64")[:, columns or slice(None)]
        valid = np.isfinite(chosen).any(axis=1)
        values = how(np.where(np.isfinite(chosen), chosen, np.nan)[valid])
        finite_too = np.isfinite(values)
        return Line(np.asarray(run.layer_metrics.steps)[valid][finite_too], values[finite_too])

    return read


def _highest(table: Array) -> Array:
    values: Array = np.nanmax(table, axis=1) if len(table) else np.zeros(0)
    return values


def _together(table: Array) -> Array:
    with np.errstate(over="ignore"):
        values: Array = np.sqrt(np.nansum(table**2, axis=1))
    return values


def _middle(table: Array) -> Array:
    values: Array = np.nanmedian(table, axis=1) if len(table) else np.zeros(0)
    return values


def _lowest(table: Array) -> Array:
    values: Array = np.nanmin(table, axis=1) if len(table) else np.zeros(0)
    return values


def _first_to_last(run: Run, finding: Finding) -> Line:
    """Return the ratio of the gradient of the first layer to that of the last."""
    table = np.asarray(run.layer_metrics.values.get("gradient_rms", np.zeros((0, 0))), dtype="float64")
    known = np.flatnonzero(np.isfinite(table).any(axis=0)) if table.size else np.zeros(0, dtype="int64")
    if len(known) < 2:
        return Line(np.zeros(0, dtype="int64"), np.zeros(0))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = table[:, known[0]] / table[:, known[-1]]
    valid = np.isfinite(ratio)
    return Line(np.asarray(run.layer_metrics.steps)[valid], ratio[valid])


def _of_rule(name: str) -> Callable[[Finding, Limits], float | None]:
    return lambda finding, limits: limits.get(name)


def _of_evidence(name: str, factor: str = "", *, change: float = 0.0) -> Callable[[Finding, Limits], float | None]:
    """Return a reader of an evidence value times a limit, or (with `change`) times 1 + change * limit."""

    def read(finding: Finding, limits: Limits) -> float | None:
        value = finding.evidence.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return None
        by = limits.get(factor, 1.0) if factor else 1.0
        return float(value) * (1 + change * by if change else by)

    return read


_UPDATES: Final = _Watched(
    "update / weight, median layer", _over_layers("update_ratio", _middle), _of_rule("ratio"), log=True
)
_GRADIENTS: Final = _Watched(
    "gradient norm over all layers", _over_layers("gradient_rms", _together), _of_evidence("first", "growth"), log=True
)
_WATCHED: Final[dict[str, _Watched]] = {
    "A401": _Watched("fraction of dead units, worst layer", _over_layers("dead", _highest), _of_rule("share")),
    "A402": _Watched(
        "fraction of saturated outputs, worst layer", _over_layers("saturated", _highest), _of_rule("share")
    ),
    "A403": _Watched("fraction of units with one sign", _over_layers("one_signed", _highest), _of_rule("share")),
    "A406": _Watched("std across samples", _between_samples, log=True),
    "D108": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("prior_loss")),
    "F901": _Watched("validation loss", _curve(VAL_LOSS), _of_evidence("best_validation", "rise", change=1.0)),
    "F902": _Watched("training loss", _curve(TRAIN_LOSS)),
    "F903": _Watched("training loss", _curve(TRAIN_LOSS)),
    "F904": _Watched("training loss", _curve(TRAIN_LOSS)),
    "F905": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("start_loss", "fall", change=-1.0)),
    "F906": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("start_loss", "growth"), log=True),
    "F907": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("start_loss", "fall", change=-1.0)),
    "F908": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("validation")),
    "F909": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("middle")),
    "G501": _Watched("gradient of first layer / last layer", _first_to_last, _of_rule("ratio"), log=True),
    "G502": _GRADIENTS,
    "G503": _Watched("non-finite values", _over_layers("nonfinite", _highest)),
    "G504": _Watched("gradient RMS, smallest layer", _over_layers("gradient_rms", _lowest)),
    "I301": _Watched("fraction of duplicate units", _over_layers("unit_similarity", _highest), _of_rule("share")),
    "I304": _Watched(
        "fraction of saturated outputs, worst layer", _over_layers("saturated", _highest), _of_rule("share")
    ),
    "I305": _Watched("fraction of dead units, worst layer", _over_layers("dead", _highest), _of_rule("share")),
    "I306": _Watched("bias RMS, largest layer", _over_layers("bias_rms", _highest), _of_rule("bias")),
    "N804": _Watched("validation loss", _curve(VAL_LOSS), _of_evidence("prior", "above")),
    "O207": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("expected_loss", "above")),
    "O208": _Watched("training loss", _curve(TRAIN_LOSS), lambda finding, limits: 0.0),
    "O210": _Watched("training loss", _curve(TRAIN_LOSS), _of_evidence("prior_loss", "near", change=-1.0)),
    "O212": _Watched("weight RMS, median layer", _over_layers("weight_rms", _middle)),
    "U601": _UPDATES,
    "U602": _UPDATES,
    "U603": _Watched("update / weight, smallest layer", _over_layers("update_ratio", _lowest)),
    "U604": _Watched("gradient norm", _curve(GRADIENT_NORM), _of_evidence("limit"), log=True),
}
