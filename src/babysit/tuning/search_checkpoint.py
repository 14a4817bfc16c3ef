"""The folder of a search: what it was asked, every result as it came, and the members in training, to go on from.

search.json        what was asked; another search does not go on here
results.jsonl      one line for each member and rung, appended as it comes
members-N/         the state of the members before their rung N, whole or not there
study.log          the same trials for optuna-dashboard
lock               held by the process that searches
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, Final, Self, final

import msgspec

from babysit.records.errors import UserError
from babysit.records.trial import Value
from babysit.training.checkpoint import write_atomically
from babysit.tuning.executors.base import TrainResult

_FORMAT: Final = 1
_ASKED: Final = "search.json"
_RESULTS: Final = "results.jsonl"
STUDY: Final = "study.log"


class CannotWriteError(UserError):
    """What came of a search cannot be written down: what ended before is kept, and the search can go on later."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of training one member to some epoch."""

    epochs: int  # from its beginning
    parameters: dict[str, Value]
    seed: int
    advance: dict[str, Any]  # the fields of an Advance; JSON has no NaN, so floats are text

    def as_advance(self) -> TrainResult:
        """The advance as it was."""
        told = dict(self.advance)
        told["costs"] = tuple(float(cost) for cost in told["costs"])
        for name in ("initial_cost", "metric", "seconds"):
            told[name] = None if told[name] is None else float(told[name])
        return TrainResult(**told)


def result_of(advance: TrainResult, *, epochs: int, parameters: Mapping[str, Value], seed: int, costs: int) -> Result:
    """The line for an advance, with its last so many costs."""
    told = {name: getattr(advance, name) for name in TrainResult.__dataclass_fields__}
    told["costs"] = [repr(cost) for cost in advance.costs[-costs:]]
    for name in ("initial_cost", "metric", "seconds"):
        told[name] = None if told[name] is None else repr(float(told[name]))
    return Result(epochs=epochs, parameters=dict(parameters), seed=seed, advance=told)


@final
class SearchCheckpoint:
    """A search on disk, open; a context that holds its lock.

    Raises:
        UserError: the folder holds another search, is in use, or cannot be written.
    """

    def __init__(self, path: Path | str, *, asked: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._asked = {"format": _FORMAT, **asked}
        self._lock: BinaryIO | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        with _written(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path / "lock")
            self._require_same()
            whole = _whole_lines(self.path / _RESULTS)
            # Unbuffered: what a full disk did not take would be tried again, and fail again, when the file is closed.
            self._file = (self.path / _RESULTS).open("ab", buffering=0)
            self._file.truncate(len(whole))
            self.results = [_read(line, self.path / _RESULTS) for line in whole.splitlines()]
        return self

    def __exit__(self, *reason: object) -> None:
        for file in (self._file, self._lock):
            if file is not None:
                file.close()

    def add(self, result: Result) -> None:
        """Appends a result; it survives the death of this process at once, that of the machine after `sync`."""
        assert self._file is not None
        line = msgspec.json.encode(result) + b"\n"
        with _written(self.path):
            while line:  # a disk that is almost full takes a part, and refuses the rest
                line = line[self._file.write(line) :]
        self.results.append(result)

    def sync(self) -> None:
        """Brings the results to the disk."""
        assert self._file is not None
        with _written(self.path):
            os.fsync(self._file.fileno())

    def checkpoint(self) -> Path | None:
        """The newest folder of members, or None."""
        folders = sorted(self.path.glob("members-*"), key=lambda folder: int(folder.name.partition("-")[2]))
        return folders[-1] if folders else None

    @contextmanager
    def new_checkpoint(self) -> Iterator[Path]:
        """An empty folder that takes the place of the last checkpoint when it has been filled without an error."""
        former = self.checkpoint()
        place = int(former.name.partition("-")[2]) + 1 if former else 1
        part = self.path / f"part-{place}"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            yield part
            part.rename(self.path / f"members-{place}")
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        if former is not None:
            shutil.rmtree(former, ignore_errors=True)

    def finished(self) -> None:
        """The search is over: nobody will go on from the members."""
        for folder in self.path.glob("members-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _require_same(self) -> None:
        file = self.path / _ASKED
        asked = msgspec.json.decode(msgspec.json.encode(self._asked))
        if not file.exists():
            put(file, msgspec.json.encode(asked))
            return
        try:
            former = msgspec.json.decode(file.read_bytes())
        except msgspec.DecodeError as problem:
            raise UserError("this is not the folder of a search", where=str(file), do="Give another one") from problem
        for name in asked:
            if former.get(name) != asked[name]:
                raise UserError(
                    f"the search in this folder was begun with another {name}: {former.get(name)}, now {asked[name]}",
                    where=str(self.path),
                    do="Go on with the same, or give another folder",
                )


def put(path: Path, content: bytes) -> None:
    """Writes a small file that is whole or not there."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_atomically(path, write)


def _read(line: bytes, file: Path) -> Result:
    try:
        return msgspec.json.decode(line, type=Result)
    except msgspec.DecodeError as problem:
        raise UserError(
            f"a result of the search cannot be read ({problem})", where=str(file), do="Begin anew in another folder"
        ) from problem


def _whole_lines(file: Path) -> bytes:
    """The results without half a line at the end, which a killed process or a full disk leaves."""
    found = file.read_bytes() if file.exists() else b""
    lines, end, _ = found.rpartition(b"\n")
    return lines + end


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise CannotWriteError(
            f"the search cannot be written down: {problem.strerror or problem}",
            where=str(path),
            do="Make room or give another folder; what had ended is kept, and the same search goes on from there",
        ) from problem


def _locked(path: Path) -> BinaryIO:
    """The lock file, held until it is closed or the process ends, however it ends."""
    file = path.open("ab")
    if os.name == "nt":  # no flock there; two searches in one folder are the user's to avoid
        return file
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as problem:
        file.close()
        raise UserError(
            "another process is searching in this folder", where=str(path.parent), do="Wait for it, or stop it first"
        ) from problem
    return file
