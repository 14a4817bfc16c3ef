"""Differences between runs: settings, data, code, model and environment, value by value."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from babysit.plots.names import short
from babysit.records.run import Run
from babysit.reporting import run_metadata

NOTHING: Final = "–"
# Longer tables are unreadable; further rows are counted only.
_MOST_ROWS = 40

Values = tuple[object, ...]


class Row(NamedTuple):
    """One quantity per run, formatted; `best` is the index of the best run, if the quantity has an order."""

    name: str
    values: tuple[str, ...]
    best: int | None = None


class Change(NamedTuple):
    """Differences in one part of the runs; `known` is False if the part was not recorded for every run."""

    part: str
    rows: tuple[Row, ...]
    known: bool
    left_out: int = 0
    unrecorded: tuple[tuple[str, ...], ...] = ()  # per run: fields that only other runs recorded


def changes(runs: Sequence[Run]) -> tuple[Change, ...]:
    """Return the differences of every part, the parts most likely to matter first."""
    return (
        # A missing setting or layer is a difference; any other missing field was not recorded.
        _change("settings", [dict(run.config) for run in runs], counts=lambda name: True),
        _change("data", [_data(run) for run in runs]),
        _change("code", [_code(run) for run in runs]),
        _change("model", [_network(run) for run in runs], counts=lambda name: name.startswith("layer ")),
        _change("environment", [_environment(run) for run in runs]),
    )


def words_of(values: Values) -> tuple[str, ...]:
    """Format the values; with all digits if different values would otherwise look the same."""
    words = tuple(NOTHING if _is_nothing(value) else run_metadata.value_words(value) for value in values)
    distinct = len({(type(value), str(value)) for value in values if value is not None})
    if len(set(words)) < distinct:
        return tuple(NOTHING if _is_nothing(value) else short(repr(value), 80) for value in values)
    return words


def _change(
    part: str, described: list[dict[str, object]], *, counts: Callable[[str], bool] = lambda name: False
) -> Change:
    names = dict.fromkeys(name for one in described for name in one)
    found = []
    unrecorded: list[list[str]] = [[] for _ in described]
    for name in names:
        values = tuple(one.get(name) for one in described)
        label = short(str(name).replace("_", " "), 48)
        if not counts(str(name)):
            if all(_is_nothing(value) for value in values):
                continue
            for missing, value in zip(unrecorded, values, strict=True):
                missing.extend([label] if _is_nothing(value) else [])
            recorded = [value for value in values if not _is_nothing(value)]
        else:
            recorded = list(values)
        if any(_differ(recorded[0], value) for value in recorded[1:]):
            found.append(Row(label, words_of(values)))
    # Compared with an unrecorded part, every field would differ.
    known = all(any(not _is_nothing(value) for value in one.values()) for one in described)
    if not known:
        return Change(part, (), known)
    rest = max(0, len(found) - _MOST_ROWS)
    return Change(part, tuple(found[:_MOST_ROWS]), known, rest, tuple(map(tuple, unrecorded)))


def _is_nothing(value: object) -> bool:
    return value is None or value in ("", ())


def _differ(one: object, other: object) -> bool:
    one, other = (None if _is_nothing(value) else value for value in (one, other))
    return one != other and not (_is_nan(one) and _is_nan(other))


def _is_nan(value: object) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _data(run: Run) -> dict[str, object]:
    profile = run.data
    if profile is None:
        return {}
    facts: dict[str, object] = {
        "fingerprint": profile.fingerprint[:16],
        "source": profile.source,
        "kind": profile.kind,
        "preprocessing": profile.preprocessing,
        "classes": len(profile.class_names) or None,
        "features": len(profile.feature_names) or None,
        "skipped": profile.skipped or None,
    }
    for split in profile.splits:
        facts[f"{short(split.split, 20)} samples"] = split.samples
        facts[f"{short(split.split, 20)} shape"] = _shape(split.input_shape)
    return facts


def _code(run: Run) -> dict[str, object]:
    # Fields of the environment that describe the program belong here, the others to the machine.
    code = {name: value for name, value in _fields(run.environment) if name in _OF_CODE}
    return {"command": run.command, **code}


_OF_CODE: Final = ("commit", "code", "script", "changed_files")


def _network(run: Run) -> dict[str, object]:
    model_summary = run.model_summary
    if model_summary is None:
        return {}
    facts: dict[str, object] = {
        "model": model_summary.model,
        "layers": len(model_summary.layers),
        "parameters": model_summary.parameters,
        "trainable parameters": model_summary.trainable_parameters,
        "batch size": model_summary.batch_size or None,
        "loss": ", ".join(f"{one.loss} ({one.reduction})" for one in model_summary.objectives),
        "task": ", ".join(one.task for one in model_summary.objectives),
    }
    for index, optimizer in enumerate(model_summary.optimizers, start=1):
        name = "optimizer" if len(model_summary.optimizers) == 1 else f"optimizer {index}"
        facts[name] = optimizer.kind
        for number, group in enumerate(optimizer.groups, start=1):
            of = f"{name} group {number}" if len(optimizer.groups) > 1 else name
            facts |= {f"{of} {field}": value for field, value in _fields(group) if field in _OF_GROUP}
    for layer in model_summary.layers:
        after = f", {layer.activation}" if layer.activation else ""
        facts[f"layer {layer.name}"] = f"{layer.kind} {_shape(layer.weight_shape)}{after}".strip()
    return facts


_OF_GROUP: Final = ("lr", "weight_decay", "momentum", "betas", "epsilon")


def _environment(run: Run) -> dict[str, object]:
    return {name: value for name, value in _fields(run.environment) if name not in _OF_CODE}


def _fields(record: msgspec.Struct) -> Iterable[tuple[str, object]]:
    return msgspec.structs.asdict(record).items()


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))
