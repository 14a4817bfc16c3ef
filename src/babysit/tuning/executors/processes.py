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
    """An executor that spreads members over processes: `search(…, executor=processes(4))`.

    The processes are new interpreters, not copies of this one: scripts need no `if __name__ == "__main__"`. What builds
    the model may be any function, also one made in another.

    Args:
        workers: how many; 0 for one a core.
        inner: who trains in each of them.
    """

    def team(workload: TrainingTask) -> Executor:
        crew = ProcessPool(workers or usable_cores())
        try:
            crew.begin(workload, inner)
            return PoolExecutor(crew)
        except BaseException:
            crew.close()
            raise

    return team


def usable_cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


@final
class ProcessPool:
    """A `Crew` of processes, which can be given one workload after the other."""

    def __init__(self, workers: int) -> None:
        self.size = workers
        self._folder = Path(tempfile.mkdtemp(prefix="babysit-workers-"))
        self._workers = [_Worker() for _ in range(workers)]

    def begin(self, workload: TrainingTask, inner: Inner) -> None:
        """Gives all of them this workload; what they held is gone.

        The samples go through a file that all workers map into memory: they hold them once between them.
        """
        bare, samples = without_samples(workload, self.size)
        (self._folder / SAMPLES).unlink(missing_ok=True)  # workers may still map the former one
        torch.save(samples, self._folder / SAMPLES)
        (self._folder / WORKLOAD).write_bytes(cloudpickle.dumps((bare, inner)))
        for worker in self._workers:
            worker.call("begin", (str(self._folder),))

    def call(self, place: int, what: str, *values: Any) -> Future[Any]:
        """Asks the process at that place."""
        return self._workers[place].call(what, values)

    def renew(self, place: int) -> None:
        """Begins another process there."""
        self._workers[place].end()
        self._workers[place] = _Worker()
        self._workers[place].call("begin", (str(self._folder),))

    def close(self) -> None:
        """Ends the processes and removes the samples' file."""
        for worker in self._workers:
            worker.end()
        self._workers = []
        shutil.rmtree(self._folder, ignore_errors=True)


@final
class _Worker:
    """One process, and a thread that hears what it answers."""

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
        with contextlib.suppress(OSError):  # it has died; the listening thread sees that too and tells all who wait
            pickle.dump((number, what, values), self._process.stdin)
            self._process.stdin.flush()
        return future

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # of what was not sent any more
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
            left, self._waiting = list(self._waiting.values()), {}
        for future in left:
            future.set_exception(WorkerDiedError(self._dead))
