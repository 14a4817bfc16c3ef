"""Valid ranges of hyperparameters by name."""

from __future__ import annotations

import math
from typing import Final

# Fractions lie below 1; a batch has at least one sample.
VALID: Final[dict[str, tuple[float, float]]] = {
    "dropout": (0.0, 0.95),
    "momentum": (0.0, 0.999),
    "label_smoothing": (0.0, 0.9),
    "beta1": (0.0, 0.9999),
    "beta2": (0.0, 0.99999),
    "lr_decay": (0.0, 1.0),
    "lr_end": (0.0, 1.0),
    "batch_size": (1.0, math.inf),
}
_EVERYTHING: Final = (-math.inf, math.inf)
# Continuous parameters, even with an integer range such as 1 to 10, and parameters that are always counts.
_REAL: Final = frozenset({"lr", "weight_decay", "grad_clip_norm", "init_scale", *VALID}) - {"batch_size"}
_COUNTS: Final = frozenset({"batch_size", "hidden", "channels"})


def valid(name: str) -> tuple[float, float]:
    """Return the lowest and highest valid value of a hyperparameter."""
    return VALID.get(name, _EVERYTHING)


def bounds(name: str, low: float, *, whole: bool) -> tuple[float, float]:
    """Return the bounds for moving a range: a non-negative range stays non-negative, a count stays at or above 1.

    Args:
        name: name of the hyperparameter.
        low: low end of its range.
        whole: whether both of its ends are whole numbers.
    """
    lowest, highest = valid(name)
    if low >= 0:
        lowest = max(lowest, 0.0)
    return (max(lowest, 1.0), highest) if low >= 1 and is_count(name, whole=whole) else (lowest, highest)


def is_count(name: str, *, whole: bool) -> bool:
    """Check whether the parameter is a count, by its name and the ends of its range."""
    return name in _COUNTS or (whole and name not in _REAL)


def in_text(name: str, low: float, high: float) -> str:
    """Format a range as command-line text, with enough digits to stay within the valid bounds."""
    lowest, highest = valid(name)
    ends = []
    for end in (low, high):
        short = f"{end:.2g}"
        ends.append(short if lowest <= float(short) <= highest else f"{end:g}")
    return f"{name}={ends[0]}..{ends[1]}"
