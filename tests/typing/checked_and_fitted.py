"""Data read, a model checked and trained, as a typed user program."""

from __future__ import annotations

from pathlib import Path

from torch import nn

import babysit
from babysit.data.splits import split
from babysit.training.settings import FitSettings


def passed(model: nn.Module) -> dict[str, bool]:
    samples = babysit.load_data("digits", target=None)
    return {result.name: result.outcome == "pass" for result in babysit.check(model, samples)}


def fitted(model: nn.Module, folder: Path) -> tuple[nn.Module, Path | None]:
    parts = split(babysit.load_data("digits"), seed=1)
    settings = FitSettings(lr=1e-3, epochs=2, folder=folder)
    result = babysit.fit(model, parts, settings=settings)
    losses = result.run.curves.get("train/loss")
    assert len(losses.steps) == len(losses.values)
    return result.model, result.checkpoint


def network(width: int) -> nn.Sequential:
    model = babysit.mlp(64, 10, hidden=(width, width))
    babysit.initialize_(model)
    return model
