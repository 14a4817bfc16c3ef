"""The program of a worker process: `python -m babysit.tuning.executors.worker PATH…`, with requests on standard input.

It exits when its standard input is closed, that is, when its parent process ends.
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

# The files of a task, in the folder given with the request `begin`.
SAMPLES: Final = "samples.pt"
WORKLOAD: Final = "workload.pkl"


def main() -> None:
    """Read requests from standard input, one by one, and write each reply to standard output."""
    sys.path[:] = sys.argv[1:]
    # Output of user code goes to standard error, since standard output carries replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    calls: queue.SimpleQueue[tuple[int, str, tuple[Any, ...]]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, calls), daemon=True).start()
    from babysit.records.errors import UserError
    from babysit.tuning.executors.worker_runtime import handle, start

    runtime: Any = UserError("the worker has not been started")
    while True:
        number, what, values = calls.get()
        if what == "begin":
            runtime = start(lambda folder=Path(values[0]): _runtime(folder))  # type: ignore[misc]
            reply: tuple[str, Any] = ("done", None)
        else:
            reply = handle(runtime, what, values)
        pickle.dump((number, reply), replies)
        replies.flush()


def _runtime(folder: Path) -> WorkerRuntime:
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
