"""Several runs side by side: what came of each, which is ahead, what differs, and what cannot be compared."""

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
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.reporting import summary
from babysit.reporting.diff import NOTHING, Change, Row, changes
from babysit.reporting.verdict import verdict

# Which result decides, the first that at least two runs have: held-out data before training data.
_DECIDES: Final = (
    "test/accuracy", "test/r2", "val/accuracy", "val/r2", "test/loss", "val/loss",
)  # fmt: skip

_MOST_NAMED: Final = 6


class Comparison(NamedTuple):
    """Runs side by side; every row holds one value a run, in the order of the runs."""

    runs: tuple[Run, ...]
    labels: tuple[str, ...]  # A, B, …
    sentence: str
    cautions: tuple[str, ...]  # what can not be compared, and why
    verdicts: tuple[Row, ...]
    results: tuple[Row, ...]
    changes: tuple[Change, ...]
    unrecorded: tuple[str, ...]  # what some say and others do not: whether it differs is not known


def compare(runs: Sequence[Run]) -> Comparison:
    """The runs side by side; raises UserError for fewer than two, more than six, or the same run twice."""
    if len(runs) < 2:
        raise UserError("a comparison needs at least two runs", do="Name another: babysit compare A B")
    if len(runs) > len(LABELS):
        raise UserError(
            f"{len(runs)} runs are too many to tell apart in one figure", do=f"Compare at most {len(LABELS)} at once"
        )
    twice = {run.id for run in runs if sum(other.id == run.id for other in runs) > 1}
    if twice:
        raise UserError("a run cannot be compared with itself", where=min(twice), do="Name different runs")
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
    """What a run is called beside its letter: its id, and its name where it has one."""
    return f"{run.id} · {short(run.name, 40)}" if run.name else run.id


def _verdicts(runs: Sequence[Run]) -> tuple[Row, ...]:
    said = [verdict(run) for run in runs]
    found = [
        ", ".join(f"{short(f.code, 12)} {display_name(f.name)}" for f in run.problems[:4]) or NOTHING for run in runs
    ]
    return (
        Row("verdict", tuple(one.word for one in said)),
        Row("problems", tuple(words or NOTHING for words in found)),
        Row("status", tuple(str(run.status) for run in runs)),
        Row("stopped", tuple(short(run.stop_reason, 80) or NOTHING for run in runs)),
    )


def _results(runs: Sequence[Run], *, judged: bool, losses: bool) -> tuple[Row, ...]:
    names = dict.fromkeys(name for run in runs for name, _ in summary.results(run))
    # What a run says of its own steps stands in its result; of a watched one they were counted.
    counted = [{"Steps": f"{steps(run):,}"} if steps(run) else {} for run in runs]
    told = [count | dict(summary.results(run)) for count, run in zip(counted, runs, strict=True)]
    raw = [{summary.result_name(name): (name, value) for name, value in run.result.items()} for run in runs]
    rows = []
    for name in names:
        pairs = [one.get(name, ("", math.nan)) for one in raw]
        metric = next(key for key, _ in pairs if key)
        ranked = judged and (losses or metric_of(metric) != "loss")
        best = _ahead(metric, [value for _, value in pairs]) if ranked else None
        rows.append(Row(name, tuple(one.get(name, NOTHING) for one in told), best))
    for words, metric, read in _CURVES:
        values = [read(run) for run in runs]
        if any(map(math.isfinite, values)):
            shown = tuple(number(value) if math.isfinite(value) else NOTHING for value in values)
            rows.append(Row(words, shown, _ahead(metric, values) if judged and losses else None))
    if not any(row.name == "Steps" for row in rows):
        rows.append(Row("Steps", tuple(f"{steps(run):,}" for run in runs)))
    rows.append(Row("From start to end, seconds", tuple(_seconds(run) for run in runs)))
    return tuple(rows)


def _lowest(name: str) -> Callable[[Run], float]:
    def read(run: Run) -> float:
        values = [float(value) for value in run.curves.get(name).values if math.isfinite(value)]
        return min(values, default=math.nan)

    return read


