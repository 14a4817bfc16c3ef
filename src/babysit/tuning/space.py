"""What is searched: one range or one list of choices for every hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias, final

from babysit.analysis.parameter_bounds import valid
from babysit.analysis.trials import DIGITS
from babysit.records.errors import UserError
from babysit.records.trial import Value


@final
@dataclass(frozen=True)
class Range:
    """A range of numbers, tried evenly per factor of ten unless it says `linear`.

    Learning rates, penalties and sizes act by factors, so 1e-4 to 1e-3 deserves as many trials as 1e-3 to 1e-2 (CS231n
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
                do="Give two different numbers" if self.low == self.high else f"Use {self._least:g}..{self.low:g}",
            )
        if not self.linear and self.low <= 0:
            raise UserError(
                "a logarithmic range cannot begin at or below zero",
                where=shown,
                do=f"Begin above zero ({self.high / 1000 if self.high > 0 else 1e-4:g}), or make the range linear",
            )

    @property
    def _least(self) -> float:
        """A low end for a range that was given the wrong way round."""
        return self.high if self.linear or self.high > 0 else self.low / 1000

    @property
    def whole(self) -> bool:
        """Whether both ends were given as whole numbers (32, not 32.0)."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def position(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end, beyond them outside the range."""
        low, high, here = (
            (self.low, self.high, value)
            if self.linear
            else (math.log(self.low), math.log(self.high), math.log(max(value, 1e-300)))
        )
        return (here - low) / (high - low)

    def value(self, position: float) -> float:
        """The number at a position; the inverse of `position`.

        Without the digits that are rounding errors: a number reached from two ranges is the same number.
        """
        if self.linear:
            exact = self.low + position * (self.high - self.low)
        else:
            exact = math.exp(math.log(self.low) + position * (math.log(self.high) - math.log(self.low)))
        return float(f"{exact:.{DIGITS}g}")


@final
@dataclass(frozen=True)
class Categorical:
    """A list of values to choose from.

    Raises:
        UserError: there are none, one of them twice, or one that is not a number.
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Refuses an empty list and doubles."""
        object.__setattr__(self, "values", tuple(self.values))
        if not self.values:
            raise UserError("a choice needs at least one value")
        if any(isinstance(value, float) and math.isnan(value) for value in self.values):
            raise UserError("NaN is not a value", where=", ".join(map(str, self.values)), do="Leave it out")
        if len({(type(value), value) for value in self.values}) < len(self.values):
            listed = ", ".join(map(str, self.values))
            raise UserError("a choice lists the same value twice", where=listed, do="Name each once")


Dimension: TypeAlias = Range | Categorical


