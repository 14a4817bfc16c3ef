"""Parses and formats search spaces: `lr=1e-4..1e-1 weight_decay=1e-6..1e-2 hidden=32,64`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from babysit.records.errors import UserError
from babysit.records.trial import Value
from babysit.tuning.space import Categorical, Condition, Dimension, Range, Space

# Fractions: they act additively rather than multiplicatively, and zero is a valid value.
_SHARES: Final = frozenset({"dropout", "momentum", "label_smoothing", "beta1", "beta2", "lr_decay"})
_EXAMPLE: Final = "Write e.g. lr=1e-4..1e-1 dropout=0..0.5:linear hidden=32,64"
# Separates two hyperparameters: white space, or a comma before the next `name=`.
_BETWEEN: Final = re.compile(r"\s+|,(?=[A-Za-z_]\w*=)")


def read_space(text: str | Iterable[str]) -> Space:
    """Parse a space from its text form: one text or a list of parts, separated by spaces or commas.

    `name=low..high` is a range, logarithmic unless `:linear` follows (fractions such as dropout or momentum default to
    linear; `:log` overrides); `name=a,b,c` is a choice and `name=a` a fixed value. With `@other=a,b` appended, a
    hyperparameter exists only where the other one is a or b: `momentum=0.5..0.99@optimizer=sgd`.

    Raises:
        UserError: a part cannot be parsed; the message contains it.
    """
    items = [text] if isinstance(text, str) else text
    dimensions: dict[str, Dimension] = {}
    when: dict[str, Condition] = {}
    for part in (part for item in items for part in _BETWEEN.split(item) if part):
        given, at, condition = part.partition("@")
        name, equals, values = given.partition("=")
        if not (name and equals and values):
            raise UserError("expected name=values", where=part, do=_EXAMPLE)
        if not name.isidentifier():
            raise UserError("not a valid hyperparameter name", where=name, do=_EXAMPLE)
        if name in dimensions:
            raise UserError(f"{name} is given twice", where=part, do="Give each hyperparameter once")
        dimensions[name] = _dimension(name, values, part)
        if at:
            when[name] = _condition(condition, part)
    return Space(dimensions, when)


def _condition(text: str, part: str) -> Condition:
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise UserError(
            "expected a condition (name=value) after @", where=part, do="Write e.g. momentum=0.5..0.99@optimizer=sgd"
        )
    return Condition(name, tuple(_value(item.strip()) for item in values.split(",")))


def text_of(space: Space) -> str:
    """Return the text form of a space, the inverse of `read_space`."""
    return " ".join(_part(name, dimension, space.when.get(name)) for name, dimension in space.dimensions.items())


def _part(name: str, dimension: Dimension, condition: Condition | None) -> str:
    if isinstance(dimension, Categorical):
        values = ",".join(map(str, dimension.values))
    else:
        values = f"{dimension.low!r}..{dimension.high!r}:{'linear' if dimension.linear else 'log'}"
    return f"{name}={values}{f'@{condition}' if condition else ''}"


def _dimension(name: str, values: str, part: str) -> Dimension:
    if ".." in values:
        return _range(name, values, part)
    if any(not item.strip() for item in values.split(",")):
        raise UserError("empty value between two commas", where=part, do=_EXAMPLE)
    return Categorical(tuple(_value(item.strip()) for item in values.split(",")))


def _range(name: str, values: str, part: str) -> Range:
    ends, _, kind = values.partition(":")
    if kind not in ("", "linear", "log"):
        raise UserError(f"a range is linear or log, not {kind!r}", where=part, do=_EXAMPLE)
    low, _, high = ends.partition("..")
    try:
        if high.startswith("."):  # "1e-4...1e-1" would be parsed as 1e-4 to .1e-1
            raise ValueError(high)
        bounds = _bound(low), _bound(high)
    except ValueError as problem:
        raise UserError("a range needs two numbers", where=part, do=_EXAMPLE) from problem
    try:
        return Range(*bounds, linear=kind == "linear" or (not kind and name in _SHARES))
    except UserError as problem:
        do = problem.do.replace("make the range linear", f"write {name}={ends}:linear")
        raise UserError(problem.what, where=part, do=do) from problem


def _bound(text: str) -> float:
    """Parse a number; integers stay integers, since a range from 16 to 256 is one of counts."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def _value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
