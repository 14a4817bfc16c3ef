"""Checkpoints that are whole or not there at all, and load without running code."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, Final, final

import torch

from babysit.records.errors import UserError

NAME: Final = "checkpoint.pt"
FORMAT: Final = 1  # raised when what is inside changes
SHARE: Final = 0.05  # of the training time that may go into writing checkpoints


@final
class Checkpoints:
    """The checkpoint of one training: written first at its start, then as often as 5 % of the time allows."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / NAME
        self.problem = ""  # why the last writing failed
        self._written = self._cost_seconds = 0.0

    def begin(self, state: dict[str, Any]) -> None:
        """Write the first one, so that a folder or disk that cannot take it is known before training: UserError."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(state)
        except OSError as problem:
            raise UserError(
                f"no checkpoint can be written: {problem.strerror or problem}",
                where=str(self.path),
                do="Give another folder, or make room there",
            ) from problem

    def keep(self, make_state: Callable[[], dict[str, Any]], *, now: bool = False) -> None:
        """Write if it is time, or at once; a failure is a warning, and the file from before stays."""
        due = perf_counter() - self._written >= self._cost_seconds / SHARE
        if self.path is None or not (now or due):
            return
        try:
            self._write(make_state())
            self.problem = ""
        except OSError as problem:
            if not self.problem:
                warnings.warn(
                    f"the checkpoint {self.path} could not be written ({problem.strerror or problem}); training goes "
                    "on, and the one from before is still there",
                    stacklevel=2,
                )
            self.problem = str(problem)
            self._written = perf_counter()

    def _write(self, state: dict[str, Any]) -> None:
        if self.path is None:
            return
        start = perf_counter()
        write_atomically(self.path, lambda file: torch.save({"format": FORMAT, **state}, file))
        self._written = perf_counter()
        self._cost_seconds = self._written - start


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write beside the file, bring it to the disk, then put it in place: nobody ever sees half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            _write_or_os_error(file, write)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _write_or_os_error(file: BinaryIO, write: Callable[[BinaryIO], None]) -> None:
    try:
        write(file)
    except RuntimeError as problem:  # torch's archive writer hides the reason behind its own
        file.write(bytes(1 << 20))  # a full disk says so itself
        file.flush()
        raise OSError(str(problem).splitlines()[0]) from problem


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open folders
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds, on the CPU; takes the file or its folder. UserError when it is none."""
    file = path / NAME if path.is_dir() else path
    state = load_plain(file, what="checkpoint")
    if state.get("format") != FORMAT or "stopping" not in state:
        raise UserError(
            f"the checkpoint is of format {state.get('format')}, known here: {FORMAT}",
            where=str(file),
            do="Go on with the babysit that wrote it, or start anew",
        )
    return state


def load_plain(file: Path, *, what: str) -> dict[str, Any]:
    """A dictionary of tensors and plain values from a file; code inside it is refused, never run."""
    try:
        with warnings.catch_warnings(action="ignore"):  # torch wonders aloud about files that are no archives
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as problem:
        raise UserError(f"there is no {what}", where=str(file), do="Give the path of one that was written") from problem
    except Exception as problem:  # bytes that are no archive fail in any way (KeyError, UnpicklingError, …)
        raise UserError(f"this is not a readable {what}", where=str(file), do="Start anew without it") from problem
    if not isinstance(state, dict):
        raise UserError(f"this is not a {what}", where=str(file), do="Give the file that fit() wrote")
    return state
