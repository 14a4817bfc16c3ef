"""Several workers as one executor: members are distributed over them, and a worker that dies is replaced."""

from __future__ import annotations

import shutil
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol, final

import msgspec

from babysit.records.errors import UserError
from babysit.tuning.executors.base import TrainResult, TrialConfig
from babysit.tuning.search_checkpoint import put

# A configuration that ends its worker this often while trained alone (out of memory, a crash in native code) is given
# up.
_DEATHS: Final = 3
_ASSIGNMENT: Final = "workers.json"


class WorkerDiedError(Exception):
    """A worker ended before it replied; the message says how."""


class WorkerPool(Protocol):
    """Workers, each with one executor (tuning/executors/worker_runtime.py) that handles one request after another."""

    @property
    def size(self) -> int:
        """Return the number of workers."""
        ...

    def call(self, index: int, what: str, *values: Any) -> Future[Any]:
        """Send a request; the future raises WorkerDiedError if the worker ends instead."""
        ...

    def restart(self, index: int) -> None:
        """Replace a worker that died by a new one without state."""
        ...

    def close(self) -> None:
        """End all workers immediately; may be called twice."""
        ...


@final
@dataclass
class _WorkerState:
    """The saved state of one worker."""

    packed: list[Mapping[str, bytes]] = field(default_factory=list)  # serialized members to restore
    since: list[tuple[tuple[TrialConfig, ...], int]] = field(default_factory=list)  # work done since


