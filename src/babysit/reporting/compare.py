"""Comparison of several runs: results, ranking, differences and caveats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from babysit.analysis.extent import measured, steps
from babysit.plots.compared_losses import LABELS
from babysit.plots.formatting import count, number
from babysit.plots.names import display_name, short
from babysit.records.curves import TRAIN_LOSS, VAL_LOSS, metric_of
from babysit.records.errors import InvalidRequestError
from babysit.records.run import Run, Status
from babysit.reporting import summary
from babysit.reporting.diff import NOTHING, Change, Row, changes
from babysit.reporting.verdict import verdict

# Metrics to rank by; the first that at least two runs have decides. Held-out data come before training data.
_DECIDES: Final = (
    "test/accuracy", "test/r2", "val/accuracy", "val/r2", "test/loss", "val/loss",
)  # fmt: skip

_MOST_NAMED: Final = 6


class Comparison(NamedTuple):
    """Comparison of runs; every row holds one value per run, in the order of the runs."""

    runs: tuple[Run, ...]
    labels: tuple[str, ...]  # A, B, …
    sentence: str
    cautions: tuple[str, ...]  # limits of the comparison, with the reason
    verdicts: tuple[Row, ...]
    results: tuple[Row, ...]
    changes: tuple[Change, ...]
    unrecorded: tuple[str, ...]  # fields recorded for some runs only, so that a difference is unknown


def compare(runs: Sequence[Run]) -> Comparison:
    """Compare the runs; raises UserError for fewer than two, more than six, or the same run twice."""
    if len(runs) < 2:
        raise InvalidRequestError("a comparison needs at least two runs", do="Name another run: babysit compare A B")
    if len(runs) > len(LABELS):
        raise InvalidRequestError(
            f"{len(runs)} runs are too many to distinguish in one figure", do=f"Compare at most {len(LABELS)} runs"
        )
    twice = {run.id for run in runs if sum(other.id == run.id for other in runs) > 1}
    if twice:
        raise InvalidRequestError("a run cannot be compared with itself", where=min(twice), do="Name different runs")
    labels = LABELS[: len(runs)]
    differing = changes(runs)
    losses_apart = _different([_losses(run) for run in runs])
    data_apart = _different([run.data.fingerprint if run.data else "" for run in runs])
    results = _results(runs, judged=not data_apart, losses=not losses_apart)
    cautions = tuple(_cautions(runs, labels, losses_apart=losses_apart, data_apart=data_apart))
    return Comparison(
        runs=tuple(runs),
        labels=labels,
        sentence=_sentence(runs, labels, judged=not data_apart, losses=not losses_apart) + " " + _changed(differing),
        cautions=cautions,
        verdicts=_verdicts(runs),
        results=results,
        changes=differing,
        unrecorded=tuple(_unrecorded(labels, differing)),
    )


def name_of(run: Run) -> str:
    """Return the id of the run, with its name if it has one."""
    return f"{run.id} · {short(run.name, 40)}" if run.name else run.id


def _verdicts(runs: Sequence[Run]) -> tuple[Row, ...]:
    verdicts = [verdict(run) for run in runs]
    found = [
        ", ".join(f"{short(f.code, 12)} {display_name(f.name)}" for f in run.problems[:4]) or NOTHING for run in runs
    ]
    return (
        Row("verdict", tuple(one.word for one in verdicts)),
        Row("problems", tuple(words or NOTHING for words in found)),
        Row("status", tuple(str(run.status) for run in runs)),
        Row("stopped", tuple(short(run.stop_reason, 80) or NOTHING for run in runs)),
    )


def _results(runs: Sequence[Run], *, judged: bool, losses: bool) -> tuple[Row, ...]:
    names = dict.fromkeys(name for run in runs for name, _ in summary.results(run))
    # Steps that the run reports in its result take precedence over the counted ones.
    counted = [{"Steps": f"{steps(run):,}"} if steps(run) else {} for run in runs]
    texts = [count | dict(summary.results(run)) for count, run in zip(counted, runs, strict=True)]
    raw = [{summary.result_name(name): (name, value) for name, value in run.result.items()} for run in runs]
    rows = []
    for name in names:
        pairs = [one.get(name, ("", math.nan)) for one in raw]
        metric = next(key for key, _ in pairs if key)
        ranked = judged and (losses or metric_of(metric) != "loss")
        best = _ahead(metric, [value for _, value in pairs]) if ranked else None
        rows.append(Row(name, tuple(one.get(name, NOTHING) for one in texts), best))
    for words, metric, read in _CURVES:
        values = [read(run) for run in runs]
        if any(map(math.isfinite, values)):
            shown = tuple(number(value) if math.isfinite(value) else NOTHING for value in values)
            rows.append(Row(words, shown, _ahead(metric, values) if judged and losses else None))
    if not any(row.name == "Steps" for row in rows):
        rows.append(Row("Steps", tuple(f"{steps(run):,}" for run in runs)))
    rows.append(Row("Duration, seconds", tuple(_seconds(run) for run in runs)))
    return tuple(rows)


def _lowest(name: str) -> Callable[[Run], float]:
    def read(run: Run) -> float:
        values = [float(value) for value in run.curves.get(name).values if math.isfinite(value)]
        return min(values, default=math.nan)

    return read


def _last(name: str) -> Callable[[Run], float]:
    def read(run: Run) -> float:
        values = [float(value) for value in run.curves.get(name).values]
        # The loss of one batch is noisy: average the last tenth.
        end = values[-max(1, len(values) // 10) :]
        return sum(end) / len(end) if end else math.nan

    return read


_CURVES: Final = (
    ("Lowest validation loss", VAL_LOSS, _lowest(VAL_LOSS)),
    ("Training loss, mean of the last tenth", TRAIN_LOSS, _last(TRAIN_LOSS)),
)


def _ahead(metric: str, values: Sequence[float]) -> int | None:
    """Return the index of the best value; None if fewer than two are known or all are equal."""
    sign = {"accuracy": 1.0, "r2": 1.0, "loss": -1.0}.get(metric_of(metric))
    known = [value for value in values if math.isfinite(value)]
    if sign is None or len(known) < 2 or len(set(known)) == 1:
        return None
    ranked = [sign * value if math.isfinite(value) else -math.inf for value in values]
    return ranked.index(max(ranked))


def _sentence(runs: Sequence[Run], labels: Sequence[str], *, judged: bool, losses: bool) -> str:
    affected = [label for label, run in zip(labels, runs, strict=True) if run.problems]
    health = (
        f"{_and(affected)} {'has' if len(affected) == 1 else 'have'} problems." if affected else "No run has problems."
    )
    if not judged:
        return f"{health} The runs used different data, so their results are not ranked."
    for name in _DECIDES:
        values = [float(run.result.get(name, math.nan)) for run in runs]
        known = [value for value in values if math.isfinite(value)]
        if len(known) < 2 or (metric_of(name) == "loss" and not losses):
            continue
        pairs = zip(labels, values, strict=True)
        written = {label: summary.result_value(name, value) for label, value in pairs if math.isfinite(value)}
        best = _ahead(name, values)
        if best is None:
            return f"{health} All have the same {summary.result_name(name).lower()}, {next(iter(written.values()))}."
        others = ", ".join(f"{label} {words}" for label, words in written.items() if label != labels[best])
        ahead = f"{labels[best]} has the best {summary.result_name(name).lower()}: {written[labels[best]]}"
        return f"{ahead} ({others}). {health}"
    return f"{health} No metric to rank by."


def _unrecorded(labels: Sequence[str], differing: Sequence[Change]) -> list[str]:
    lines = []
    for change in differing:
        for label, names in zip(labels, change.unrecorded, strict=False):
            if names:
                more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
                lines.append(f"Not recorded for {label}: {change.part} ({', '.join(names[:_MOST_NAMED])}{more}).")
    return lines


def _changed(differing: Sequence[Change]) -> str:
    parts = [f"{len(change.rows) + change.left_out:,} in {change.part}" for change in differing if change.rows]
    return f"Differences: {_and(parts)}." if parts else "No recorded difference."


def _cautions(runs: Sequence[Run], labels: Sequence[str], *, losses_apart: bool, data_apart: bool) -> list[str]:
    lines = []
    if data_apart:
        lines.append("The datasets differ: losses and accuracies are measured on different samples.")
    unknown = [label for label, run in zip(labels, runs, strict=True) if run.data is None or not run.data.fingerprint]
    if unknown and not data_apart:
        lines.append(f"No data fingerprint for {_and(unknown)}; cannot check whether the datasets match.")
    if losses_apart:
        kinds = ", ".join(f"{label} {_losses(run) or '?'}" for label, run in zip(labels, runs, strict=True))
        lines.append(f"The loss functions differ, so losses are not ranked: {kinds}.")
    for label, run in zip(labels, runs, strict=True):
        if not measured(run):
            lines.append(f"{label} has no measurements: only its settings can be compared.")
        elif run.status is not Status.FINISHED:
            lines.append(f"{label} is {run.status}: its values are those recorded so far.")
    layers = [set(run.layer_metrics.layers) for run in runs]
    if len(runs) == 2 and all(layers) and layers[0] != layers[1]:
        shared = len(layers[0] & layers[1])
        words = (
            f"only the {count(shared, 'layer')} that both have" if shared else "they have no layer in common, so none"
        )
        lines.append(f"The models differ: {words} can be compared one by one.")
    elif len(runs) > 2:
        lines.append("Per-layer comparison needs exactly two runs.")
    lines.append("Single runs: small differences may be seed noise.")
    return lines


def _losses(run: Run) -> str:
    return ", ".join(one.loss for one in run.model_summary.objectives) if run.model_summary else ""


def _different(values: Sequence[str]) -> bool:
    return len({value for value in values if value}) > 1


def _seconds(run: Run) -> str:
    try:
        return number((datetime.fromisoformat(run.ended) - datetime.fromisoformat(run.created)).total_seconds())
    except (ValueError, TypeError):
        return NOTHING


def _and(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else "".join(words)
