"""A loop under watch, judged and reported, as a typed user program."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import babysit
from babysit import Run


def train(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> Run:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with babysit.watch(model, optimizer, overhead=0.02, name="typed") as w:
        for inputs, targets in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), targets).backward()  # type: ignore[no-untyped-call]  # torch gives no type
            optimizer.step()
        w.log("val/loss", 0.5, step=w.steps)
        w.note(stop_reason="the last epoch")
    return w.run


def codes(run: Run) -> list[str]:
    cause = run.root_cause
    first: str = "" if cause is None else cause.message
    return [first, *(finding.code for finding in babysit.judge(run))]


def pages(run: Run) -> dict[str, str]:
    return {format: babysit.report(run, format=format) for format in ("text", "html")}
