"""The folder of a search: its specification, all results, and the members in training, from which it can be resumed.

search.json        the specification; a different search is refused
results.jsonl      one line for each member and rung, appended as it is reported
members-N/         the state of the members before their rung N, complete or absent
study.log          the same trials for optuna-dashboard
lock               held by the searching process
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
_SPEC: Final = "search.json"
_RESULTS: Final = "results.jsonl"
STUDY: Final = "study.log"


class CannotWriteError(UserError):
    """A search result could not be written; results written earlier are intact and the search can be resumed later."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """The result of training one member to some epoch."""

    epochs: int  # from its beginning
    parameters: dict[str, Value]
    seed: int
    advance: dict[str, Any]  # the fields of a TrainResult; JSON has no NaN, so floats are text

    def as_advance(self) -> TrainResult:
        """Convert back to the training result."""
        fields = dict(self.advance)
        fields["costs"] = tuple(float(cost) for cost in fields["costs"])
        for name in ("initial_cost", "metric", "seconds"):
            fields[name] = None if fields[name] is None else float(fields[name])
        return TrainResult(**fields)


def result_of(advance: TrainResult, *, epochs: int, parameters: Mapping[str, Value], seed: int, costs: int) -> Result:
    """Convert a training result to a line of the results file, with its last `costs` losses."""
    fields = {name: getattr(advance, name) for name in TrainResult.__dataclass_fields__}
    fields["costs"] = [repr(cost) for cost in advance.costs[-costs:]]
    for name in ("initial_cost", "metric", "seconds"):
        fields[name] = None if fields[name] is None else repr(float(fields[name]))
    return Result(epochs=epochs, parameters=dict(parameters), seed=seed, advance=fields)


@final
class SearchCheckpoint:
    """An open search folder; a context manager that holds its lock.

    Raises:
        UserError: the folder holds another search, is in use, or cannot be written.
    """

    def __init__(self, path: Path | str, *, spec: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self._spec = {"format": _FORMAT, **spec}
        self._lock: BinaryIO | None = None
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        with _written(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(self.path / "lock")
            self._require_same()
            complete = _complete_lines(self.path / _RESULTS)
            # Unbuffered: otherwise data that a full disk refused would be written, and fail, again on close.
            self._file = (self.path / _RESULTS).open("ab", buffering=0)
            self._file.truncate(len(complete))
            self.results = [_read(line, self.path / _RESULTS) for line in complete.splitlines()]
        return self

    def __exit__(self, *reason: object) -> None:
        for file in (self._file, self._lock):
            if file is not None:
                file.close()

    def add(self, result: Result) -> None:
        """Append a result; it survives the end of this process immediately, and a machine crash after `sync`."""
        assert self._file is not None
        line = msgspec.json.encode(result) + b"\n"
        with _written(self.path):
            while line:  # an almost full disk accepts a part and refuses the rest
                line = line[self._file.write(line) :]
        self.results.append(result)

    def sync(self) -> None:
        """Flush the results to disk."""
        assert self._file is not None
        with _written(self.path):
            os.fsync(self._file.fileno())

    def checkpoint(self) -> Path | None:
        """Return the newest folder of members, or None."""
        folders = sorted(self.path.glob("members-*"), key=lambda folder: int(folder.name.partition("-")[2]))
        return folders[-1] if folders else None

    @contextmanager
    def new_checkpoint(self) -> Iterator[Path]:
        """Create a folder that replaces the last checkpoint if the block fills it without an error."""
        former = self.checkpoint()
        index = int(former.name.partition("-")[2]) + 1 if former else 1
        part = self.path / f"part-{index}"
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            yield part
            part.rename(self.path / f"members-{index}")
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        if former is not None:
            shutil.rmtree(former, ignore_errors=True)

    def finished(self) -> None:
        """Delete the states of the members, after the search has ended."""
        for folder in self.path.glob("members-*"):
            shutil.rmtree(folder, ignore_errors=True)

    def _require_same(self) -> None:
        file = self.path / _SPEC
        spec = msgspec.json.decode(msgspec.json.encode(self._spec))
        if not file.exists():
            put(file, msgspec.json.encode(spec))
            return
        try:
            former = msgspec.json.decode(file.read_bytes())
        except msgspec.DecodeError as problem:
            raise UserError("not a search folder", where=str(file), do="Give another folder") from problem
        for name in spec:
            if former.get(name) != spec[name]:
                raise UserError(
                    f"the search in this folder was started with another {name}: {former.get(name)}, now {spec[name]}",
                    where=str(self.path),
                    do="Resume with the same value, or give another folder",
                )


def put(path: Path, content: bytes) -> None:
    """Write a small file atomically."""

    def write(file: BinaryIO) -> None:
        file.write(content)

    write_atomically(path, write)


def _read(line: bytes, file: Path) -> Result:
    try:
        return msgspec.json.decode(line, type=Result)
    except msgspec.DecodeError as problem:
        raise UserError(
            f"a result of the search cannot be read ({problem})",
            where=str(file),
            do="Start a new search in another folder",
        ) from problem


def _complete_lines(file: Path) -> bytes:
    """Return the results without an incomplete last line, which a killed process or a full disk leaves."""
    found = file.read_bytes() if file.exists() else b""
    lines, end, _ = found.rpartition(b"\n")
    return lines + end


@contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise CannotWriteError(
            f"cannot write the search: {problem.strerror or problem}",
            where=str(path),
            do="Free disk space or give another folder; results so far are saved, and the search resumes from them",
        ) from problem


def _locked(path: Path) -> BinaryIO:
    """Open and lock the lock file; the lock is held until it is closed or the process ends."""
    file = path.open("ab")
    if os.name == "nt":  # no flock on Windows: avoiding two searches in one folder is up to the user
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
