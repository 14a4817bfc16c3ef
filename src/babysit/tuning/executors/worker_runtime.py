"""What lives in a worker, on this machine or another: an executor, and its members as bytes."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor

from babysit.records.errors import UserError
from babysit.tuning.executors.base import Executor, TrainingTask, TrainResult, TrialConfig

Inner = Callable[[TrainingTask], Executor]


@final
class WorkerRuntime:
    """One executor on one thread; what it holds can be packed up and taken elsewhere."""

    def __init__(self, workload: TrainingTask, inner: Inner) -> None:
        # Workers share the cores of their machine; two threads each would get in each other's way.
        torch.set_num_threads(1)
        self._executor = inner(workload)

    def process_id(self) -> int:
        """The operating system's number of the worker."""
        return os.getpid()

    def width(self) -> int:
        """That of the executor."""
        return self._executor.width

    def notes(self) -> list[str]:
        """Those of the executor."""
        return list(self._executor.notes)

    def advance(self, members: Sequence[TrialConfig], epochs: int) -> list[TrainResult]:
        """One result for each member."""
        return list(self._executor.advance(members, epochs=epochs))

    def forget(self, numbers: Sequence[int]) -> None:
        """Frees what these members hold."""
        self._executor.forget(numbers)

    def pack(self) -> dict[str, bytes]:
        """All members it holds, as files by name."""
        with tempfile.TemporaryDirectory(prefix="babysit-") as folder:
            self._executor.save(Path(folder))
            return {file.name: file.read_bytes() for file in Path(folder).iterdir()}

    def unpack(self, files: Mapping[str, bytes]) -> None:
        """Takes up packed members beside those it holds."""
        with tempfile.TemporaryDirectory(prefix="babysit-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._executor.load(Path(folder))

    def close(self) -> None:
        """Closes the executor."""
        self._executor.close()


Tensors = Mapping[str, tuple[Tensor, Tensor]]


def without_samples(workload: TrainingTask, workers: int) -> tuple[TrainingTask, dict[str, tuple[Tensor, Tensor]]]:
    """What one of so many workers has ahead, small without its samples, and their inputs and targets by name."""
    parts = {"train": workload.train, "validation": workload.validation}
    bare = {name: replace(part, x=torch.empty(0), y=torch.empty(0)) for name, part in parts.items()}
    share = -(-workload.steps // workers)
    small = replace(workload, train=bare["train"], validation=bare["validation"], steps=share)
    return small, {name: (part.x.cpu(), part.y.cpu()) for name, part in parts.items()}


def with_samples(workload: TrainingTask, tensors: Tensors) -> TrainingTask:
    """The inverse of `without_samples`."""
    train, validation = (
        replace(part, x=tensors[name][0], y=tensors[name][1])
        for name, part in (("train", workload.train), ("validation", workload.validation))
    )
    return replace(workload, train=train, validation=validation)


def start(begin: Callable[[], WorkerRuntime]) -> WorkerRuntime | UserError:
    """The host, or why there is none, which is then the answer to everything."""
    try:
        return begin()
    except UserError as problem:
        return problem
    except Exception as problem:
        return UserError(
            f"a worker could not begin: {type(problem).__name__}: {problem}",
            do="Workers must be able to import what builds the model; or search with --executor inprocess",
        )


def handle(host: WorkerRuntime | UserError, what: str, values: Sequence[Any]) -> tuple[str, Any]:
    """Does what is asked: ("done", the result), ("mistake", parts of a UserError), or ("failed", a traceback)."""
    try:
        if isinstance(host, UserError):
            raise host
        return "done", getattr(host, what)(*values)
    except UserError as problem:
        return "mistake", (problem.what, problem.where, problem.do)
    except Exception:
        return "failed", traceback.format_exc()


def unwrap(reply: tuple[str, Any]) -> Any:
    """The result of an answer, or the exception that it stands for."""
    kind, value = reply
    if kind == "mistake":
        what, where, do = value
        raise UserError(what, where=where, do=do)
    if kind == "failed":
        raise RuntimeError(f"in a worker:\n{value}")
    return value
