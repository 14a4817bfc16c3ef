"""Workers as Ray actors, on this machine or on a cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, final

import numpy as np
import torch

from babysit.records.errors import UserError
from babysit.tuning.executors.base import Executor, TrainingTask
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.executors.worker_pool import PoolExecutor, WorkerDiedError
from babysit.tuning.executors.worker_runtime import (
    Inner,
    WorkerRuntime,
    handle,
    start,
    unwrap,
    with_samples,
    without_samples,
)


def ray_actors(
    workers: int = 0, *, address: str = "", inner: Inner = SequentialExecutor
) -> Callable[[TrainingTask], Executor]:
    """An executor that spreads members over Ray actors: `search(…, executor=ray_actors(8, address="auto"))`.

    Each actor takes one CPU, or one GPU when the search runs on GPUs. The samples are put into Ray's object store once,
    so each node holds them once. Members' weights come back to this process before each rung, so nodes may come and go.

    Args:
        workers: how many; 0 for as many as the cluster has CPUs (or GPUs).
        address: of a running cluster (`auto`, `ray://…`, host:port); "" begins one on this machine.
        inner: who trains in each of them.
    """

    def team(workload: TrainingTask) -> Executor:
        crew = ActorPool(workers, address=address, on_gpu=workload.device.startswith("cuda"))
        try:
            crew.begin(workload, inner)
            return PoolExecutor(crew)
        except BaseException:
            crew.close()
            raise

    return team


@final
class ActorPool:
    """A `Crew` of Ray actors, which can be given one workload after the other."""

    def __init__(self, workers: int, *, address: str = "", on_gpu: bool = False, own_cpus: int | None = None) -> None:
        self._ray = ray = _imported()
        self._own = not ray.is_initialized()
        self._actors: list[Any] = []
        self._given: tuple[Any, ...] = ()
        if self._own:
            _connect(ray, address, own_cpus or workers or None)
        resource = "GPU" if on_gpu else "CPU"
        there = int(ray.cluster_resources().get(resource, 0))
        if there < max(workers, 1):
            self.close()
            raise UserError(
                f"the cluster has {there} {resource}s, fewer than the {max(workers, 1)} workers",
                where=address or "this machine",
                do=f"Ask for at most {there} workers" if there else "Add nodes to the cluster",
            )
        self.size = workers or there
        # No restarts by Ray itself: a new actor knows nothing, and the team gives it back what the old one knew.
        options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, f"num_{resource.lower()}s": 1}
        self._make = ray.remote(**options)(_Actor)
        self._actors = [self._make.remote() for _ in range(self.size)]

    def begin(self, workload: TrainingTask, inner: Inner) -> None:
        """Gives all of them this workload; what they held is gone. The samples travel once to each node."""
        bare, samples = without_samples(workload, self.size)
        arrays = {name: (x.numpy(), y.numpy()) for name, (x, y) in samples.items()}
        put = self._ray.put
        self._given = (put(bare), put(arrays), put(inner))
        for actor in self._actors:
            actor.begin.remote(*self._given)

    def call(self, place: int, what: str, *values: Any) -> Future[Any]:
        """Asks the actor at that place."""
        future: Future[Any] = Future()

        def finished(done: Future[Any]) -> None:
            try:
                future.set_result(unwrap(done.result()))
            except self._ray.exceptions.RayActorError as problem:
                future.set_exception(WorkerDiedError(str(problem).strip().splitlines()[0]))
            except Exception as problem:
                future.set_exception(problem)

        self._actors[place].call.remote(what, values).future().add_done_callback(finished)
        return future

    def renew(self, place: int) -> None:
        """Begins another actor there, on whatever node has room."""
        self._ray.kill(self._actors[place])
        self._actors[place] = self._make.remote()
        self._actors[place].begin.remote(*self._given)

    def close(self) -> None:
        """Ends the actors, and leaves the cluster when it was joined here."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()
        self._own = False


class _Actor:
    """What runs on the cluster."""

    def __init__(self) -> None:
        self._host: WorkerRuntime | UserError = UserError("the worker has not begun")

    def begin(self, workload: TrainingTask, arrays: dict[str, tuple[Any, Any]], inner: Inner) -> None:
        tensors = {name: (_tensor(x), _tensor(y)) for name, (x, y) in arrays.items()}
        self._host = start(lambda: WorkerRuntime(with_samples(workload, tensors), inner))

    def call(self, what: str, values: tuple[Any, ...]) -> tuple[str, Any]:
        return handle(self._host, what, values)


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Shares memory with Ray's object store, which is read-only; samples are only read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _imported() -> Any:
    # Ray reports its use to its makers unless told not to; a search tells nobody.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as problem:
        raise UserError("Ray is not installed", do="Install it: pip install 'babysit[ray]'") from problem
    return ray


def _connect(ray: Any, address: str, cpus: int | None) -> None:
    """Joins a cluster, or begins one on this machine with as many workers as it may use at once."""
    own: dict[str, Any] = {} if address else {"include_dashboard": False, "num_cpus": cpus}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Ray about its own settings
            ray.init(address=address or "local", **own)
    except (ConnectionError, TimeoutError, ValueError, RuntimeError, OSError) as problem:
        said = str(problem).strip().splitlines()
        raise UserError(
            f"Ray cannot be reached: {said[0] if said else type(problem).__name__}",
            where=address or "this machine",
            do="Begin a cluster with `ray start --head`, or leave the address out to use this machine alone",
        ) from problem
