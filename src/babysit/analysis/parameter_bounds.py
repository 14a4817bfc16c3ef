"""Between which values a hyperparameter has a meaning, by its name."""

from __future__ import annotations

import math
from typing import Final

# A share lies below 1; a batch has a sample at least.
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
# What is a real number even where somebody searches it from 1 to 10, and what counts something in any case.
_REAL: Final = frozenset({"lr", "weight_decay", "grad_clip_norm", "init_scale", *VALID}) - {"batch_size"}
_COUNTS: Final = frozenset({"batch_size", "hidden", "channels"})


def valid(name: str) -> tuple[float, float]:
    """The least and the greatest value that a hyperparameter of this name can have."""
    return VALID.get(name, _EVERYTHING)


def bounds(name: str, low: float, *, whole: bool) -> tuple[float, float]:
    """How far a range of this name can be moved: one from zero or above does not go below it, a count not below 1.

    Args:
        name: of the hyperparameter.
        low: the low end of its range.
        whole: whether both of its ends are whole numbers.
    """
    least, most = valid(name)
    if low >= 0:
        least = max(least, 0.0)
    return (max(least, 1.0), most) if low >= 1 and is_count(name, whole=whole) else (least, most)


def is_count(name: str, *, whole: bool) -> bool:
    """Whether it counts something, as far as its name and the ends of its range tell."""
    return name in _COUNTS or (whole and name not in _REAL)


def in_text(name: str, low: float, high: float) -> str:
    """A range as it is typed, with so many digits that it stays inside of what is valid."""
    least, most = valid(name)
    ends = []
    for end in (low, high):
        short = f"{end:.2g}"
        ends.append(short if least <= float(short) <= most else f"{end:g}")
    return f"{name}={ends[0]}..{ends[1]}"
