"""What the guard keeps and what it lets through."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from babysit.monitor import environment, metric_collector
from babysit.monitor.errors import ErrorBoundary
from babysit.monitor.monitor import Monitor

INPUTS = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))


class TimeIsUpError(Exception):
    """What a script's own handler raises."""


def guard() -> tuple[ErrorBoundary, list[str]]:
    told: list[str] = []
    return ErrorBoundary(lambda _kind, detail: told.append(detail)), told


def fails() -> None:
    raise ValueError("bad")


def test_a_problem_is_told_once_a_place_and_in_words() -> None:
    ours, told = guard()
    for _ in range(3):
        with ours.contained("here"):
            fails()
    assert told == ["here: ValueError: bad"]
    assert ours.gaps == told


def test_a_problem_that_cannot_be_told_or_read_goes_no_further() -> None:
    class UnreadableError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    def tell(_kind: str, _detail: str) -> None:
        raise OSError

    ours = ErrorBoundary(tell)
    with ours.contained("here"):
        raise UnreadableError
    assert ours.gaps == ["here: UnreadableError: (its message cannot be read)"]


def test_each_part_runs_whatever_becomes_of_the_others_and_twice_where_it_failed() -> None:
    ours, told = guard()
    ran: list[str] = []

    def once() -> None:
        ran.append("once")
        if ran.count("once") < 2:
            raise ValueError

    ours.surely("end", once, fails, lambda: ran.append("last"))
    assert ran == ["once", "once", "last"]
    assert len(told) == 1  # both failed in this file: no place of ours to tell them apart


def test_an_interrupt_is_never_kept() -> None:
    ours, _ = guard()
    with pytest.raises(KeyboardInterrupt), ours.contained("here"):
        raise KeyboardInterrupt


def handler(_number: int, _frame: object) -> None:
    raise TimeIsUpError


class Handler:
    def of_an_object(self, _number: int, _frame: object) -> None:
        raise TimeIsUpError

    def of_anything(self, *_arguments: object) -> None:
        raise TimeIsUpError


def of_more(_more: str, _number: int, _frame: object) -> None:
    raise TimeIsUpError


@pytest.mark.parametrize(
    "handle", [handler, Handler().of_an_object, Handler().of_anything, functools.partial(of_more, "more")]
)
@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals come to the main thread")
def test_what_a_handler_of_signals_raises_while_we_measure_reaches_the_training(
    monkeypatch: pytest.MonkeyPatch, handle: Callable[..., Any]
) -> None:
    measure = metric_collector.MetricCollector.layer

    def interrupted(self: metric_collector.MetricCollector, *arguments: Any) -> None:
        signal.raise_signal(signal.SIGUSR1)
        measure(self, *arguments)

    monkeypatch.setattr(metric_collector.MetricCollector, "layer", interrupted)
    before = signal.signal(signal.SIGUSR1, handle)
    try:
        model = nn.Linear(4, 2)
        with pytest.raises(TimeIsUpError), Monitor(model):
            model(INPUTS)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert torch._C._len_torch_function_stack() == 0


def test_errors_of_the_user_pass_unchanged_through_all_that_we_stand_around() -> None:
    mine = RuntimeError("mine")

    def raises(*_arguments: Any) -> None:
        raise mine

    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        with pytest.raises(RuntimeError) as caught:
            optimizer.step(raises)
        assert caught.value is mine
        loss = F.mse_loss(model(INPUTS), INPUTS[:, :2])
        model.weight.register_hook(raises)
        with pytest.raises(RuntimeError) as caught:
            loss.backward()
        assert caught.value is mine
        with pytest.raises(RuntimeError, match="not have been used"):
            torch.autograd.grad(model(INPUTS).sum(), [model.bias, torch.zeros(1, requires_grad=True)])
        model.register_forward_hook(raises)
        with pytest.raises(RuntimeError) as caught:
            model(INPUTS)
        assert caught.value is mine
    assert not watching.run.events.of("measurement_gap")


def test_a_watch_begins_whatever_the_machine_and_the_model_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    monkeypatch.setattr(environment.torch.cuda, "is_available", fails)
    monkeypatch.setattr(model, "named_modules", fails)
    with Monitor(model, optimizer) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS), INPUTS[:, :2]).backward()
            optimizer.step()
    assert watching.run.events.steps == len(watching.run.curves.get("train/loss")) == 3
    told = " ".join(event.detail for event in watching.run.events.of("measurement_gap"))
    assert "environment: ValueError: bad" in told
    assert "model: ValueError: bad" in told


class Broken:
    def append(self, **_parts: object) -> None:
        raise OSError("disk gone")

    def update(self, **_parts: object) -> None:
        raise OSError("disk gone")


def test_a_writer_that_fails_costs_the_training_nothing() -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer, writer=Broken()) as watching:
        for _ in range(3):
            optimizer.zero_grad()
            F.mse_loss(model(INPUTS), INPUTS[:, :2]).backward()
            optimizer.step()
    gaps = [finding.message for finding in watching.findings if finding.code == "T001"]
    assert len(gaps) == 2
    assert all("disk gone" in gap for gap in gaps)


def test_resuming_twice_hears_once() -> None:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with Monitor(model, optimizer) as watching:
        watching.resume()
        watching.resume()
        F.mse_loss(model(INPUTS), INPUTS[:, :2]).backward()
        optimizer.step()
    assert watching.run.events.steps == 1
