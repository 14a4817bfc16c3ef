"""Checkpoints: written atomically and loaded without executing code."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, Final, final

import torch

from babysit.records.errors import UserError

_log = logging.getLogger(__name__)

NAME: Final = "checkpoint.pt"
FORMAT: Final = 1  # incremented when the content changes
SHARE: Final = 0.05  # fraction of the training time allowed for writing checkpoints


@final
class Checkpoints:
    """Checkpoint of one training: written at its start, then as often as 5 % of the time allows."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / NAME
        self.problem = ""  # why the last write failed
        self._written = self._write_seconds = 0.0

    def begin(self, state: dict[str, Any]) -> None:
        """Write the first checkpoint. Raises UserError if the folder cannot be written, before any training."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._write(state)
        except OSError as problem:
            raise UserError(
                f"the checkpoint cannot be written: {problem.strerror or problem}",
                where=str(self.path),
                do="Use another folder, or free disk space",
            ) from problem

    def keep(self, make_state: Callable[[], dict[str, Any]], *, now: bool = False) -> None:
        """Write if it is time, or at once; a failure is logged, and the file from before stays."""
        due = perf_counter() - self._written >= self._write_seconds / SHARE
        if self.path is None or not (now or due):
            return
        try:
            self._write(make_state())
            self.problem = ""
        except OSError as problem:
            if not self.problem:
                _log.warning(
                    "the checkpoint %s could not be written (%s); training continues, and the previous one is kept",
                    self.path,
                    problem.strerror or problem,
                )
            self.problem = str(problem)
            self._written = perf_counter()

    def _write(self, state: dict[str, Any]) -> None:
        if self.path is None:
            return
        start = perf_counter()
        write_atomically(self.path, lambda file: torch.save({"format": FORMAT, **state}, file))
        self._written = perf_counter()
        self._write_seconds = self._written - start


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Write to a temporary file, sync it to disk, then rename it: a partial file is never visible."""
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
    except RuntimeError as problem:  # torch's archive writer hides the reason
        file.write(bytes(1 << 20))  # raises OSError on a full disk
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
    """Load a checkpoint to the CPU, given its file or folder. Raises UserError if it is none."""
    file = path / NAME if path.is_dir() else path
    state = load_plain(file, what="checkpoint")
    if state.get("format") != FORMAT or "stopping" not in state:
        raise UserError(
            f"the checkpoint is of format {state.get('format')}, supported: {FORMAT}",
            where=str(file),
            do="Resume with the version of babysit that wrote it, or start a new training",
        )
    return state


def load_plain(file: Path, *, what: str) -> dict[str, Any]:
    """Load a dictionary of tensors and plain values; code in the file is refused, never executed.

    Raises UserError if the file is missing or holds anything else.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns about files that are not archives
            state = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError as problem:
        raise UserError(f"there is no {what}", where=str(file), do="Use the path of an existing one") from problem
    except Exception as problem:  # invalid archives raise any exception (KeyError, UnpicklingError, …)
        raise UserError(f"this is not a readable {what}", where=str(file), do="Start again without it") from problem
    if not isinstance(state, dict):
        raise UserError(f"this is not a {what}", where=str(file), do="Use the file that fit() wrote")
    return state
