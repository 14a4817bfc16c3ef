"""Search spaces: a range or a list of choices for each hyperparameter."""

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
    """A range of numbers, sampled logarithmically unless `linear`.

    Learning rates, penalties and sizes act multiplicatively, so 1e-4 to 1e-3 deserves as many trials as 1e-3 to 1e-2
    (CS231n lecture 6: `10 ** uniform(-5, -3)`).

    Raises:
        UserError: the ends are not finite, not in order, or not positive on a logarithmic scale.
    """

    low: float
    high: float
    linear: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        """Validate the ends."""
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
        """Return a low end to suggest for a range whose ends are swapped."""
        return self.high if self.linear or self.high > 0 else self.low / 1000

    @property
    def whole(self) -> bool:
        """Check whether both ends are integers (32, not 32.0)."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def position(self, value: float) -> float:
        """Return the relative position of a value: 0 at the low end, 1 at the high end, outside [0, 1] beyond them."""
        low, high, here = (
            (self.low, self.high, value)
            if self.linear
            else (math.log(self.low), math.log(self.high), math.log(max(value, 1e-300)))
        )
        return (here - low) / (high - low)

    def value(self, position: float) -> float:
        """Return the number at a position; the inverse of `position`.

        Rounded to drop digits that are rounding errors: a number reached from two ranges is the same number.
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
        UserError: the list is empty, has duplicates or contains NaN.
    """

    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        """Validate the values."""
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
        """Convert the values to a tuple."""
        object.__setattr__(self, "values", tuple(self.values))

    def __str__(self) -> str:
        return f"{self.name}={','.join(map(str, self.values))}"


@final
@dataclass(frozen=True)
class Space:
    """The hyperparameters to search, by name, and the conditions under which some of them exist.

    The trainer uses some names (lr, weight_decay, optimizer, …: `babysit search --help`); every name is also passed to
    the function that builds the model.

    Raises:
        UserError: it is empty, a range exceeds the valid values of its name (a dropout above 1), or a condition cannot
            hold.
    """

    dimensions: Mapping[str, Dimension]
    when: Mapping[str, Condition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Validate the ranges and conditions."""
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
        """Return the names, each after the one that its condition refers to."""
        placed: list[str] = []
        waiting = list(self.dimensions)
        while waiting:
            ready = [name for name in waiting if name not in self.when or self.when[name].name in placed]
            placed += ready
            waiting = [name for name in waiting if name not in ready]
        return placed

    def active(self, name: str, parameters: Mapping[str, Value]) -> bool:
        """Check whether a hyperparameter exists given the values of the others."""
        condition = self.when.get(name)
        return condition is None or parameters.get(condition.name) in condition.values

    def narrowed(self, dimensions: Mapping[str, Dimension]) -> Space:
        """Return the space with these ranges, without hyperparameters whose condition can no longer hold."""
        remaining = dict(dimensions)
        when: dict[str, Condition] = {}
        for name in self.ordered:
            condition = self.when.get(name)
            if condition is None:
                continue
            parent = remaining.get(condition.name)
            values = tuple(
                value for value in condition.values if isinstance(parent, Categorical) and value in parent.values
            )
            if values:
                when[name] = Condition(condition.name, values)
            else:
                del remaining[name]
        return Space(remaining, when)

    def examples(self) -> list[dict[str, Value]]:
        """Return a configuration from the middle of the space, and one for each conditional hyperparameter."""
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
        """Return the hyperparameters that have a range."""
        return {name: dimension for name, dimension in self.dimensions.items() if isinstance(dimension, Range)}

    @property
    def warnings(self) -> dict[str, str]:
        """Return warnings by name: ranges over two or more decades that are sampled linearly."""
        return {
            name: f"a linear range from {scale.low:g} to {scale.high:g} rarely samples small values: 90 % of the "
            f"trials lie above {scale.value(0.1):g}; a logarithmic range samples every order of magnitude equally"
            for name, scale in self.scales.items()
            # Two decades: below that, linear and logarithmic draws differ little.
            if scale.linear and math.isinf(valid(name)[1]) and (scale.low == 0 or scale.high / scale.low >= 100)
        }


def _check_condition(name: str, condition: Condition, space: Space) -> None:
    text = f"{name}@{condition}"
    if name not in space.dimensions:
        raise UserError(f"there is no {name} in the search space", where=text, do="Give it a range or choices")
    parent = space.dimensions.get(condition.name)
    if not isinstance(parent, Categorical):
        known = (
            ", ".join(key for key, value in space.dimensions.items() if isinstance(value, Categorical)) or "none yet"
        )
        raise UserError(
            f"{name} depends on {condition.name}, which is not one of the choices ({known})",
            where=text,
            do=f"Give the choices of {condition.name} too, e.g. {condition.name}=a,b",
        )
    missing = [str(value) for value in condition.values if value not in parent.values]
    if missing or not condition.values:
        raise UserError(
            f"{condition.name} is never {', '.join(missing) or 'anything'}",
            where=text,
            do=f"Use one of {', '.join(map(str, parent.values))}",
        )
    seen = [name]
    while condition := space.when.get(seen[-1]):  # type: ignore[assignment]  # None ends it
        if condition.name in seen:
            raise UserError("hyperparameters have circular conditions", where=" -> ".join(seen))
        seen.append(condition.name)
