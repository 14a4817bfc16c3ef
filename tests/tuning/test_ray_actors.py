"""Ray actors: the same suite as every executor, an actor that dies, and what is said when Ray cannot be used."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from babysit.records.errors import UserError
from babysit.testing.executor_contract import ExecutorContract, close, member, workload
from babysit.tuning.executors.base import Executor, TrainingTask
from babysit.tuning.executors.ray_actors import ActorPool, ray_actors
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.executors.worker_pool import PoolExecutor

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


class Lasting:
    """A pool that is used by one executor after the other: beginning a cluster takes seconds."""

    def __init__(self) -> None:
        pytest.importorskip("ray")
        os.environ.setdefault("RAY_worker_niceness", "0")  # at its usual 15, actors wait for everything else in a suite
        self.pool = ActorPool(2, address="", own_cpus=2)
        self.size = 2

    def executor(self, workload: TrainingTask) -> PoolExecutor:
        self.pool.begin(workload, SequentialExecutor)
        return PoolExecutor(self)

    def call(self, place: int, what: str, *values: Any) -> Future[Any]:
        return self.pool.call(place, what, *values)

    def restart(self, place: int) -> None:
        self.pool.restart(place)

    def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def lasting() -> Iterator[Lasting]:
    pool = Lasting()
    yield pool
    pool.pool.close()


class TestRayActors(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _crew(self, lasting: Lasting) -> None:
        self.pool = lasting

    def make(self, workload: TrainingTask) -> Executor:
        return self.pool.executor(workload)


def test_a_killed_actor_is_replaced_and_repeats_at_most_one_rung(lasting: Lasting):
    members = [member(number, 10 ** -(1 + number / 4)) for number in range(4)]
    alone = SequentialExecutor(workload())
    expected = [{r.number: r for r in alone.advance(members, epochs=1)} for _ in range(3)]
    executor = lasting.executor(workload())
    list(executor.advance(members, epochs=1))
    list(executor.advance(members, epochs=1))
    victim = lasting.call(0, "process_id").result()
    os.kill(victim, signal.SIGKILL)
    results = {result.number: result for result in executor.advance(members, epochs=1)}
    assert all(close(results[number], expected[2][number]) for number in range(4))
    assert any("worker 0 was replaced" in note for note in executor.notes)


def test_an_actor_killed_in_the_middle_of_its_work_changes_no_number(lasting: Lasting):
    members = [member(number, 10 ** -(1 + number / 4)) for number in range(4)]
    expected = {r.number: r for r in SequentialExecutor(workload()).advance(members, epochs=40)}
    executor = lasting.executor(workload())
    victims = [lasting.call(place, "process_id").result() for place in range(2)]
    results = {}
    for result in executor.advance(members, epochs=40):
        if not results:
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
        results[result.number] = result
    assert all(close(results[number], expected[number]) for number in range(4))


def test_more_workers_than_the_cluster_has_cpus_are_refused_with_the_numbers(lasting: Lasting):
    with pytest.raises(UserError, match="the cluster has 2 CPUs, fewer than the 64 workers"):
        ray_actors(64)(workload())


def test_without_ray_the_user_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UserError, match=r"pip install 'babysit\[ray\]'"):
        ray_actors(2)(workload())
