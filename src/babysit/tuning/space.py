"""What is searched: one range or one list of choices for every hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias, final

from babysit.records.problem import UserError
from babysit.records.trial import Value

# Beyond these a value has no meaning (a share lies below 1), so a range is never moved past them.
_VALID: Final[dict[str, tuple[float, float]]] = {
    "dropout": (0.0, 0.95),
    "momentum": (0.0, 0.999),
    "label_smoothing": (0.0, 0.9),
}
_EVERYTHING: Final = (-math.inf, math.inf)


@final
@dataclass(frozen=True)
class Scale:
    """A range of numbers, tried evenly per factor of ten unless it says `linear`.

    Rates, penalties and sizes act by factors, so 1e-4 to 1e-3 deserves as many trials as 1e-3 to 1e-2 (CS231n
    lecture 6: `10 ** uniform(-5, -3)`).

    Raises:
        UserError: the ends are not finite, not in order, or not positive on a logarithmic scale.
    """

    low: float
    high: float
    linear: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Refuses a range that nothing can be drawn from."""
        shown = f"{self.low:g}..{self.high:g}"
        if not (math.isfinite(self.low) and math.isfinite(self.high)):
            raise UserError("the ends of a range must be finite numbers", where=shown, do="Use e.g. 1e-4..1e-1")
        if self.low >= self.high:
            raise UserError(
                "the low end of a range must lie below its high end",
                where=shown,
                do=f"Use {self.high:g}..{self.low:g}" if self.low > self.high else "Give two different numbers",
            )
        if not self.linear and self.low <= 0:
            raise UserError(
                "a logarithmic range cannot begin at or below zero",
                where=shown,
                do=f"Begin above zero ({self.high / 1000 if self.high > 0 else 1e-4:g}), or make the range linear",
            )

    def position(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end, beyond them outside the range."""
        low, high, here = (
            (self.low, self.high, value)
            if self.linear
            else (math.log(self.low), math.log(self.high), math.log(max(value, 1e-300)))
        )
        return (here - low) / (high - low)

    def value(self, position: float) -> float:
        """The number at a position; the inverse of `position`."""
        if self.linear:
            return self.low + position * (self.high - self.low)
        return math.exp(math.log(self.low) + position * (math.log(self.high) - math.log(self.low)))


@final
@dataclass(frozen=True)
class Choice:
    """A list of values to choose from.

    Raises:
        UserError: there are none, or one of them twice.
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Refuses an empty list and doubles."""
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise UserError("a choice needs at least one value")
        if len({(type(value), value) for value in self.values}) < len(self.values):
            listed = ", ".join(map(str, self.values))
            raise UserError("a choice lists the same value twice", where=listed, do="Name each once")


Dimension: TypeAlias = Scale | Choice


@final
@dataclass(frozen=True)
class Space:
    """The hyperparameters to search, by name.

    The trainer itself understands rate, weight_decay, optimizer and batch_size; every name is also handed
    to the function that builds the model.

    Raises:
        UserError: it is empty, or a range leaves what its name can mean (a dropout above 1).
    """

    dimensions: Mapping[str, Dimension]

    def __post_init__(self) -> None:
        """Refuses an empty space and impossible ranges."""
        object.__setattr__(self, "dimensions", dict(self.dimensions))
        if not self.dimensions:
            raise UserError("there is nothing to search", do="Give at least one range, e.g. rate=1e-4..1e-1")
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, Scale):
                low, high = valid(name)
                if not low <= dimension.low < dimension.high <= high:
                    raise UserError(
                        f"{name} must lie between {low:g} and {high:g}", where=f"{dimension.low:g}..{dimension.high:g}"
                    )

    @property
    def scales(self) -> dict[str, Scale]:
        """The hyperparameters that have a range."""
        return {name: dimension for name, dimension in self.dimensions.items() if isinstance(dimension, Scale)}

    @property
    def warnings(self) -> dict[str, str]:
        """By name, what is legal and yet unwise: a scale over two or more decades that is searched linearly."""
        return {
            name: f"a linear search over {scale.low:g} to {scale.high:g} hardly tries the small values: nine in ten "
            f"trials lie above {scale.value(0.1):g}; a logarithmic range tries every size alike"
            for name, scale in self.scales.items()
            # Two decades: below that, linear and logarithmic draws differ little.
            if scale.linear and name not in _VALID and (scale.low == 0 or scale.high / scale.low >= 100)
        }


def valid(name: str) -> tuple[float, float]:
    """The least and the greatest value that a hyperparameter of this name can have."""
    return _VALID.get(name, _EVERYTHING)
