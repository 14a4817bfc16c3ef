"""A workload with everything that members may differ in, and what plain PyTorch makes of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from torch import nn

from babysit.testing.executor_contract import workload
from babysit.tuning.executors.base import TrialConfig
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.vectorized import calibrate, group


def build(parameters):
    """Dropout whose share differs from member to member, BatchNorm, and a batch of odd size at the end of an epoch."""
    return nn.Sequential(
        nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Dropout(parameters.get("drop", 0.2)), nn.Linear(12, 3)
    )


@pytest.fixture
def never_plain(monkeypatch):
    """Networks as small as those of the tests are sometimes the fastest in plain PyTorch; not here."""
    group._KNOWN.clear()
    monkeypatch.setattr(calibrate, "_PLAIN_LEAD", float("inf"))
    yield
    group._KNOWN.clear()


@pytest.fixture(scope="package")
def rich_workload():
    return replace(workload(), build=build, optimizer="adam")


@pytest.fixture(scope="package")
def rich_members():
    return [
        TrialConfig(
            number=number,
            parameters={
                "lr": 10 ** (-1.5 - number / 4),
                "weight_decay": 10 ** (-number / 2),
                "drop": 0.1 + 0.05 * number,
                "lr_decay": 0.8,
                "warmup_steps": number,
                "grad_clip_norm": 0.5 + number,
                "init_scale": 0.5 + 0.1 * number,
                "beta1": 0.8 + 0.02 * number,
            },
            seed=7,
        )
        for number in range(8)
    ]


@pytest.fixture(scope="package")
def plainly(rich_workload, rich_members):
    """By number, what plain PyTorch makes of the members in three epochs (21 steps)."""
    return {advance.number: advance for advance in SequentialExecutor(rich_workload).advance(rich_members, epochs=3)}
