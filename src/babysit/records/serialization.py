"""Serialization of records: MessagePack for storage, JSON for export."""

from __future__ import annotations

import math
from typing import Any, TypeVar

import msgspec
import numpy as np

from babysit.records.errors import UserError
from babysit.records.run import VERSION, Run
from babysit.records.upgrades import RENAMED_VERSION, with_current_names

Record = TypeVar("Record")


class NewerError(UserError):
    """A record written by a newer version of babysit."""


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        # Little-endian on every machine, so that a store is portable.
        array = np.ascontiguousarray(value).astype(value.dtype.newbyteorder("<"), copy=False)
        return {"dtype": array.dtype.str, "shape": list(array.shape), "bytes": array.tobytes()}
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"records hold no {type(value).__name__}")


def _decode(kind: type, value: Any) -> Any:
    if kind is np.ndarray or getattr(kind, "__origin__", None) is np.ndarray:
        dtype = np.dtype(value["dtype"])
        if dtype.hasobject:  # an array of Python objects could execute code when read
            raise ValueError("records hold numbers, not objects")
        return np.frombuffer(value["bytes"], dtype=dtype).reshape(value["shape"])
    raise NotImplementedError(f"records hold no {kind}")


def to_bytes(record: Any) -> bytes:
    """Encode a record as MessagePack; arrays keep their dtype and every bit.

    Lone surrogates, which are valid in Python strings but not in UTF-8, become question marks.
    """
    try:
        return msgspec.msgpack.encode(record, enc_hook=_encode)
    except UnicodeEncodeError:
        plain = msgspec.to_builtins(record, enc_hook=_encode, builtin_types=(bytes,))
        return msgspec.msgpack.encode(_valid_unicode(plain))


def _valid_unicode(value: Any) -> Any:
    """Replace lone surrogates in all strings of plain values."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_valid_unicode(key): _valid_unicode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_valid_unicode(item) for item in value]
    return value


def from_bytes(payload: bytes, kind: type[Record]) -> Record:
    """Decode a record. Raises UserError if the bytes are invalid or were written by a newer babysit."""
    try:
        record = msgspec.msgpack.decode(payload, type=kind, dec_hook=_decode)
        if isinstance(record, Run) and record.version < RENAMED_VERSION:
            plain = with_current_names(msgspec.msgpack.decode(payload))
            record = msgspec.convert(plain, type=kind, dec_hook=_decode)
    except Exception as problem:  # invalid bytes raise any exception, in NumPy as well as in msgspec
        name = getattr(kind, "__name__", str(kind))
        raise UserError(f"this is not a readable {name} record: {problem or type(problem).__name__}") from problem
    if isinstance(record, Run) and record.version > VERSION:
        raise NewerError(
            f"this run was written by a newer babysit (records version {record.version}, supported: {VERSION})",
            do="Update babysit to read it",
        )
    return record


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no NaN; strings preserve the value, which null would lose.
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    if isinstance(value, dict):
        return {_valid_unicode(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return _valid_unicode(value)


def to_json(record: Any) -> str:
    """Encode a record as indented JSON; arrays become lists, NaN and infinities become strings."""
    plain = msgspec.to_builtins(record, enc_hook=_plain, builtin_types=(bytes,))
    return msgspec.json.format(msgspec.json.encode(_plain(plain)), indent=2).decode()