@final
class PoolExecutor:
    """An `Executor` over a pool of workers.

    Members stay on their worker, which holds their weights. Before they are trained further, each worker's members are
    serialized: a worker that dies is replaced, restored and repeats at most one rung. Members are moved when a rung has
    left them unevenly distributed.
    """

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._states = [_WorkerState() for _ in range(pool.size)]
        self._worker_of: dict[int, int] = {}
        self._notes: list[str] = []
        self._each = int(self._request(0, "width"))

    @property
    def width(self) -> int:
        """Return the width of all workers together."""
        return self._each * self._pool.size

    @property
    def notes(self) -> Sequence[str]:
        """Return the notes of the workers, each once, and which of them died."""
        return self._notes

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Train members on all workers in parallel; yield results as they complete."""
        held = [member for member in members if member.number in self._worker_of]
        if held:
            self._pack()
            self._rebalance(held)
        yield from _Round(self._pool, self._states, self._worker_of, self._notes, self._each).run(members, epochs)

    def release(self, numbers: Iterable[int]) -> None:
        """Free the state of these members."""
        owners = [(number, self._worker_of.pop(number)) for number in list(numbers) if number in self._worker_of]
        for index in range(self._pool.size):
            if gone := [number for number, owner in owners if owner == index]:
                self._pool.call(index, "release", gone)

    def save(self, folder: Path) -> None:
        """Save the members of each worker into a folder of its own."""
        self._pack()
        for former in folder.glob("worker-*"):
            shutil.rmtree(former)
        for index, state in enumerate(self._states):
            for order, files in enumerate(state.packed):
                part = folder / f"worker-{index}-{order}"
                part.mkdir()
                for name, content in files.items():
                    put(part / name, content)
        put(
            folder / _ASSIGNMENT, msgspec.json.encode({str(number): index for number, index in self._worker_of.items()})
        )

    def load(self, folder: Path) -> None:
        """Load the saved members, also if they were saved by more or fewer workers."""
        if not (folder / _ASSIGNMENT).exists():
            raise UserError(
                "not the saved state of a worker pool", where=str(folder), do="Start a new search without it"
            )
        worker_of = msgspec.json.decode((folder / _ASSIGNMENT).read_bytes(), type=dict[str, int])
        self._worker_of.update({int(number): index % self._pool.size for number, index in worker_of.items()})
        for part in sorted(folder.glob("worker-*")):
            index = int(part.name.split("-")[1]) % self._pool.size
            files = {file.name: file.read_bytes() for file in part.iterdir()}
            self._request(index, "unpack", files)
            self._states[index].packed.append(files)

    def close(self) -> None:
        """End the workers."""
        self._pool.close()
        self._worker_of.clear()

    def _request(self, index: int, what: str, *values: Any) -> Any:
        try:
            return self._pool.call(index, what, *values).result()
        except WorkerDiedError as problem:
            self._replace(index, problem)
            return self._pool.call(index, what, *values).result()

    def _replace(self, index: int, problem: WorkerDiedError) -> None:
        self._notes.append(f"worker {index} was replaced: {problem}")
        _restore(self._pool, index, self._states[index], self._worker_of)

    def _pack(self) -> None:
        """Fetch the members of the workers, unless nothing was trained since the last time."""
        changed = [index for index, state in enumerate(self._states) if state.since or len(state.packed) > 1]
        requests = {index: self._pool.call(index, "pack") for index in changed}
        for index, future in requests.items():
            state = self._states[index]
            try:
                state.packed = [future.result()]
            except WorkerDiedError as problem:
                self._replace(index, problem)
                state.packed = [self._request(index, "pack")]
            state.since = []

    def _rebalance(self, held: Sequence[TrialConfig]) -> None:
        """Move members from workers that have too many of them to workers that have too few."""
        by_worker: dict[int, list[int]] = {index: [] for index in range(self._pool.size)}
        for member in held:
            by_worker[self._worker_of[member.number]].append(member.number)
        fair = -(-len(held) // self._pool.size)
        for source, numbers in by_worker.items():
            for target in range(self._pool.size):
                others = by_worker[target]
                count = min(len(numbers) - fair, fair - len(others))
                if source == target or count <= 0:
                    continue
                moved = numbers[-count:]
                staying = [
                    number for number, index in self._worker_of.items() if index == source and number not in moved
                ]
                for files in self._states[source].packed:
                    self._request(target, "unpack", files)
                    self._states[target].packed.append(files)
                self._request(target, "release", staying)
                self._request(source, "release", moved)
                self._worker_of.update(dict.fromkeys(moved, target))
                others.extend(moved)
                del numbers[-count:]


@final
class _Round:
    """One call of `advance`: each worker has one chunk in progress until all members have been trained."""

    def __init__(
        self, pool: WorkerPool, states: list[_WorkerState], worker_of: dict[int, int], notes: list[str], each: int
    ) -> None:
        self._pool, self._states, self._worker_of, self._notes, self._each = pool, states, worker_of, notes, each
        self._in_progress: dict[Future[Any], tuple[int, tuple[TrialConfig, ...]]] = {}
        self._deaths: Counter[int] = Counter()  # by member, while it was trained alone
        self._given_up, self._any_result = 0, False

    def run(self, members: Sequence[TrialConfig], epochs: int) -> Iterator[TrainResult]:
        """Train the members; yield results as they complete."""
        own: list[deque[tuple[TrialConfig, ...]]] = [
            self._chunks([member for member in members if self._worker_of.get(member.number) == index], 1)
            for index in range(self._pool.size)
        ]
        new = self._chunks([member for member in members if member.number not in self._worker_of], self._pool.size)
        for index in range(self._pool.size):
            self._submit(index, own[index], new, epochs)
        try:
            while self._in_progress:
                done, _ = wait(self._in_progress, return_when=FIRST_COMPLETED)
                for future in done:
                    index, chunk = self._in_progress.pop(future)
                    try:
                        results = self._collect(future, index, chunk, epochs)
                    except WorkerDiedError as problem:
                        results = self._after_death(index, chunk, own[index], problem)
                    self._submit(index, own[index], new, epochs)
                    yield from results
        except GeneratorExit:  # the caller stops, but the work in progress completes
            for future, (index, chunk) in self._in_progress.items():
                with self._replacing(index):
                    self._collect(future, index, chunk, epochs)
            raise
        for index in range(self._pool.size):
            with self._replacing(index):  # an idle worker can die too
                self._notes += [note for note in self._pool.call(index, "notes").result() if note not in self._notes]

    def _collect(
        self, future: Future[Any], index: int, chunk: tuple[TrialConfig, ...], epochs: int
    ) -> list[TrainResult]:
        """Collect the results of a chunk and record the chunk for restoring the worker."""
        results: list[TrainResult] = future.result()
        self._any_result = True
        self._states[index].since.append((chunk, epochs))
        self._worker_of.update({member.number: index for member in chunk})
        return results

    def _chunks(self, members: Sequence[TrialConfig], workers: int) -> deque[tuple[TrialConfig, ...]]:
        """Split members into chunks that a worker trains as cheaply as one member, smaller if workers would be idle."""
        size = max(1, min(self._each, -(-len(members) // workers)))
        return deque(tuple(members[start : start + size]) for start in range(0, len(members), size))

    def _submit(
        self, index: int, own: deque[tuple[TrialConfig, ...]], new: deque[tuple[TrialConfig, ...]], epochs: int
    ) -> None:
        waiting = own or new
        if waiting:
            chunk = waiting.popleft()
            self._in_progress[self._pool.call(index, "advance", chunk, epochs)] = (index, chunk)

    def _after_death(
        self, index: int, chunk: tuple[TrialConfig, ...], own: deque[tuple[TrialConfig, ...]], problem: WorkerDiedError
    ) -> list[TrainResult]:
        """Replace the worker; bisect its chunk until the failing configuration is alone, which is given up."""
        self._replace(index, problem)
        # If no worker ever returned a result, the configuration is not the cause, and trying each alone takes long.
        hopeless = self._given_up >= _DEATHS and not self._any_result
        if len(chunk) > 1 and not hopeless:
            half = len(chunk) // 2
            own.extendleft((chunk[half:], chunk[:half]))
            return []
        self._deaths[chunk[0].number] += 1
        if self._deaths[chunk[0].number] < _DEATHS and not hopeless:
            own.appendleft(chunk)
            return []
        self._given_up += len(chunk)
        reason = "its worker died, as did all others" if hopeless else f"{_DEATHS} workers died on it"
        for member in chunk:
            self._worker_of.pop(member.number, None)
        stopped = f"failed: {reason} ({problem})"
        return [
            TrainResult(number=member.number, step=0, costs=(), initial_cost=float("nan"), stopped=stopped)
            for member in chunk
        ]

    @contextmanager
    def _replacing(self, index: int) -> Iterator[None]:
        """Replace a worker that dies in the block; its request is dropped."""
        try:
            yield
        except WorkerDiedError as problem:
            self._replace(index, problem)

    def _replace(self, index: int, problem: WorkerDiedError) -> None:
        self._notes.append(f"worker {index} was replaced: {problem}")
        _restore(self._pool, index, self._states[index], self._worker_of)


def _restore(pool: WorkerPool, index: int, state: _WorkerState, worker_of: Mapping[int, int]) -> None:
    """Restart a worker and restore its members: load the serialized ones and repeat the work done since."""
    why = ""
    for _ in range(_DEATHS):
        pool.restart(index)
        try:
            for files in state.packed:
                pool.call(index, "unpack", files).result()
            for members, epochs in state.since:
                living = tuple(member for member in members if worker_of.get(member.number) == index)
                if living:
                    pool.call(index, "advance", living, epochs).result()
        except WorkerDiedError as problem:
            why = str(problem)
        else:
            return
    raise UserError(
        f"{_DEATHS} workers ended while their members were restored ({why})",
        do="There may be too little memory: use fewer workers, then resume the search",
    )
