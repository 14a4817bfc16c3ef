"""When to sample: dense at first, then by the budget, from measured times."""

from __future__ import annotations

import pytest

from babysit.monitor.schedule import DENSE_STEPS, Schedule


def sampled_steps(overhead: float, *, steps: int, plain: float, cost: float) -> list[int]:
    """The steps a schedule samples when every step takes `plain` seconds and a sample `cost` more."""
    schedule, taken = Schedule(overhead), []
    for step in range(steps):
        sampled = schedule.should_sample(step)
        schedule.record_step_time(step, plain + cost * sampled, sampled=sampled)
        if sampled:
            taken.append(step)
    return taken


def test_the_beginning_is_dense_and_a_short_run_is_seen_to_its_end() -> None:
    taken = sampled_steps(0.01, steps=200, plain=0.002, cost=0.001)
    assert taken[:DENSE_STEPS] == list(range(DENSE_STEPS))
    assert taken[-1] > 150


@pytest.mark.parametrize("overhead", [0.002, 0.01, 0.05])
def test_a_long_run_keeps_to_its_budget(overhead: float) -> None:
    taken = sampled_steps(overhead, steps=40_000, plain=0.002, cost=0.001)
    late = [step for step in taken if step >= 20_000]
    share = len(late) * 0.001 / (20_000 * 0.002)
    assert overhead / 3 < share <= overhead * 1.05


def test_samples_fall_on_odd_and_on_even_steps() -> None:
    late = [step for step in sampled_steps(0.01, steps=20_000, plain=0.002, cost=0.001) if step > 1000]
    assert 0.2 < sum(step % 2 for step in late) / len(late) < 0.8


def test_a_sample_that_costs_nothing_is_taken_often_and_time_that_stands_still_breaks_nothing() -> None:
    assert len(sampled_steps(0.01, steps=100, plain=0.01, cost=0.0)) > 40  # the jitter leaves some out
    assert sampled_steps(0.01, steps=100, plain=0.0, cost=0.0)


def test_after_an_alarm_three_steps_are_sampled_and_then_it_goes_on_as_before() -> None:
    schedule, taken = Schedule(0.01), []
    for step in range(30_000):
        if step == 20_000:
            schedule.request_samples()
        sampled = schedule.should_sample(step)
        schedule.record_step_time(step, 0.002 + 0.001 * sampled, sampled=sampled)
        if sampled and step >= 20_000:
            taken.append(step)
    assert taken[:3] == [20_000, 20_001, 20_002]
    assert taken[3] > 20_010
