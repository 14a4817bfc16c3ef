"""Which backend is taken, and what is said of the others."""

from __future__ import annotations

import contextlib
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from babysit.testing.executor_contract import workload
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.vectorized import autotune, calibrate, group
from babysit.tuning.vectorized.backends import ONE_BY_ONE, SHARED_INPUT, SIDE_BY_SIDE, Backend, train_step_of
from babysit.tuning.vectorized.compiling import matmul_precision, true_float32
from babysit.tuning.vectorized.executor import VectorizedExecutor

pytestmark = pytest.mark.usefixtures("never_plain")
PLENTY = 10_000_000


def dense(_):
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 3))


def chosen(count=8, **changes):
    group._KNOWN.clear()
    population = VectorizedExecutor(replace(workload(), build=dense, **changes))
    members = [TrialConfig(number=n, parameters={"lr": 1e-3 * (n + 1)}, seed=0) for n in range(count)]
    advances = list(population.advance(members, epochs=1))
    (choice,) = group._KNOWN.values() or (None,)
    return choice, population.notes, {advance.backend for advance in advances}


def test_little_work_is_not_worth_compiling():
    choice, notes, backends = chosen()
    assert not any(tried.backend.compiled for tried in choice.tried)
    assert backends == {str(choice.backend)}
    assert "times as fast" in notes[0]


def test_a_machine_without_a_compiler_is_told_and_goes_on_uncompiled(monkeypatch):
    def compiled_step(*_):
        raise RuntimeError("g++ was not found. Install a compiler")

    monkeypatch.setattr(autotune, "compiled_step", compiled_step)
    choice, notes, _ = chosen(steps=PLENTY)
    assert any(tried.backend.compiled for tried in choice.tried)
    assert not choice.backend.compiled
    assert "g++ was not found" in notes[0]


def test_a_compiled_program_with_other_costs_is_refused(monkeypatch):
    def compiled_step(backend, plan, _stack, _batch):
        step = train_step_of(backend, plan)
        return lambda stack, batch: step(stack, batch._replace(x=batch.x * 1.01))

    monkeypatch.setattr(autotune, "compiled_step", compiled_step)
    choice, notes, _ = chosen(steps=PLENTY)
    assert not choice.backend.compiled
    assert re.search(r"loss \S+ at step \d, but \S+ in plain PyTorch", notes[0])


def test_a_moment_of_other_work_does_not_decide(monkeypatch):
    """Another process slows what is timed first; backends are timed in turns, so that it hits none of them alone."""
    real, seen = autotune._seconds, set()

    def seconds(backend, step, bench):
        disturbed = backend not in seen
        seen.add(backend)
        return real(backend, step, bench) + disturbed * (1 + len(seen))

    monkeypatch.setattr(autotune, "_seconds", seconds)
    choice, _, _ = chosen()
    assert choice.backend.width > 1
    assert all(tried.seconds < 1 for tried in choice.tried)


def test_a_form_that_fails_in_a_later_turn_is_left(monkeypatch):
    real, times = autotune._seconds, {}

    def seconds(backend, step, bench):
        times[backend] = times.get(backend, 0) + 1
        if backend.strategy == SHARED_INPUT and times[backend] > 1:
            raise MemoryError("not enough memory")
        return real(backend, step, bench)

    monkeypatch.setattr(autotune, "_seconds", seconds)
    choice, notes, _ = chosen()
    assert choice.backend.strategy != SHARED_INPUT
    assert "MemoryError: not enough memory" in notes[0]


def test_the_shared_input_is_compiled_first_and_at_the_good_width_that_is_wider():
    def tried(way, width, seconds):
        return autotune.Candidate(Backend(strategy=way, width=width), seconds)

    eager = [
        *(tried(ONE_BY_ONE, 1, 1.0), tried(SHARED_INPUT, 4, 1.1), tried(SIDE_BY_SIDE, 4, 1.2)),
        *(tried(SHARED_INPUT, 8, 1.4), tried(SIDE_BY_SIDE, 8, 1.7)),
    ]
    assert calibrate._worth_compiling(eager) == [
        Backend(strategy=SHARED_INPUT, width=8),
        Backend(strategy=ONE_BY_ONE, width=1),
        Backend(strategy=SIDE_BY_SIDE, width=4),
    ]
    assert calibrate._worth_compiling([tried(ONE_BY_ONE, 1, 1.0), tried(SHARED_INPUT, 4, 2.1)]) == [
        Backend(strategy=ONE_BY_ONE, width=1)
    ]


def test_bfloat16_is_tried_only_when_it_is_allowed():
    exact, _, _ = chosen()
    assert not any(tried.backend.bf16 for tried in exact.tried)
    half, _, backends = chosen(precision="bf16")
    assert half.backend.bf16
    assert all("bfloat16" in backend for backend in backends)


def test_one_member_with_little_to_do_is_trained_plainly_without_trying():
    choice, notes, backends = chosen(count=1)
    assert choice is None
    assert notes == []
    assert backends == {"one by one in plain PyTorch"}


def test_whether_products_are_true_float32_is_measured(monkeypatch):
    assert true_float32("highest")
    true_float32.cache_clear()
    true_product = torch.Tensor.__matmul__

    def rounded(one, other):
        return true_product(one.bfloat16(), other.bfloat16()).float() if one.dtype == torch.float32 else one @ other

    monkeypatch.setattr(
        torch.Tensor, "__matmul__", lambda a, b: true_product(a, b) if a.dtype == torch.float64 else rounded(a, b)
    )
    try:
        assert not true_float32("medium")
    finally:
        true_float32.cache_clear()


def test_the_matmul_precision_is_put_back_also_after_an_error():
    before = torch.get_float32_matmul_precision()
    inside = []
    with contextlib.suppress(ValueError), matmul_precision("medium"):
        inside.append(torch.get_float32_matmul_precision())
        raise ValueError
    assert inside == ["medium"]
    assert torch.get_float32_matmul_precision() == before
