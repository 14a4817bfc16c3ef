"""Contract tests of executors: subclass `ExecutorContract` as Test… and implement `make`."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from babysit.data.samples import Samples
from babysit.records.errors import UserError
from babysit.records.model_summary import Task
from babysit.records.trial import Value
from babysit.tuning.early_termination import EXPLODED, INFINITE, NOT_A_NUMBER
from babysit.tuning.executors.base import Executor, TrainingTask, TrainResult, TrialConfig

EPOCHS = 2
_DIVERGED = (EXPLODED, INFINITE, NOT_A_NUMBER)


def build(parameters: dict[str, Value]) -> nn.Module:
    """Build a small network with dropout, so that training draws random numbers; `broken` makes it fail."""
    if parameters.get("broken"):
        raise RuntimeError("this configuration cannot be built")
    return nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 3))


def workload() -> TrainingTask:
    """Return a task with three blobs of points with six features: 120 to train on, 60 to validate."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(180) % 3
    x = torch.randn(180, 6, generator=generator) + 2.0 * nn.functional.one_hot(y, 6)
    samples = Samples(x=x, y=y, task=Task.CLASSES, kind="table", class_names=("a", "b", "c"), source="blobs")
    return TrainingTask(
        build=build,
        train=samples.take(torch.arange(120)),
        validation=samples.take(torch.arange(120, 180)),
        batch_size=16,
        device="cpu",
    )


def member(number: int, lr: float = 1e-2, **parameters: Value) -> TrialConfig:
    """Return a member with this learning rate."""
    return TrialConfig(number=number, parameters={"lr": lr, **parameters}, seed=7)


