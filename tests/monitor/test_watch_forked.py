"""A watch belongs to the process that started it: in a forked child it listens to nothing and says nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from babysit.monitor.monitor import Monitor

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")


class Told:
    """A writer that counts what it is told."""

    def __init__(self) -> None:
        self.times = 0

    def append(self, **_: Any) -> None:
        self.times += 1

    def update(self, **_: Any) -> None:
        self.times += 1


class Modes(Dataset[int]):
    """Gives how many function modes are active where its samples are made."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> int:
        return torch._C._len_torch_function_stack()


def in_child(work: Callable[[], object]) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = repr(work())
        except BaseException as error:
            said = repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with open(reader) as stream:
        return stream.read()


def training(steps: int) -> tuple[nn.Module, torch.optim.Optimizer, Callable[[], None]]:
    model = nn.Linear(4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def train() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(3, 4)).pow(2).mean().backward()
            optimizer.step()

    return model, optimizer, train


def traces() -> tuple[bool, int, int]:
    hooks = torch.nn.modules.module._global_forward_pre_hooks
    patched = "babysit" in torch.autograd.backward.__code__.co_filename
    return patched, torch._C._len_torch_function_stack(), len(hooks)


@pytest.mark.parametrize("gradients", [True, False])
def test_a_forked_child_keeps_nothing_of_the_watch(gradients: bool) -> None:
    model, optimizer, train = training(5)
    told, before = Told(), traces()
    with Monitor(model, optimizer, writer=told) as watching:
        train()
        assert traces() != before

        def work() -> object:
            times = told.times
            run = watching.close()
            train()
            return traces(), told.times - times, run.findings, run.ended, watching.steps

        with torch.set_grad_enabled(gradients):
            assert in_child(work) == repr((before, 0, (), "", 5)) if gradients else repr(before) in in_child(traces)
        train()
    assert len(watching.run.curves.get("train/loss")) == 10
    assert watching.run.ended
    assert told.times > 0


def test_a_forked_child_can_have_a_watch_of_its_own() -> None:
    model, optimizer, train = training(3)

    def work() -> object:
        with Monitor(model, optimizer) as own:
            train()
        return len(own.run.curves.get("train/loss")), traces()

    with Monitor(model, optimizer):
        train()
        assert in_child(work).startswith("(3, (False, 0")


def test_workers_of_a_loader_run_without_the_mode() -> None:
    model, optimizer, train = training(1)
    with Monitor(model, optimizer):
        train()
        assert torch._C._len_torch_function_stack() == 1
        loader = DataLoader(Modes(), batch_size=2, num_workers=1, multiprocessing_context="fork")
        assert [batch.tolist() for batch in loader] == [[0, 0], [0, 0]]
        train()