def _last(name: str) -> Callable[[Run], float]:
    def read(run: Run) -> float:
        values = [float(value) for value in run.curves.get(name).values]
        # One batch says little: the mean of the last tenth.
        end = values[-max(1, len(values) // 10) :]
        return sum(end) / len(end) if end else math.nan

    return read


_CURVES: Final = (
    ("Lowest validation loss", VAL_LOSS, _lowest(VAL_LOSS)),
    ("Training loss, mean of the last tenth", TRAIN_LOSS, _last(TRAIN_LOSS)),
)


def _ahead(metric: str, values: Sequence[float]) -> int | None:
    """Which value is best; None when fewer than two are known, all are equal, or better has no meaning."""
    sign = {"accuracy": 1.0, "r2": 1.0, "loss": -1.0}.get(metric_of(metric))
    known = [value for value in values if math.isfinite(value)]
    if sign is None or len(known) < 2 or len(set(known)) == 1:
        return None
    ranked = [sign * value if math.isfinite(value) else -math.inf for value in values]
    return ranked.index(max(ranked))


def _sentence(runs: Sequence[Run], labels: Sequence[str], *, judged: bool, losses: bool) -> str:
    affected = [label for label, run in zip(labels, runs, strict=True) if run.problems]
    health = (
        f"{_and(affected)} {'has' if len(affected) == 1 else 'have'} problems." if affected else "No run has an alarm."
    )
    if not judged:
        return f"{health} The runs used different data, so their results do not rank them."
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
        ahead = f"{labels[best]} is ahead with {written[labels[best]]} {summary.result_name(name).lower()}"
        return f"{ahead} ({others}). {health}"
    return f"{health} No result is known of two of them, so none is ahead."


def _unrecorded(labels: Sequence[str], differing: Sequence[Change]) -> list[str]:
    said = []
    for change in differing:
        for label, names in zip(labels, change.unrecorded, strict=False):
            if names:
                more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
                said.append(f"Not recorded of {label}: {change.part} ({', '.join(names[:_MOST_NAMED])}{more}).")
    return said


def _changed(differing: Sequence[Change]) -> str:
    parts = [f"{change.part} ({len(change.rows) + change.left_out})" for change in differing if change.rows]
    return f"They differ in {_and(parts)}." if parts else "Nothing that was recorded differs between them."


def _cautions(runs: Sequence[Run], labels: Sequence[str], *, losses_apart: bool, data_apart: bool) -> list[str]:
    said = []
    if data_apart:
        said.append("The data are not the same: losses and accuracies are measured on different samples.")
    unknown = [label for label, run in zip(labels, runs, strict=True) if run.data is None or not run.data.fingerprint]
    if unknown and not data_apart:
        said.append(
            f"Of {_and(unknown)} no fingerprint of the data is kept: whether the data are the same is not known."
        )
    if losses_apart:
        kinds = ", ".join(f"{label} {_losses(run) or '?'}" for label, run in zip(labels, runs, strict=True))
        said.append(f"The losses are different quantities and are not ranked: {kinds}.")
    for label, run in zip(labels, runs, strict=True):
        if not measured(run):
            said.append(f"In {label} nothing was measured: only its settings can be compared.")
        elif run.status is not Status.FINISHED:
            said.append(f"{label} is {run.status}: what is shown is what it had come to.")
    layers = [set(run.layer_metrics.layers) for run in runs]
    if len(runs) == 2 and all(layers) and layers[0] != layers[1]:
        shared = len(layers[0] & layers[1])
        words = (
            f"only the {count(shared, 'layer')} that both have" if shared else "they have no layer in common, so none"
        )
        said.append(f"The networks differ: {words} can be compared one by one.")
    elif len(runs) > 2:
        said.append("Layers are compared one by one for two runs only.")
    said.append("Each is one training: a difference as small as that between two seeds says nothing.")
    return said


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
