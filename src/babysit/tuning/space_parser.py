"""A search space as it is typed: `lr=1e-4..1e-1 weight_decay=1e-6..1e-2 hidden=32,64`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from babysit.records.errors import UserError
from babysit.records.trial import Value
from babysit.tuning.space import Categorical, Condition, Dimension, Range, Space

# Shares of something: they add up rather than multiply, and zero is one of their values.
_SHARES: Final = frozenset({"dropout", "momentum", "label_smoothing", "beta1", "beta2", "lr_decay"})
_EXAMPLE: Final = "Write e.g. lr=1e-4..1e-1 dropout=0..0.5:linear hidden=32,64"
# Between two hyperparameters: a space, or a comma before the next `name=`.
_BETWEEN: Final = re.compile(r"\s+|,(?=[A-Za-z_]\w*=)")


def read_space(text: str | Iterable[str]) -> Space:
    """A space from its text form, given as one text or as a list of parts, separated by spaces or commas.

    `name=low..high` is a range, logarithmic unless `:linear` follows (shares such as dropout or momentum are linear by
    themselves; `:log` overrides); `name=a,b,c` is a choice and `name=a` a fixed value. With `@other=a,b` behind
    it a hyperparameter exists only where the other one is a or b: `momentum=0.5..0.99@optimizer=sgd`.

    Raises:
        UserError: a part cannot be read; the message holds it.
    """
    items = [text] if isinstance(text, str) else text
    dimensions: dict[str, Dimension] = {}
    when: dict[str, Condition] = {}
    for part in (part for item in items for part in _BETWEEN.split(item) if part):
        given, at, condition = part.partition("@")
        name, equals, values = given.partition("=")
        if not (name and equals and values):
            raise UserError("this is not a hyperparameter and its values", where=part, do=_EXAMPLE)
        if not name.isidentifier():
            raise UserError("this is not a name for a hyperparameter", where=name, do=_EXAMPLE)
        if name in dimensions:
            raise UserError(f"{name} is given twice", where=part, do="Give each hyperparameter once")
        dimensions[name] = _dimension(name, values, part)
        if at:
            when[name] = _condition(condition, part)
    return Space(dimensions, when)


def _condition(text: str, part: str) -> Condition:
    name, equals, values = text.partition("=")
    if not (name and equals and values):
        raise UserError("behind @ stands no condition", where=part, do="Write e.g. momentum=0.5..0.99@optimizer=sgd")
    return Condition(name, tuple(_value(item.strip()) for item in values.split(",")))


def text_of(space: Space) -> str:
    """The text form of a space; `read_space` gives the same space again."""
    return " ".join(_part(name, dimension, space.when.get(name)) for name, dimension in space.dimensions.items())


def _part(name: str, dimension: Dimension, condition: Condition | None) -> str:
    if isinstance(dimension, Categorical):
        values = ",".join(map(str, dimension.values))
    else:
        values = f"{dimension.low!r}..{dimension.high!r}:{'linear' if dimension.linear else 'log'}"
    return f"{name}={values}{f'@{condition}' if condition else ''}"


def _dimension(name: str, values: str, part: str) -> Dimension:
    if ".." in values:
        return _scale(name, values, part)
    if any(not item.strip() for item in values.split(",")):
        raise UserError("a value is missing between two commas", where=part, do=_EXAMPLE)
    return Categorical(tuple(_value(item.strip()) for item in values.split(",")))


def _scale(name: str, values: str, part: str) -> Range:
    ends, _, kind = values.partition(":")
    if kind not in ("", "linear", "log"):
        raise UserError(f"a range is linear or log, not {kind!r}", where=part, do=_EXAMPLE)
    low, _, high = ends.partition("..")
    try:
        if high.startswith("."):  # three dots: "1e-4...1e-1" would be read as 1e-4 to .1e-1
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
    """Whole numbers stay whole: what is searched from 16 to 256 counts something."""
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
