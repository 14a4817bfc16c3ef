"""Formatted metadata of a run: checks, model, data, machine and monitoring overhead."""

from __future__ import annotations

from datetime import UTC, datetime

from babysit.analysis.extent import steps
from babysit.plots.formatting import count, number, percent
from babysit.plots.names import short
from babysit.records.run import Run

# Measurements of a check to show first.
_FIRST = ("loss", "accuracy", "r2", "score", "share", "suggested", "low", "high")


def value_words(value: object) -> str:
    """Format a value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value) if isinstance(value, int | float) else short(str(value), 80)


def measured_words(values: dict[str, float]) -> str:
    """Format the four most important measured values: loss 2.31, accuracy 1."""
    ranked = sorted(values.items(), key=lambda item: _FIRST.index(item[0]) if item[0] in _FIRST else len(_FIRST))
    words = [f"{short(name.replace('_', ' '), 20)} {number(value, 4)}" for name, value in ranked[:4]]
    return ", ".join(words) or "–"


def overhead(run: Run) -> str:
    """Describe the monitoring overhead in one sentence."""
    spent = run.overhead
    if spent is None or not spent.steps:
        return "Monitoring overhead: none, no step was monitored."
    sampled = (
        f"{spent.sampled_steps:,} of {count(spent.steps, 'step')} sampled, every {ordinal(spent.every)} at the end"
    )
    share = f"{percent(spent.share)} of the step time (budget {percent(spent.budget)})"
    return f"Monitoring overhead: {number(spent.seconds)} seconds, {share}; {sampled}."


def ordinal(value: int) -> str:
    """Format an ordinal number: 1st, 2nd, 3rd, 16th."""
    ending = "th" if 10 <= value % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value:,}{ending}"


def facts(run: Run) -> list[tuple[str, str]]:
    """Return the metadata of the run: name, command, model, data, machine, status."""
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
    """Format an ISO 8601 time to the second; return other text unchanged."""
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
    environment = run.environment
    versions = [f"Python {environment.python}" if environment.python else ""]
    versions += [f"torch {environment.torch}"] if environment.torch else []
    return ", ".join(short(part, 60) for part in [environment.device, *versions, environment.platform] if part)


def utc(written: str) -> str:
    """Convert an ISO 8601 time to UTC with the suffix Z; "" for an invalid time."""
    try:
        read = datetime.fromisoformat(written)
        moment = read if read.tzinfo else read.replace(tzinfo=UTC)
        return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError):  # OverflowError near the first and the last supported year
        return ""
