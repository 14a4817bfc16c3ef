"""Upgrade of records of earlier versions to the current names."""

from __future__ import annotations

import re
from typing import Any, Final

RENAMED_VERSION: Final = 3  # the first version whose records have the new names below

# Fields, settings and measured values: old name, new name.
FIELDS: Final = {
    "anatomy": "model_summary",
    "vitals": "layer_metrics",
    "probes": "experiments",
    "treatments": "fixes",
    "meaning": "message",
    "advice": "recommendation",
    "chain": "output_ops",
    "rate": "lr",
    "rates": "lrs",
    "rate_decay": "lr_decay",
    "rate_end": "lr_end",
    "clip_norm": "grad_clip_norm",
}
# Names of curves and results had the split behind the metric: "loss/validation".
_CURVE: Final = re.compile(r"(?P<metric>loss|accuracy|r2)/(?P<split>train|validation|test)(?P<number>/\d+)?")
_SPLITS: Final = {"validation": "val"}


def current_name(name: str) -> str:
    """Return the current name of a field, setting, curve or result."""
    match = _CURVE.fullmatch(name)
    if match is None:
        return FIELDS.get(name, name)
    split = _SPLITS.get(match["split"], match["split"])
    return f"{split}/{match['metric']}{match['number'] or ''}"


def with_current_names(value: Any) -> Any:
    """Rename the keys of a record in plain values at every depth; other values are unchanged."""
    if isinstance(value, dict):
        renamed = {current_name(key) if isinstance(key, str) else key: item for key, item in value.items()}
        return {key: with_current_names(item) for key, item in renamed.items()}
    if isinstance(value, list | tuple):
        return [with_current_names(item) for item in value]
    return value
