"""The program of a worker process: `python -m babysit.tuning.executors.worker PATH…`, told what to do on standard
input.

It ends with the process that began it, however that ends: its standard input is closed then.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

if TYPE_CHECKING:
    from babysit.tuning.executors.worker_runtime import WorkerRuntime

# The files of a workload, in the folder that a worker is told to begin with.
SAMPLES: Final = "samples.pt"
WORKLOAD: Final = "workload.pkl"


def main() -> None:
    """Takes calls from standard input, one after the other, and writes each answer to standard output."""
    sys.path[:] = sys.argv[1:]
    # What the user's code prints goes to standard error: standard output carries answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    calls: queue.SimpleQueue[tuple[int, str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, calls), daemon=True).start()
    from babysit.records.errors import UserError
    from babysit.tuning.executors.worker_runtime import handle, start

    host: Any = UserError("the worker has not begun")
    while True:
        number, what, values = calls.get()
        if what == "begin":
            host = start(lambda folder=Path(values[0]): _host(folder))  # type: ignore[misc]
            reply: tuple[str, Any] = ("done", None)
        else:
            reply = handle(host, what, values)
        pickle.dump((number, reply), answers)
        answers.flush()


def _host(folder: Path) -> WorkerRuntime:
    import torch

    from babysit.tuning.executors.worker_runtime import WorkerRuntime, with_samples

    samples = torch.load(folder / SAMPLES, mmap=True, weights_only=True)
    workload, inner = pickle.loads((folder / WORKLOAD).read_bytes())
    return WorkerRuntime(with_samples(workload, samples), inner)


def _listen(stream: BinaryIO, calls: queue.SimpleQueue[tuple[int, str, tuple[Any, ...]]]) -> None:
    try:
        while True:
            calls.put(pickle.load(stream))
    except (EOFError, OSError, pickle.UnpicklingError):
        os._exit(0)


if __name__ == "__main__":
    main()
