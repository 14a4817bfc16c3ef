"""Append-only spool files that hold changes until the store can be written again.

A spool is a sequence of frames: length and CRC-32 (little-endian, four bytes each), then MessagePack. The first frame
is the header; every other one holds a list of changes. A file that ends in `.open` belongs to an active writer.
"""

from __future__ import annotations

import os
import secrets
import stat
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, final

import msgspec

from babysit.records.errors import UserError
from babysit.records.reading import require_file
from babysit.records.serialization import from_bytes, to_bytes
from babysit.store.backend import Backend
from babysit.store.rows import PartRow, RunRow, SegmentRow
from babysit.store.run_id import ProcessInfo, is_alive, this_process
from babysit.store.schema import SCHEMA_VERSION

_FRAME = struct.Struct("<II")
_CLOSED: Final = ".spool"
_OPEN: Final = ".spool.open"

# Whether a writer on another machine is alive cannot be checked; it counts as ended after a day without a write.
_ABANDONED_SECONDS = 86_400.0

# A frame's length has four bytes.
MOST_BYTES: Final = 1 << 32

Changes = list[RunRow | PartRow | SegmentRow]


class Header(msgspec.Struct, frozen=True):
    """The owner of a spool and the schema version of its rows."""

    schema: int
    owner: ProcessInfo


# Files of active writers of this process.
_held: set[Path] = set()


@final
class Spool:
    """The spool files of one writer: usually one, another when the first cannot be extended; none while empty."""

    def __init__(self, backend: Backend) -> None:
        self._folders = backend.spools.folders
        self._token = secrets.token_hex(6)
        self.paths: list[Path] = []

    def append(self, changes: Sequence[RunRow | PartRow | SegmentRow]) -> Path:
        """Append changes and sync them to disk. Raises OSError if no folder can be written."""
        frame = _framed(to_bytes(changes))
        with suppress(OSError):
            if self.paths:
                _add(self.paths[-1], frame)
                return self.paths[-1]
        return self._begin(_framed(to_bytes(Header(SCHEMA_VERSION, this_process()))) + frame)

    def _begin(self, frames: bytes) -> Path:
        last: OSError | None = None
        for folder, prefix in self._folders:
            path = folder / f"{prefix}.{self._token}-{len(self.paths)}{_OPEN}"
            try:
                _ensure_own(folder)
                _add(path, frames)
            except OSError as problem:
                last = problem
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            else:
                self.paths.append(path)
                _held.add(path)
                return path
        raise last or OSError("there is no folder for spooled records")

    def changes(self) -> Changes:
        """Return the spooled changes in order; none if the files were removed."""
        self.paths = [path for path in self.paths if path.exists()]
        return [change for path in self.paths for change in read(path)[0]]

    def discard(self) -> None:
        """Delete the files after their changes have reached the store."""
        for path in list(self.paths):
            path.unlink(missing_ok=True)
            self.paths.remove(path)
            _held.discard(path)

    def close(self) -> None:
        """Release the files for import by the next process that opens the store."""
        paths, self.paths = self.paths, []
        _held.difference_update(paths)
        for path in paths:
            path.rename(path.with_suffix(""))


def _framed(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _ensure_own(folder: Path) -> None:
    """Create the folder if needed. Raises PermissionError if a shared temporary folder belongs to another user."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_trusted(folder):
        raise PermissionError(f"{folder} belongs to another user")


def _is_trusted(folder: Path) -> bool:
    if not hasattr(os, "getuid") or not folder.name.startswith("babysit-spool-"):
        return True
    facts = folder.lstat()
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid == os.getuid()


def _add(path: Path, frames: bytes) -> None:
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            rest = memoryview(frames)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            file.truncate(before)  # a partial frame would hide the frames after it
            raise


def pending(backend: Backend) -> Iterator[Path]:
    """Yield the spools of this store that have no active writer."""
    for folder, prefix in dict.fromkeys((*backend.spools.folders, *backend.spools.former)):
        if folder.is_dir() and _is_trusted(folder):
            files = [path for path in folder.iterdir() if path.name.startswith(f"{prefix}.")]
            yield from sorted(path for path in files if path.name.endswith(_CLOSED))
            yield from sorted(path for path in files if path.name.endswith(_OPEN) and _is_importable(path))


def _is_importable(path: Path) -> bool:
    """Check that a spool has no active writer, or cannot be read (then reading it reports why)."""
    try:
        return _is_abandoned(path)
    except (UserError, OSError):
        return True


def _is_abandoned(path: Path) -> bool:
    header = next(_payloads(_content(path)), None)
    owner = from_bytes(header, Header).owner if header is not None else None
    if owner == this_process():
        return path not in _held
    alive = is_alive(owner) if owner is not None else None
    return time.time() - path.stat().st_mtime > _ABANDONED_SECONDS if alive is None else not alive


def _content(path: Path) -> bytes:
    require_file(path, most_bytes=MOST_BYTES)  # a pipe would block every command that opens the store
    return path.read_bytes()


def _payloads(content: bytes) -> Iterator[bytes]:
    offset = 0
    while offset + _FRAME.size <= len(content):
        length, check = _FRAME.unpack_from(content, offset)
        payload = content[offset + _FRAME.size : offset + _FRAME.size + length]
        if len(payload) < length or zlib.crc32(payload) != check:
            return
        yield payload
        offset += _FRAME.size + length


def read(path: Path) -> tuple[Changes, int]:
    """Return all changes in a spool and the number of unreadable bytes at its end (from an interrupted write).

    Raises UserError if a newer babysit wrote it, OSError if the file cannot be read.
    """
    content = _content(path)
    frames = list(_payloads(content))
    unread = len(content) - sum(_FRAME.size + len(frame) for frame in frames)
    if frames and from_bytes(frames[0], Header).schema > SCHEMA_VERSION:
        raise UserError("a newer babysit wrote this spool", where=str(path), do="Update babysit to import it")
    return [change for frame in frames[1:] for change in from_bytes(frame, Changes)], unread
