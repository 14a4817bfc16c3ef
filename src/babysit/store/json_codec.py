"""Bit-exact conversion of records to plain JSON values and back, for export and import.

Arrays are `{"dtype": "<f4", "shape": [2], "values": [0.5, "nan"]}`; a non-finite number is `"nan"`, `"inf"` or
`"-inf"` in an array and `{"number": "nan"}` elsewhere.
"""

from __future__ import annotations

import math
from typing import Any, Final, TypeVar

import msgspec
import numpy as np

from babysit.records.arrays import Array
from babysit.records.errors import UserError

Record = TypeVar("Record")

_NUMBER: Final = "number"
_KINDS: Final = "biuf"  # booleans, integers, floats


def to_plain(record: Any) -> Any:
    """Convert a record to JSON-compatible values."""
    return _without_infinities(msgspec.to_builtins(record, enc_hook=_of_array))


def from_plain(value: Any, kind: type[Record]) -> Record:
    """Rebuild a record. Raises UserError if the values do not match."""
    try:
        return msgspec.convert(_with_infinities(value), kind, dec_hook=_to_array)
    except (msgspec.ValidationError, ValueError, TypeError, KeyError) as problem:
        raise UserError(f"this is not a {kind.__name__} that babysit wrote: {problem}") from problem


def plain_dtype(name: str) -> np.dtype[Any]:
    """Return the dtype of a name. Raises ValueError if it is not numeric."""
    dtype = np.dtype(name)
    if dtype.kind not in _KINDS:
        raise ValueError(f"records hold numbers, not {name}")
    return dtype


def _of_array(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        dtype = value.dtype.newbyteorder("<").str
        return {"dtype": dtype, "shape": list(value.shape), "values": [_word(one) for one in value.ravel().tolist()]}
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"records hold no {type(value).__name__}")


def _to_array(kind: type, value: Any) -> Any:
    if kind is np.ndarray or getattr(kind, "__origin__", None) is np.ndarray:
        dtype = plain_dtype(value["dtype"])
        return array_of(value["values"], dtype).reshape(value["shape"])
    raise NotImplementedError(f"records hold no {kind}")


def array_of(values: list[Any], dtype: np.dtype[Any]) -> Array:
    """Build an array of numbers, non-finite ones as words."""
    return np.array([float(one) for one in values] if dtype.kind == "f" else values, dtype=dtype)


def _word(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _without_infinities(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_NUMBER: str(value)}
    if isinstance(value, dict):
        return {key: _without_infinities(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinities(item) for item in value]
    return value


def _with_infinities(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_NUMBER} and value[_NUMBER] in ("nan", "inf", "-inf"):
            return float(value[_NUMBER])
        return {key: _with_infinities(item) for key, item in value.items()}
    return [_with_infinities(item) for item in value] if isinstance(value, list) else value
