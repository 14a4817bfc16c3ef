"""Worker processes: the same suite as every executor, and what only they can suffer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from babysit.records.errors import UserError
from babysit.testing.executor_contract import ExecutorContract, build, close, member, workload
from babysit.tuning.executors.base import Executor, TrainingTask
from babysit.tuning.executors.processes import ProcessPool
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.executors.worker_pool import PoolExecutor
from babysit.tuning.vectorized.executor import VectorizedExecutor

pytestmark = pytest.mark.slow


class Lasting:
    """A pool that is used by one executor after the other: beginning a process takes seconds."""

    def __init__(self) -> None:
        self.pool = ProcessPool(2)
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

    def kill(self, place: int) -> None:
        os.kill(self.pool._workers[place]._process.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def lasting() -> Iterator[Lasting]:
    pool = Lasting()
    yield pool
    pool.pool.close()


class TestProcesses(ExecutorContract):
    @pytest.fixture(autouse=True)
    def _crew(self, lasting: Lasting) -> None:
        self.pool = lasting

    def make(self, workload: TrainingTask) -> Executor:
        return self.pool.executor(workload)


def test_members_are_trained_on_both_and_spread_anew_when_a_rung_left_them_on_one(lasting: Lasting):
    members = [member(number, 10 ** -(1 + number / 4)) for number in range(6)]
    alone = SequentialExecutor(workload())
    expected = {result.number: result for result in alone.advance(members, epochs=1)}
    later = {result.number: result for result in alone.advance(members, epochs=1)}
    executor = lasting.executor(workload())
    for result in executor.advance(members, epochs=1):
        assert close(result, expected[result.number])
    assert set(executor._worker_of.values()) == {0, 1}
    on_one = max(([one for one in members if executor._worker_of[one.number] == place] for place in (0, 1)), key=len)
    assert len(on_one) >= 2  # which of the two trained more is a matter of who was quicker
    executor.release([one.number for one in members if one not in on_one])
    for result in executor.advance(on_one, epochs=1):
        assert close(result, later[result.number])
    assert set(executor._worker_of.values()) == {0, 1}


def test_a_killed_worker_is_replaced_and_repeats_at_most_one_rung(lasting: Lasting):
    members = [member(number, 10 ** -(1 + number / 4)) for number in range(4)]
    alone = SequentialExecutor(workload())
    expected = [{r.number: r for r in alone.advance(members, epochs=1)} for _ in range(3)]
    executor = lasting.executor(workload())
    list(executor.advance(members, epochs=1))
    list(executor.advance(members, epochs=1))
    lasting.kill(0)
    results = {result.number: result for result in executor.advance(members, epochs=1)}
    assert all(close(results[number], expected[2][number]) for number in range(4))
    assert any("worker 0 was replaced: its process ended with signal 9" in note for note in executor.notes)


def test_a_worker_killed_in_the_middle_of_its_work_changes_no_number(lasting: Lasting):
    members = [member(number, 10 ** -(1 + number / 4)) for number in range(4)]
    expected = {r.number: r for r in SequentialExecutor(workload()).advance(members, epochs=40)}
    executor = lasting.executor(workload())
    results = {}
    for result in executor.advance(members, epochs=40):
        if not results:
            lasting.kill(0)
            lasting.kill(1)
        results[result.number] = result
    assert all(close(results[number], expected[number]) for number in range(4))


def deadly(parameters: dict[str, Any]) -> nn.Module:
    if parameters.get("deadly"):
        os.kill(os.getpid(), signal.SIGKILL)
    return build(parameters)


def test_a_configuration_that_kills_every_worker_ends_alone(lasting: Lasting):
    work = workload()
    mortal = TrainingTask(build=deadly, train=work.train, validation=work.validation, batch_size=16, device="cpu")
    executor = lasting.executor(mortal)
    results = {r.number: r for r in executor.advance([member(0), member(1, deadly=True), member(2)], epochs=1)}
    assert results[1].stopped.startswith("failed: 3 workers died on it (its process ended with signal 9)")
    assert results[0].metric is not None
    assert results[2].metric is not None


def test_of_a_chunk_only_the_configuration_that_kills_its_workers_is_given_up(lasting: Lasting):
    work = workload()
    mortal = TrainingTask(build=deadly, train=work.train, validation=work.validation, batch_size=16, device="cpu")
    lasting.pool.begin(mortal, VectorizedExecutor)
    members = [member(number, **({"deadly": True} if number == 2 else {})) for number in range(4)]
    results = {result.number: result for result in PoolExecutor(lasting).advance(members, epochs=1)}
    assert [number for number, result in results.items() if result.stopped] == [2]
    assert results[2].stopped.startswith("failed: 3 workers died on it")
    assert len(results) == 4


def test_a_worker_that_dies_with_nothing_to_do_is_replaced(lasting: Lasting):
    executor = lasting.executor(workload())
    list(executor.advance([member(0), member(1)], epochs=1))
    idle = executor._worker_of[1]
    results = []
    for result in executor.advance([member(0)], epochs=1):
        lasting.kill(idle)
        results.append(result)
    assert [result.number for result in results] == [0]
    assert any(f"worker {idle} was replaced" in note for note in executor.notes)
    assert {result.stopped for result in executor.advance([member(0), member(1)], epochs=1)} == {""}


def test_a_builder_made_inside_a_function_reaches_the_workers(lasting: Lasting):
    width = 5
    work = workload()
    inner = TrainingTask(
        build=lambda parameters: nn.Sequential(nn.Linear(6, width), nn.ReLU(), nn.Linear(width, 3)),
        train=work.train,
        validation=work.validation,
        device="cpu",
    )
    assert next(iter(lasting.executor(inner).advance([member(0)], epochs=1))).stopped == ""


def test_what_was_saved_by_two_is_loaded_by_one_and_refused_by_others(lasting: Lasting, tmp_path: Path):
    members = [member(number) for number in range(3)]
    executor = lasting.executor(workload())
    list(executor.advance(members, epochs=1))
    executor.save(tmp_path)
    expected = {r.number: r for r in executor.advance(members, epochs=1)}
    again = lasting.executor(workload())
    again.load(tmp_path)
    results = {r.number: r for r in again.advance(members, epochs=1)}
    assert all(close(results[number], expected[number]) for number in range(3))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="not the saved state of a worker pool"):
        again.load(tmp_path / "empty")


def test_workers_end_when_the_process_that_began_them_is_killed(tmp_path: Path):
    program = (
        "import time\n"
        "from babysit.tuning.executors.processes import ProcessPool\n"
        "pool = ProcessPool(1)\n"
        "pool._workers[0].call('width', ())\n"
        "print(pool._workers[0]._process.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    worker = int(driver.stdout.readline())
    driver.kill()
    driver.wait()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{worker}").exists() and "Z" not in Path(f"/proc/{worker}/stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the worker outlived its driver"
        time.sleep(0.05)
