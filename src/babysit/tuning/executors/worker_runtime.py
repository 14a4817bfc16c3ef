"""The runtime of a worker, on this machine or another: an executor, and serialization of its members."""

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
    """One executor on one thread; its members can be serialized and moved to another worker."""

    def __init__(self, workload: TrainingTask, inner: Inner) -> None:
        # Workers share the cores of their machine; more threads would compete for them.
        torch.set_num_threads(1)
        self._executor = inner(workload)

    def process_id(self) -> int:
        """Return the process id of the worker."""
        return os.getpid()

    def width(self) -> int:
        """Return the width of the executor."""
        return self._executor.width

    def notes(self) -> list[str]:
        """Return the notes of the executor."""
        return list(self._executor.notes)

    def advance(self, members: Sequence[TrialConfig], epochs: int) -> list[TrainResult]:
        """Train members; return one result for each."""
        return list(self._executor.advance(members, epochs=epochs))

    def release(self, numbers: Sequence[int]) -> None:
        """Free the state of these members."""
        self._executor.release(numbers)

    def pack(self) -> dict[str, bytes]:
        """Serialize all members as files by name."""
        with tempfile.TemporaryDirectory(prefix="babysit-") as folder:
            self._executor.save(Path(folder))
            return {file.name: file.read_bytes() for file in Path(folder).iterdir()}

    def unpack(self, files: Mapping[str, bytes]) -> None:
        """Load serialized members, in addition to those present."""
        with tempfile.TemporaryDirectory(prefix="babysit-") as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            self._executor.load(Path(folder))

    def close(self) -> None:
        """Close the executor."""
        self._executor.close()


Tensors = Mapping[str, tuple[Tensor, Tensor]]


def without_samples(workload: TrainingTask, workers: int) -> tuple[TrainingTask, dict[str, tuple[Tensor, Tensor]]]:
    """Return the task of one worker without samples, and the inputs and targets by name."""
    parts = {"train": workload.train, "validation": workload.validation}
    bare = {name: replace(part, x=torch.empty(0), y=torch.empty(0)) for name, part in parts.items()}
    share = -(-workload.steps // workers)
    small = replace(workload, train=bare["train"], validation=bare["validation"], steps=share)
    return small, {name: (part.x.cpu(), part.y.cpu()) for name, part in parts.items()}


def with_samples(workload: TrainingTask, tensors: Tensors) -> TrainingTask:
    """Restore the samples; the inverse of `without_samples`."""
    train, validation = (
        replace(part, x=tensors[name][0], y=tensors[name][1])
        for name, part in (("train", workload.train), ("validation", workload.validation))
    )
    return replace(workload, train=train, validation=validation)


def start(begin: Callable[[], WorkerRuntime]) -> WorkerRuntime | UserError:
    """Create the runtime; on failure return the error to raise for every request."""
    try:
        return begin()
    except UserError as problem:
        return problem
    except Exception as problem:
        return UserError(
            f"a worker could not start: {type(problem).__name__}: {problem}",
            do="Workers must be able to import the model builder; or search with --executor inprocess",
        )


def handle(runtime: WorkerRuntime | UserError, what: str, values: Sequence[Any]) -> tuple[str, Any]:
    """Handle a request: return ("done", result), ("mistake", parts of a UserError), or ("failed", traceback)."""
    try:
        if isinstance(runtime, UserError):
            raise runtime
        return "done", getattr(runtime, what)(*values)
    except UserError as problem:
        return "mistake", (problem.what, problem.where, problem.do)
    except Exception:
        return "failed", traceback.format_exc()


def unwrap(reply: tuple[str, Any]) -> Any:
    """Return the result of a reply, or raise the exception in it."""
    kind, value = reply
    if kind == "mistake":
        what, where, do = value
        raise UserError(what, where=where, do=do)
    if kind == "failed":
        raise RuntimeError(f"in a worker:\n{value}")
    return value
