"""The facts around a verdict, in words: experiments, model, data, machine, and what watching cost."""

from __future__ import annotations

from datetime import UTC, datetime

from babysit.analysis.extent import steps
from babysit.plots.formatting import count, number, percent
from babysit.plots.names import short
from babysit.records.run import Run

# What a reader looks for first among the numbers of an experiment.
_FIRST = ("loss", "accuracy", "r2", "score", "share", "suggested", "low", "high")


def value_words(value: object) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else short(str(value), 80)


def measured_words(values: dict[str, float]) -> str:
    """Measured values in words, the four that matter most: loss 2.31, accuracy 1."""
    ranked = sorted(values.items(), key=lambda item: _FIRST.index(item[0]) if item[0] in _FIRST else len(_FIRST))
    words = [f"{short(name.replace('_', ' '), 20)} {number(value, 4)}" for name, value in ranked[:4]]
    return ", ".join(words) or "–"


def cost(run: Run) -> str:
    """What the watching cost, in one sentence."""
    spent = run.overhead
    if spent is None or not spent.steps:
        return "Watching: nothing was watched, so nothing was spent."
    sampled = (
        f"{spent.sampled_steps:,} of {count(spent.steps, 'step')} sampled, every {ordinal(spent.every)} at the end"
    )
    share = f"{percent(spent.share)} of the step time (budget {percent(spent.budget)})"
    return f"Watching cost {share}, {number(spent.seconds)} seconds in all; {sampled}."


def ordinal(value: int) -> str:
    """1st, 2nd, 3rd, 16th."""
    ending = "th" if 10 <= value % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value:,}{ending}"


def facts(run: Run) -> list[tuple[str, str]]:
    """What the run was: name, command, model, data, place, status."""
    pairs = [
        ("run", run.id + (f" · {short(run.name, 60)}" if run.name else "")),
        ("status", f"{run.status}" + (f": {short(run.stop_reason, 120)}" if run.stop_reason else "")),
        ("command", short(run.command, 160)),
        ("when", _when(run)),
        ("steps", f"{steps(run):,}" if steps(run) else ""),
        ("model", _model(run)),
        ("data", _data(run)),
        (
            "settings",
            ", ".join(f"{short(k, 24)} {value_words(v)}" for k, v in list(run.config.items())[:12] if v != ""),
        ),
        ("machine", _machine(run)),
        *((short(name, 20), short(path, 200)) for name, path in run.artifacts.items()),
    ]
    return [(name, words) for name, words in pairs if words]


def _when(run: Run) -> str:
    return " to ".join(moment(written) for written in (run.created, run.ended) if written)


def moment(written: str) -> str:
    """ISO 8601 as people read it, to the second; anything else as it is."""
    try:
        return datetime.fromisoformat(written).strftime("%Y-%m-%d %H:%M:%S %Z").strip()
    except ValueError:
        return short(written, 40)


def _model(run: Run) -> str:
    if run.model_summary is None:
        return ""
    kinds = [objective.loss for objective in run.model_summary.objectives]
    optimizers = [optimizer.kind for optimizer in run.model_summary.optimizers]
    sizes = f"{count(len(run.model_summary.layers), 'layer')}, {count(run.model_summary.parameters, 'parameter')}"
    return ", ".join(short(part, 60) for part in [run.model_summary.model, sizes, *kinds, *optimizers] if part)


def _data(run: Run) -> str:
    if run.data is None:
        return ""
    sizes = ", ".join(f"{short(split.split, 20)} {split.samples:,}" for split in run.data.splits)
    parts = [run.data.source, run.data.kind, sizes, run.data.preprocessing]
    return "; ".join(short(part, 160) for part in parts if part)


def _machine(run: Run) -> str:
    place = run.environment
    versions = [f"Python {place.python}" if place.python else "", f"torch {place.torch}" if place.torch else ""]
    return ", ".join(short(part, 60) for part in [place.device, *versions, place.platform] if part)


def utc(written: str) -> str:
    """ISO 8601 in UTC with a Z, as other programs expect it; "" for what is no such time."""
    try:
        read = datetime.fromisoformat(written)
        moment = read if read.tzinfo else read.replace(tzinfo=UTC)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):  # the latter in the first and the last year there is
        return ""
