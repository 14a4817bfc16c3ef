"""A search space as it is typed: `rate=1e-4..1e-1 weight_decay=1e-6..1e-2 hidden=32,64`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from babysit.records.problem import UserError
from babysit.records.trial import Value
from babysit.tuning.space import Choice, Dimension, Scale, Space

# Shares of something: they add up rather than multiply, and zero is one of their values.
_SHARES: Final = frozenset({"dropout", "momentum", "label_smoothing"})
_EXAMPLE: Final = "Write e.g. rate=1e-4..1e-1 dropout=0..0.5:linear hidden=32,64"


def read_space(text: str | Iterable[str]) -> Space:
    """A space from its text form, given as one text or as a list of parts.

    `name=low..high` is a range, logarithmic unless `:linear` follows (dropout, momentum and label_smoothing are linear
    by themselves; `:log` overrides); `name=a,b,c` is a choice and `name=a` a fixed value.

    Raises:
        UserError: a part cannot be read; the message holds it.
    """
    parts = text.split() if isinstance(text, str) else [part for item in text for part in item.split()]
    dimensions: dict[str, Dimension] = {}
    for part in parts:
        name, equals, values = part.partition("=")
        if not (name and equals and values):
            raise UserError("this is not a hyperparameter and its values", where=part, do=_EXAMPLE)
        if not name.isidentifier():
            raise UserError("this is not a name for a hyperparameter", where=name, do=_EXAMPLE)
        if name in dimensions:
            raise UserError(f"{name} is given twice", where=part, do="Give each hyperparameter once")
        dimensions[name] = _dimension(name, values, part)
    return Space(dimensions)


def _dimension(name: str, values: str, part: str) -> Dimension:
    if ".." in values:
        return _scale(name, values, part)
    if any(not item.strip() for item in values.split(",")):
        raise UserError("a value is missing between two commas", where=part, do=_EXAMPLE)
    return Choice(tuple(_value(item.strip()) for item in values.split(",")))


def _scale(name: str, values: str, part: str) -> Scale:
    ends, _, kind = values.partition(":")
    if kind not in ("", "linear", "log"):
        raise UserError(f"a range is linear or log, not {kind!r}", where=part, do=_EXAMPLE)
    low, _, high = ends.partition("..")
    try:
        if high.startswith("."):  # three dots: "1e-4...1e-1" would be read as 1e-4 to .1e-1
            raise ValueError(high)
        bounds = float(low), float(high)
    except ValueError as problem:
        raise UserError("a range needs two numbers", where=part, do=_EXAMPLE) from problem
    try:
        return Scale(*bounds, linear=kind == "linear" or (not kind and name in _SHARES))
    except UserError as problem:
        do = problem.do.replace("make the range linear", f"write {name}={ends}:linear")
        raise UserError(problem.what, where=part, do=do) from problem


def _value(text: str) -> Value:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
