"""Several workers as one executor: members are spread over them, and a worker that dies is replaced."""

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

# A configuration that ends its worker so often while it is trained alone (out of memory, a crash in native code) is to
# blame.
_DEATHS: Final = 3
_HOMES: Final = "team.json"


class WorkerDiedError(Exception):
    """A worker ended before it had answered; how, in words."""


class WorkerPool(Protocol):
    """The workers, wherever they are. Each hosts one executor (tuning/executors/worker_runtime.py) and answers one call
    after the other.
    """

    @property
    def size(self) -> int:
        """How many there are."""
        ...

    def call(self, place: int, what: str, *values: Any) -> Future[Any]:
        """Asks one for something; the future raises WorkerDiedError when it ends instead."""
        ...

    def renew(self, place: int) -> None:
        """Puts a new worker, which holds nothing, in the place of one that died."""
        ...

    def close(self) -> None:
        """Ends all of them, whatever they are doing; may be called twice."""
        ...


@final
@dataclass
class _WorkerState:
    """What is known of the worker at one place."""

    packed: list[Mapping[str, bytes]] = field(default_factory=list)  # what to begin again from
    since: list[tuple[tuple[TrialConfig, ...], int]] = field(default_factory=list)  # trained since then


@final
class PoolExecutor:
    """An `Executor` over a crew.

    Members stay where they began, since that is where their weights are. Before they are trained further, what each
    worker holds is fetched: a worker that dies is replaced, gets that back and repeats what it did since, which is at
    most one rung. Members are moved when a rung has left them unevenly spread.
    """

    def __init__(self, crew: WorkerPool) -> None:
        self._crew = crew
        self._posts = [_WorkerState() for _ in range(crew.size)]
        self._homes: dict[int, int] = {}
        self._notes: list[str] = []
        self._each = int(self._ask(0, "width"))

    @property
    def width(self) -> int:
        """That of all workers together."""
        return self._each * self._crew.size

    @property
    def notes(self) -> Sequence[str]:
        """Those of the workers, each once, and which of them died."""
        return self._notes

    def advance(self, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        """Trains members on all workers at once; results come as they are ready."""
        held = [member for member in members if member.number in self._homes]
        if held:
            self._pack()
            self._spread(held)
        yield from _Round(self._crew, self._posts, self._homes, self._notes, self._each).run(members, epochs)

    def forget(self, numbers: Iterable[int]) -> None:
        """Frees what these members hold."""
        homes = [(number, self._homes.pop(number)) for number in list(numbers) if number in self._homes]
        for place in range(self._crew.size):
            if gone := [number for number, home in homes if home == place]:
                self._crew.call(place, "forget", gone)

    def save(self, folder: Path) -> None:
        """Writes what every worker holds into a folder of its own there."""
        self._pack()
        for former in folder.glob("worker-*"):
            shutil.rmtree(former)
        for place, post in enumerate(self._posts):
            for order, files in enumerate(post.packed):
                part = folder / f"worker-{place}-{order}"
                part.mkdir()
                for name, content in files.items():
                    put(part / name, content)
        put(folder / _HOMES, msgspec.json.encode({str(number): place for number, place in self._homes.items()}))

    def load(self, folder: Path) -> None:
        """Hands out what was saved there, also when it was saved by more workers or fewer."""
        if not (folder / _HOMES).exists():
            raise UserError("this is not the state of a team of workers", where=str(folder), do="Start anew without it")
        homes = msgspec.json.decode((folder / _HOMES).read_bytes(), type=dict[str, int])
        self._homes.update({int(number): place % self._crew.size for number, place in homes.items()})
        for part in sorted(folder.glob("worker-*")):
            place = int(part.name.split("-")[1]) % self._crew.size
            files = {file.name: file.read_bytes() for file in part.iterdir()}
            self._ask(place, "unpack", files)
            self._posts[place].packed.append(files)

    def close(self) -> None:
        """Ends the workers."""
        self._crew.close()
        self._homes.clear()

    def _ask(self, place: int, what: str, *values: Any) -> Any:
        try:
            return self._crew.call(place, what, *values).result()
        except WorkerDiedError as problem:
            self._replace(place, problem)
            return self._crew.call(place, what, *values).result()

    def _replace(self, place: int, problem: WorkerDiedError) -> None:
        self._notes.append(f"worker {place} was replaced: {problem}")
        _revive(self._crew, place, self._posts[place], self._homes)

    def _pack(self) -> None:
        """Fetches what the workers hold, unless nothing was trained since the last time."""
        changed = [place for place, post in enumerate(self._posts) if post.since or len(post.packed) > 1]
        asked = {place: self._crew.call(place, "pack") for place in changed}
        for place, future in asked.items():
            post = self._posts[place]
            try:
                post.packed = [future.result()]
            except WorkerDiedError as problem:
                self._replace(place, problem)
                post.packed = [self._ask(place, "pack")]
            post.since = []

    def _spread(self, held: Sequence[TrialConfig]) -> None:
        """Moves members from places that have too many of these to such as have too few."""
        by_place: dict[int, list[int]] = {place: [] for place in range(self._crew.size)}
        for member in held:
            by_place[self._homes[member.number]].append(member.number)
        fair = -(-len(held) // self._crew.size)
        for giver, numbers in by_place.items():
            for taker in range(self._crew.size):
                others = by_place[taker]
                count = min(len(numbers) - fair, fair - len(others))
                if giver == taker or count <= 0:
                    continue
                moved = numbers[-count:]
                staying = [number for number, place in self._homes.items() if place == giver and number not in moved]
                for files in self._posts[giver].packed:
                    self._ask(taker, "unpack", files)
                    self._posts[taker].packed.append(files)
                self._ask(taker, "forget", staying)
                self._ask(giver, "forget", moved)
                self._homes.update(dict.fromkeys(moved, taker))
                others.extend(moved)
                del numbers[-count:]


@final
class _Round:
    """One advance: every worker has one chunk under way until all members have been trained."""

    def __init__(
        self, crew: WorkerPool, posts: list[_WorkerState], homes: dict[int, int], notes: list[str], each: int
    ) -> None:
        self._crew, self._posts, self._homes, self._notes, self._each = crew, posts, homes, notes, each
        self._under_way: dict[Future[Any], tuple[int, tuple[TrialConfig, ...]]] = {}
        self._deaths: Counter[int] = Counter()  # by member, while it was trained alone
        self._given_up, self._any_result = 0, False

    def run(self, members: Sequence[TrialConfig], epochs: int) -> Iterator[TrainResult]:
        """Trains them; results come as they are ready."""
        own: list[deque[tuple[TrialConfig, ...]]] = [
            self._chunks([member for member in members if self._homes.get(member.number) == place], 1)
            for place in range(self._crew.size)
        ]
        new = self._chunks([member for member in members if member.number not in self._homes], self._crew.size)
        for place in range(self._crew.size):
            self._give(place, own[place], new, epochs)
        try:
            while self._under_way:
                done, _ = wait(self._under_way, return_when=FIRST_COMPLETED)
                for future in done:
                    place, chunk = self._under_way.pop(future)
                    try:
                        results = self._taken(future, place, chunk, epochs)
                    except WorkerDiedError as problem:
                        results = self._after_death(place, chunk, own[place], problem)
                    self._give(place, own[place], new, epochs)
                    yield from results
        except GeneratorExit:  # nobody wants the rest, but it has been trained
            for future, (place, chunk) in self._under_way.items():
                with self._replacing(place):
                    self._taken(future, place, chunk, epochs)
            raise
        for place in range(self._crew.size):
            with self._replacing(place):  # also one that had nothing to do can die
                self._notes += [note for note in self._crew.call(place, "notes").result() if note not in self._notes]

    def _taken(self, future: Future[Any], place: int, chunk: tuple[TrialConfig, ...], epochs: int) -> list[TrainResult]:
        """What a worker has found, written down before it is told."""
        results: list[TrainResult] = future.result()
        self._any_result = True
        self._posts[place].since.append((chunk, epochs))
        self._homes.update({member.number: place for member in chunk})
        return results

    def _chunks(self, members: Sequence[TrialConfig], workers: int) -> deque[tuple[TrialConfig, ...]]:
        """Parts of a size that a worker trains as cheaply as one member, smaller where workers would have none."""
        size = max(1, min(self._each, -(-len(members) // workers)))
        return deque(tuple(members[start : start + size]) for start in range(0, len(members), size))

    def _give(
        self, place: int, own: deque[tuple[TrialConfig, ...]], new: deque[tuple[TrialConfig, ...]], epochs: int
    ) -> None:
        waiting = own or new
        if waiting:
            chunk = waiting.popleft()
            self._under_way[self._crew.call(place, "advance", chunk, epochs)] = (place, chunk)

    def _after_death(
        self, place: int, chunk: tuple[TrialConfig, ...], own: deque[tuple[TrialConfig, ...]], problem: WorkerDiedError
    ) -> list[TrainResult]:
        """Replaces the worker; the chunk waits for it in halves until the guilty one is alone, which is given up."""
        self._replace(place, problem)
        # Where nothing ever comes back it is not the configuration, and to try each of them alone takes long.
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
        said = "its worker died, as did those of all others" if hopeless else f"{_DEATHS} workers died on it"
        for member in chunk:
            self._homes.pop(member.number, None)
        stopped = f"failed: {said} ({problem})"
        return [
            TrainResult(number=member.number, step=0, costs=(), initial_cost=float("nan"), stopped=stopped)
            for member in chunk
        ]

    @contextmanager
    def _replacing(self, place: int) -> Iterator[None]:
        """A worker that dies meanwhile is replaced; what was asked of it is left undone."""
        try:
            yield
        except WorkerDiedError as problem:
            self._replace(place, problem)

    def _replace(self, place: int, problem: WorkerDiedError) -> None:
        self._notes.append(f"worker {place} was replaced: {problem}")
        _revive(self._crew, place, self._posts[place], self._homes)


def _revive(crew: WorkerPool, place: int, post: _WorkerState, homes: Mapping[int, int]) -> None:
    """A new worker that holds what the one before held: what was packed last, and what it has trained since."""
    why = ""
    for _ in range(_DEATHS):
        crew.renew(place)
        try:
            for files in post.packed:
                crew.call(place, "unpack", files).result()
            for members, epochs in post.since:
                living = tuple(member for member in members if homes.get(member.number) == place)
                if living:
                    crew.call(place, "advance", living, epochs).result()
        except WorkerDiedError as problem:
            why = str(problem)
        else:
            return
    raise UserError(
        f"{_DEATHS} workers ended while they were given back what they had trained ({why})",
        do="There may be too little memory: use fewer workers, then go on with the same search",
    )
