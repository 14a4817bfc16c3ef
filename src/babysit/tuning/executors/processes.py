"""Worker processes on this machine, one thread each."""

from __future__ import annotations

import contextlib
import itertools
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, final

import cloudpickle  # type: ignore[import-untyped]
import torch

from babysit.tuning.executors.base import Executor, TrainingTask
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.executors.worker import SAMPLES, WORKLOAD
from babysit.tuning.executors.worker_pool import PoolExecutor, WorkerDiedError
from babysit.tuning.executors.worker_runtime import Inner, unwrap, without_samples


def processes(workers: int = 0, *, inner: Inner = SequentialExecutor) -> Callable[[TrainingTask], Executor]:
    """Return a factory of executors that distribute members over processes: `search(…, executor=processes(4))`.

    The processes are new interpreters, not forks: scripts need no `if __name__ == "__main__"`. The model builder may be
    any function, also a local one.

    Args:
        workers: number of processes; 0 for one per core.
        inner: executor in each process.
    """

    def create(workload: TrainingTask) -> Executor:
        pool = ProcessPool(workers or usable_cores())
        try:
            pool.begin(workload, inner)
            return PoolExecutor(pool)
        except BaseException:
            pool.close()
            raise

    return create


def usable_cores() -> int:
    """Return the number of cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@final
class ProcessPool:
    """A `WorkerPool` of processes, which can be given one task after another."""

    def __init__(self, workers: int) -> None:
        self.size = workers
        self._folder = Path(tempfile.mkdtemp(prefix="babysit-workers-"))
        self._workers = [_Worker() for _ in range(workers)]

    def begin(self, workload: TrainingTask, inner: Inner) -> None:
        """Start this task in all workers; their former state is discarded.

        The samples are shared through a file that all workers map into memory.
        """
        bare, samples = without_samples(workload, self.size)
        (self._folder / SAMPLES).unlink(missing_ok=True)  # workers may still map the old file
        torch.save(samples, self._folder / SAMPLES)
        (self._folder / WORKLOAD).write_bytes(cloudpickle.dumps((bare, inner)))
        for worker in self._workers:
            worker.call("begin", (str(self._folder),))

    def call(self, index: int, what: str, *values: Any) -> Future[Any]:
        """Send a request to the process at that index."""
        return self._workers[index].call(what, values)

    def restart(self, index: int) -> None:
        """Replace the process at that index."""
        self._workers[index].end()
        self._workers[index] = _Worker()
        self._workers[index].call("begin", (str(self._folder),))

    def close(self) -> None:
        """End the processes and remove the file of samples."""
        for worker in self._workers:
            worker.end()
        self._workers = []
        shutil.rmtree(self._folder, ignore_errors=True)


@final
class _Worker:
    """One process, and a thread that receives its replies."""

    def __init__(self) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "babysit.tuning.executors.worker", *sys.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the search, which then ends its workers
        )
        self._numbers = itertools.count()
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._dead = ""
        threading.Thread(target=self._listen, daemon=True).start()

    def call(self, what: str, values: tuple[Any, ...]) -> Future[Any]:
        future: Future[Any] = Future()
        with self._lock:
            number = next(self._numbers)
            if self._dead:
                future.set_exception(WorkerDiedError(self._dead))
                return future
            self._waiting[number] = future
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it has died; the listening thread fails all pending requests
            pickle.dump((number, what, values), self._process.stdin)
            self._process.stdin.flush()
        return future

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # unsent data
                    pipe.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        try:
            while True:
                number, reply = pickle.load(self._process.stdout)
                with self._lock:
                    future = self._waiting.pop(number)
                try:
                    future.set_result(unwrap(reply))
                except Exception as problem:
                    future.set_exception(problem)
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            pass
        code = self._process.wait()
        with self._lock:
            self._dead = f"its process ended with signal {-code}" if code < 0 else f"its process ended with code {code}"
            pending, self._waiting = list(self._waiting.values()), {}
        for future in pending:
            future.set_exception(WorkerDiedError(self._dead))
