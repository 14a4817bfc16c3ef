"""How a executor hands out its members, with workers that are only written down."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from babysit.testing.executor_contract import member, workload
from babysit.tuning.executors.base import TrainResult
from babysit.tuning.executors.worker_pool import PoolExecutor
from babysit.tuning.executors.worker_runtime import with_samples, without_samples


class Written:
    """A pool whose workers train nothing, 64 members at a time."""

    size = 2

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []  # place, members

    def call(self, place: int, what: str, *values: Any) -> Future[Any]:
        future: Future[Any] = Future()
        answers: dict[str, Any] = {"width": 64, "notes": [], "pack": {}}
        if what == "advance":
            self.given.append((place, len(values[0])))
            answers[what] = [
                TrainResult(number=one.number, step=1, costs=(1.0,), initial_cost=1.0, metric=0.5) for one in values[0]
            ]
        future.set_result(answers.get(what))
        return future

    def restart(self, place: int) -> None:
        raise AssertionError(place)

    def close(self) -> None:
        pass


def test_members_that_stay_where_they_are_go_on_together():
    """Cut in two, eight that are trained as cheaply as one would take twice as long."""
    pool = Written()
    executor = PoolExecutor(pool)
    members = [member(number) for number in range(32)]
    assert len(list(executor.advance(members, epochs=1))) == 32
    assert pool.given == [(0, 16), (1, 16)]
    pool.given.clear()
    assert len(list(executor.advance(members[:8] + members[16:24], epochs=1))) == 16
    assert pool.given == [(0, 8), (1, 8)]


def test_a_worker_expects_only_its_share_of_the_steps():
    """Whether compiling pays there depends on what it has to do itself."""
    whole = replace(workload(), steps=1001)
    bare, samples = without_samples(whole, 4)
    assert bare.steps == 251
    assert with_samples(bare, samples).train.x.equal(whole.train.x)