class ExecutorContract(ABC):
    """The test suite; every test gets a new executor from `make`."""

    @abstractmethod
    def make(self, workload: TrainingTask) -> Executor:
        """Create the executor under test."""

    @contextmanager
    def opened(self) -> Iterator[Executor]:
        """Open an executor that is closed after the block."""
        executor = self.make(workload())
        try:
            yield executor
        finally:
            executor.close()

    def advanced(self, *members: TrialConfig, epochs: int = EPOCHS) -> dict[int, TrainResult]:
        """Train these members with a new executor."""
        with self.opened() as executor:
            return {advance.number: advance for advance in executor.advance(members, epochs=epochs)}

    def test_each_member_gives_one_result_with_every_cost_and_a_metric(self) -> None:
        """Check the number of losses: 120 samples in batches of 16 are 8 steps per epoch."""
        results = self.advanced(member(0), member(1, 1e-3))
        assert set(results) == {0, 1}
        for result in results.values():
            assert result.step == len(result.costs) == 8 * EPOCHS
            assert result.initial_cost == result.costs[0]
            assert abs(result.initial_cost - math.log(3)) < 1.0
            assert result.metric is not None
            assert 0.0 <= result.metric <= 1.0
            assert result.metric_name == "accuracy"
            assert result.stopped == ""
            assert result.seconds > 0

    def test_training_is_real(self) -> None:
        """Check that separable blobs are learned."""
        result = self.advanced(member(0), epochs=10)[0]
        assert result.metric is not None
        assert result.metric > 0.8
        assert sum(result.costs[-8:]) < 0.7 * sum(result.costs[:8])

    def test_members_of_one_seed_begin_alike_and_differ_by_their_hyperparameters_alone(self) -> None:
        """Check for common random numbers."""
        results = self.advanced(member(0, 1e-2), member(1, 1e-4), member(2, 1e-2))
        assert math.isclose(results[0].initial_cost, results[1].initial_cost, rel_tol=1e-5)
        assert close(results[0], results[2])
        assert not close(results[0], results[1])

    def test_a_result_does_not_depend_on_order_or_other_members(self) -> None:
        """Check that results are equal alone, first and last."""
        alone = self.advanced(member(0))[0]
        assert close(alone, self.advanced(member(1, 0.1), member(0), member(2, 1e-5))[0])
        assert close(alone, self.advanced(member(2, 1e-5), member(1, 0.1), member(0))[0])

    def test_advancing_twice_equals_advancing_once(self) -> None:
        """Check that optimizer state, data order and random state continue."""
        whole = self.advanced(member(0), epochs=4)[0]
        with self.opened() as executor:
            first = next(iter(executor.advance([member(0)], epochs=1)))
            list(executor.advance([member(1, 0.05)], epochs=1))
            second = next(iter(executor.advance([member(0)], epochs=3)))
        assert second.step == whole.step
        assert second.initial_cost == first.initial_cost
        parts = (*first.costs, *second.costs)
        assert all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(parts, whole.costs, strict=True))
        assert second.metric == whole.metric

    def test_several_members_advanced_twice_equal_them_advanced_once(self) -> None:
        """Check this also for another order and with members left out."""
        members = [member(number, 10.0 ** (-1 - number)) for number in range(3)]
        whole = self.advanced(*members, epochs=3)
        with self.opened() as executor:
            first = {advance.number: advance for advance in executor.advance(members, epochs=1)}
            second = {advance.number: advance for advance in executor.advance([members[2], members[0]], epochs=2)}
        for number in (0, 2):
            parts = (*first[number].costs, *second[number].costs)
            assert second[number].step == whole[number].step
            assert all(math.isclose(a, b, rel_tol=1e-4) for a, b in zip(parts, whole[number].costs, strict=True))

    def test_saved_members_continue_to_the_same_numbers(self, tmp_path: Path) -> None:
        """Check this in a new executor, and in the one that saved them."""
        planned = replace(
            member(3, lr_end=0.01), epochs=3
        )  # the schedule of the learning rate depends on the planned epochs
        members = [member(0), member(1, 1e-3), member(2, 1e6, optimizer="sgd"), planned]
        with self.opened() as executor:
            list(executor.advance(members, epochs=1))
            executor.save(tmp_path)
            written = {advance.number: advance for advance in executor.advance(members, epochs=2)}
        with self.opened() as executor:
            executor.load(tmp_path)
            read = {advance.number: advance for advance in executor.advance(members, epochs=2)}
        for number in (0, 1, 3):
            assert read[number].step == written[number].step == 8 * 3
            assert read[number].initial_cost == written[number].initial_cost
            assert close(read[number], written[number])
        assert read[2].stopped in _DIVERGED
        assert read[2].step == written[2].step

    def test_loaded_members_are_added_to_those_already_there(self, tmp_path: Path) -> None:
        """Check that saving again stores both, and only their latest state."""
        alone = self.advanced(member(0), epochs=2)[0]
        with self.opened() as executor:
            list(executor.advance([member(0)], epochs=1))
            executor.save(tmp_path)
        with self.opened() as executor:
            list(executor.advance([member(1, 1e-3)], epochs=1))
            executor.load(tmp_path)
            executor.save(tmp_path)
        with self.opened() as executor:
            executor.load(tmp_path)
            results = {advance.number: advance for advance in executor.advance([member(0), member(1, 1e-3)], epochs=1)}
        assert results[0].step == results[1].step == 8 * 2
        assert math.isclose(results[0].costs[-1], alone.costs[-1], rel_tol=1e-4)

    def test_a_folder_without_a_state_is_a_one_line_error(self, tmp_path: Path) -> None:
        """Check that the error has no traceback of internal failures."""
        message = ""
        with self.opened() as executor:
            try:
                executor.load(tmp_path)
            except UserError as problem:
                message = str(problem)
        assert str(tmp_path) in message

    def test_another_seed_gives_another_initialization(self) -> None:
        """Check that weights and data order change."""
        other = TrialConfig(number=1, parameters={"lr": 1e-2}, seed=8)
        results = self.advanced(member(0), other)
        assert results[0].initial_cost != results[1].initial_cost

    def test_a_member_that_diverges_ends_alone_with_its_reason(self) -> None:
        """Check that its last loss is the diverged one, and the others are unaffected."""
        alone = self.advanced(member(0))[0]
        results = self.advanced(member(1, 1e6, optimizer="sgd"), member(0))
        assert results[1].stopped in _DIVERGED
        assert results[1].metric is None
        assert results[1].step < 8 * EPOCHS
        last = results[1].costs[-1]
        assert not math.isfinite(last) or last > 3 * results[1].initial_cost
        assert close(alone, results[0])

    def test_a_stopped_member_is_not_trained_further(self) -> None:
        """Check that it returns its last result again."""
        with self.opened() as executor:
            first = next(iter(executor.advance([member(0, 1e6, optimizer="sgd")], epochs=1)))
            again = next(iter(executor.advance([member(0, 1e6, optimizer="sgd")], epochs=1)))
        assert again.stopped == first.stopped != ""
        assert again.step == first.step

    def test_a_configuration_that_raises_ends_alone_with_its_reason(self) -> None:
        """Check that one bad configuration does not end a search."""
        results = self.advanced(member(0, broken=True), member(1))
        assert results[0].stopped.startswith("failed: ")
        assert "cannot be built" in results[0].stopped
        assert results[1].stopped == ""

    def test_a_released_member_starts_again(self) -> None:
        """Check also that releasing unknown members is no error."""
        with self.opened() as executor:
            first = next(iter(executor.advance([member(0)], epochs=1)))
            executor.release([0, 99])
            again = next(iter(executor.advance([member(0)], epochs=1)))
        assert again.step == first.step
        assert close(first, again)

    def test_the_callers_random_numbers_and_threads_are_left_alone(self) -> None:
        """Check that the caller's global state is unchanged."""
        torch.manual_seed(1)
        expected = torch.rand(3)
        torch.manual_seed(1)
        threads = torch.get_num_threads()
        self.advanced(member(0))
        assert torch.equal(torch.rand(3), expected)
        assert torch.get_num_threads() == threads

    def test_it_may_be_closed_twice_and_says_how_many_it_takes(self) -> None:
        """Check that the width is at least one."""
        executor = self.make(workload())
        assert executor.width >= 1
        executor.close()
        executor.close()


def close(one: TrainResult, other: TrainResult) -> bool:
    """Check whether two results are equal up to the rounding of another order of summation."""
    return one.step == other.step and all(
        math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6) for a, b in zip(one.costs, other.costs, strict=True)
    )