@final
@dataclass(frozen=True)
class Condition:
    """A hyperparameter exists only where another one has one of these values (momentum only with some optimizers)."""

    name: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Takes any sequence of values."""
        object.__setattr__(self, "values", tuple(self.values))

    def __str__(self) -> str:
        return f"{self.name}={','.join(map(str, self.values))}"


@final
@dataclass(frozen=True)
class Space:
    """The hyperparameters to search, by name, and which of them exist only beside a certain choice of another.

    The trainer itself understands some names (learning rate, weight_decay, optimizer, …: `babysit search --help`);
    every name is also handed to the function that builds the model.

    Raises:
        UserError: it is empty, a range leaves what its name can mean (a dropout above 1), or a condition cannot hold.
    """

    dimensions: Mapping[str, Dimension]
    when: Mapping[str, Condition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuses an empty space and impossible ranges."""
        object.__setattr__(self, "dimensions", dict(self.dimensions))
        if not self.dimensions:
            raise UserError("there is nothing to search", do="Give at least one range, e.g. lr=1e-4..1e-1")
        for name, dimension in self.dimensions.items():
            if isinstance(dimension, Range):
                low, high = valid(name)
                if not low <= dimension.low < dimension.high <= high:
                    limits = f"between {low:g} and {high:g}" if math.isfinite(high) else f"at {low:g} or above"
                    raise UserError(f"{name} must lie {limits}", where=f"{dimension.low:g}..{dimension.high:g}")
        object.__setattr__(self, "when", dict(self.when))
        for name, condition in self.when.items():
            _check_condition(name, condition, self)

    @property
    def ordered(self) -> list[str]:
        """The names, each after the one that its condition is about."""
        placed: list[str] = []
        waiting = list(self.dimensions)
        while waiting:
            ready = [name for name in waiting if name not in self.when or self.when[name].name in placed]
            placed += ready
            waiting = [name for name in waiting if name not in ready]
        return placed

    def active(self, name: str, parameters: Mapping[str, Value]) -> bool:
        """Whether a hyperparameter exists beside these values of the others."""
        condition = self.when.get(name)
        return condition is None or parameters.get(condition.name) in condition.values

    def narrowed(self, dimensions: Mapping[str, Dimension]) -> Space:
        """The same hyperparameters with these ranges; one whose condition can no longer hold falls away."""
        kept = dict(dimensions)
        when: dict[str, Condition] = {}
        for name in self.ordered:
            condition = self.when.get(name)
            if condition is None:
                continue
            parent = kept.get(condition.name)
            values = tuple(
                value for value in condition.values if isinstance(parent, Categorical) and value in parent.values
            )
            if values:
                when[name] = Condition(condition.name, values)
            else:
                del kept[name]
        return Space(kept, when)

    def examples(self) -> list[dict[str, Value]]:
        """A configuration from the middle of the space, and one more for each that exists only by a condition."""
        found: list[dict[str, Value]] = []
        for conditional in ("", *self.when):
            forced: dict[str, Value] = {}
            wanted = conditional
            while condition := self.when.get(wanted):
                forced[condition.name] = condition.values[0]
                wanted = condition.name
            example: dict[str, Value] = {}
            for name in self.ordered:
                dimension = self.dimensions[name]
                if self.active(name, example):
                    middle = dimension.values[0] if isinstance(dimension, Categorical) else dimension.value(0.5)
                    example[name] = forced.get(name, middle)
            found.append(example)
        return found

    @property
    def scales(self) -> dict[str, Range]:
        """The hyperparameters that have a range."""
        return {name: dimension for name, dimension in self.dimensions.items() if isinstance(dimension, Range)}

    @property
    def warnings(self) -> dict[str, str]:
        """By name, what is legal and yet unwise: a scale over two or more decades that is searched linearly."""
        return {
            name: f"a linear search over {scale.low:g} to {scale.high:g} hardly tries the small values: nine in ten "
            f"trials lie above {scale.value(0.1):g}; a logarithmic range tries every size alike"
            for name, scale in self.scales.items()
            # Two decades: below that, linear and logarithmic draws differ little.
            if scale.linear and math.isinf(valid(name)[1]) and (scale.low == 0 or scale.high / scale.low >= 100)
        }


def _check_condition(name: str, condition: Condition, space: Space) -> None:
    said = f"{name}@{condition}"
    if name not in space.dimensions:
        raise UserError(f"there is no {name} in the search space", where=said, do="Give it a range or choices")
    parent = space.dimensions.get(condition.name)
    if not isinstance(parent, Categorical):
        known = (
            ", ".join(key for key, value in space.dimensions.items() if isinstance(value, Categorical)) or "none yet"
        )
        raise UserError(
            f"{name} depends on {condition.name}, which is not one of the choices ({known})",
            where=said,
            do=f"Give the choices of {condition.name} too, e.g. {condition.name}=a,b",
        )
    missing = [str(value) for value in condition.values if value not in parent.values]
    if missing or not condition.values:
        raise UserError(
            f"{condition.name} is never {', '.join(missing) or 'anything'}",
            where=said,
            do=f"Use one of {', '.join(map(str, parent.values))}",
        )
    seen = [name]
    while condition := space.when.get(seen[-1]):  # type: ignore[assignment]  # None ends it
        if condition.name in seen:
            raise UserError("hyperparameters depend on each other in a circle", where=" -> ".join(seen))
        seen.append(condition.name)
