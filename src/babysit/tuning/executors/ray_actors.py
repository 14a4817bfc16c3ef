"""Workers as Ray actors, on this machine or a cluster."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, final

import numpy as np
import torch

from babysit.records.errors import UserError
from babysit.records.stability import experimental
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


@experimental("0.1")
def ray_actors(
    workers: int = 0, *, address: str = "", inner: Inner = SequentialExecutor
) -> Callable[[TrainingTask], Executor]:
    """Return an executor that spreads members over Ray actors: `search(…, executor=ray_actors(8, address="auto"))`.

    Each actor uses one CPU, or one GPU if the search runs on GPUs. The samples are put into Ray's object store once, so
    each node holds one copy. Weights are fetched to this process before each rung, so nodes may leave and join.

    Args:
        workers: number of actors; 0 for as many as the cluster has CPUs (or GPUs).
        address: address of a running cluster (`auto`, `ray://…`, host:port); "" starts one on this machine.
        inner: executor in each actor.
    """

    def create(workload: TrainingTask) -> Executor:
        pool = ActorPool(workers, address=address, on_gpu=workload.device.startswith("cuda"))
        try:
            pool.begin(workload, inner)
            return PoolExecutor(pool)
        except BaseException:
            pool.close()
            raise

    return create


@final
class ActorPool:
    """A `WorkerPool` of Ray actors, which can be given one task after another."""

    def __init__(self, workers: int, *, address: str = "", on_gpu: bool = False, own_cpus: int | None = None) -> None:
        self._ray = ray = _imported()
        self._own = not ray.is_initialized()
        self._actors: list[Any] = []
        self._task_refs: tuple[Any, ...] = ()
        if self._own:
            _connect(ray, address, own_cpus or workers or None)
        resource = "GPU" if on_gpu else "CPU"
        available = int(ray.cluster_resources().get(resource, 0))
        if available < max(workers, 1):
            self.close()
            raise UserError(
                f"the cluster has {available} {resource}s, fewer than the {max(workers, 1)} workers",
                where=address or "this machine",
                do=f"Use at most {available} workers" if available else "Add nodes to the cluster",
            )
        self.size = workers or available
        # No restarts by Ray: a new actor has no state, and the executor restores it.
        options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, f"num_{resource.lower()}s": 1}
        self._make = ray.remote(**options)(_Actor)
        self._actors = [self._make.remote() for _ in range(self.size)]

    def begin(self, workload: TrainingTask, inner: Inner) -> None:
        """Start this task in all actors; their former state is discarded. Samples are transferred once per node."""
        bare, samples = without_samples(workload, self.size)
        arrays = {name: (x.numpy(), y.numpy()) for name, (x, y) in samples.items()}
        put = self._ray.put
        self._task_refs = (put(bare), put(arrays), put(inner))
        for actor in self._actors:
            actor.begin.remote(*self._task_refs)

    def call(self, index: int, what: str, *values: Any) -> Future[Any]:
        """Send a request to the actor at that index."""
        future: Future[Any] = Future()

        def finished(done: Future[Any]) -> None:
            try:
                future.set_result(unwrap(done.result()))
            except self._ray.exceptions.RayActorError as problem:
                future.set_exception(WorkerDiedError(str(problem).strip().splitlines()[0]))
            except Exception as problem:
                future.set_exception(problem)

        self._actors[index].call.remote(what, values).future().add_done_callback(finished)
        return future

    def restart(self, index: int) -> None:
        """Replace the actor at that index, on any node with free resources."""
        self._ray.kill(self._actors[index])
        self._actors[index] = self._make.remote()
        self._actors[index].begin.remote(*self._task_refs)

    def close(self) -> None:
        """End the actors, and disconnect from the cluster if it was connected here."""
        for actor in self._actors:
            self._ray.kill(actor)
        self._actors = []
        if self._own and self._ray.is_initialized():
            self._ray.shutdown()
        self._own = False


class _Actor:
    """The remote actor."""

    def __init__(self) -> None:
        self._runtime: WorkerRuntime | UserError = UserError("the worker has not been started")

    def begin(self, workload: TrainingTask, arrays: dict[str, tuple[Any, Any]], inner: Inner) -> None:
        tensors = {name: (_tensor(x), _tensor(y)) for name, (x, y) in arrays.items()}
        self._runtime = start(lambda: WorkerRuntime(with_samples(workload, tensors), inner))

    def call(self, what: str, values: tuple[Any, ...]) -> tuple[str, Any]:
        return handle(self._runtime, what, values)


def _tensor(array: np.ndarray[Any, Any]) -> torch.Tensor:
    """Wrap an array of Ray's object store without copying; it is read-only, and samples are only read."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)


def _imported() -> Any:
    # Disable Ray's usage reporting by default.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as problem:
        raise UserError("Ray is not installed", do="Install it: pip install 'babysit[ray]'") from problem
    return ray


def _connect(ray: Any, address: str, cpus: int | None) -> None:
    """Connect to a cluster, or start one on this machine with `cpus` CPUs."""
    own: dict[str, Any] = {} if address else {"include_dashboard": False, "num_cpus": cpus}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # about Ray's own settings
            ray.init(address=address or "local", **own)
    except (ConnectionError, TimeoutError, ValueError, RuntimeError, OSError) as problem:
        lines = str(problem).strip().splitlines()
        raise UserError(
            f"Ray cannot be reached: {lines[0] if lines else type(problem).__name__}",
            where=address or "this machine",
            do="Start a cluster with `ray start --head`, or leave the address out to use this machine alone",
        ) from problem
