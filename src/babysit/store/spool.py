"""Records that wait beside the store, in a file that only grows, until the store can be written again.

A spool is a row of frames: length and CRC-32 (little-endian, four bytes each), then MessagePack. The first frame says
whose it is; every other one holds a list of changes. A file that ends in `.open` belongs to a writer that may go on.
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

# On another machine nobody can be asked whether the writer lives; a day without a word is taken as its end.
_ABANDONED_SECONDS = 86_400.0

# A frame says its length in four bytes.
MOST_BYTES: Final = 1 << 32

Changes = list[RunRow | PartRow | SegmentRow]


class Header(msgspec.Struct, frozen=True):
    """Whose spool it is, and which version of the tables its rows are for."""

    schema: int
    owner: ProcessInfo


# Files that a writer of this process may still add to.
_held: set[Path] = set()


@final
class Spool:
    """The files of one writer: mostly one, another when the first can grow no more; none while nothing waits."""

    def __init__(self, place: Backend) -> None:
        self._places = place.spools.places
        self._token = secrets.token_hex(6)
        self.paths: list[Path] = []

    def append(self, changes: Sequence[RunRow | PartRow | SegmentRow]) -> Path:
        """Adds changes and waits until the disk has them; raises OSError when no folder takes them."""
        frame = _framed(to_bytes(changes))
        with suppress(OSError):
            if self.paths:
                _add(self.paths[-1], frame)
                return self.paths[-1]
        return self._begin(_framed(to_bytes(Header(SCHEMA_VERSION, this_process()))) + frame)

    def _begin(self, frames: bytes) -> Path:
        last: OSError | None = None
        for folder, prefix in self._places:
            path = folder / f"{prefix}.{self._token}-{len(self.paths)}{_OPEN}"
            try:
                _own(folder)
                _add(path, frames)
            except OSError as problem:
                last = problem
                with suppress(OSError):
                    path.unlink(missing_ok=True)
            else:
                self.paths.append(path)
                _held.add(path)
                return path
        raise last or OSError("there is no folder for records that wait")

    def changes(self) -> Changes:
        """What waits, in order; nothing when someone removed the files."""
        self.paths = [path for path in self.paths if path.exists()]
        return [change for path in self.paths for change in read(path)[0]]

    def discard(self) -> None:
        """What waited has arrived."""
        for path in list(self.paths):
            path.unlink(missing_ok=True)
            self.paths.remove(path)
            _held.discard(path)

    def close(self) -> None:
        """Nothing more will be added: whoever opens the store next may take what waits."""
        paths, self.paths = self.paths, []
        _held.difference_update(paths)
        for path in paths:
            path.rename(path.with_suffix(""))


def _framed(payload: bytes) -> bytes:
    return _FRAME.pack(len(payload), zlib.crc32(payload)) + payload


def _own(folder: Path) -> None:
    """Makes the folder if need be; in a temporary folder that all users share it must be nobody else's."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_trusted(folder):
        raise PermissionError(f"{folder} belongs to someone else")


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
            file.truncate(before)  # half a frame would hide the frames after it
            raise


def waiting(place: Backend) -> Iterator[Path]:
    """The spools of this store that nobody adds to any more."""
    for folder, prefix in dict.fromkeys((*place.spools.places, *place.spools.former)):
        if folder.is_dir() and _is_trusted(folder):
            files = [path for path in folder.iterdir() if path.name.startswith(f"{prefix}.")]
            yield from sorted(path for path in files if path.name.endswith(_CLOSED))
            yield from sorted(path for path in files if path.name.endswith(_OPEN) and _may_be_taken(path))


def _may_be_taken(path: Path) -> bool:
    """Whether nobody adds to it, or it cannot be read: who then reads it says why."""
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
    require_file(path, most_bytes=MOST_BYTES)  # a pipe would hold up every command that opens the store
    return path.read_bytes()


def _payloads(content: bytes) -> Iterator[bytes]:
    at = 0
    while at + _FRAME.size <= len(content):
        length, check = _FRAME.unpack_from(content, at)
        payload = content[at + _FRAME.size : at + _FRAME.size + length]
        if len(payload) < length or zlib.crc32(payload) != check:
            return
        yield payload
        at += _FRAME.size + length


def read(path: Path) -> tuple[Changes, int]:
    """All changes in a spool, and how many bytes at its end cannot be read (its writer was stopped within a write).

    Raises UserError when a newer babysit wrote it, OSError when the file cannot be read.
    """
    content = _content(path)
    frames = list(_payloads(content))
    unread = len(content) - sum(_FRAME.size + len(frame) for frame in frames)
    if frames and from_bytes(frames[0], Header).schema > SCHEMA_VERSION:
        raise UserError("a newer babysit left records here", where=str(path), do="Update babysit to bring them in")
    return [change for frame in frames[1:] for change in from_bytes(frame, Changes)], unread
