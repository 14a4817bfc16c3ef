"""The loss and the score that belong to a task, and what the loss is before anything is learned."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from babysit.records.errors import UserError
from babysit.records.model_summary import Task

Loss = Callable[[Tensor, Tensor], Tensor]


def loss_for(task: Task) -> Loss:
    """The usual loss of a task, as a function of the network's plain outputs and the targets, averaged over samples.

    Cross-entropy for classes, binary cross-entropy on logits for one or several yes/no labels, mean squared error
    for regression and reconstruction.
    """
    if task not in _LOSSES:
        raise UserError(f"there is no usual loss for the task {task.value!r}", do="Give a loss of your own")
    return _LOSSES[task]


def expected_initial_loss(task: Task, y: Tensor, *, outputs: int | None = None) -> float:
    """What the loss should be before training, when the network cannot tell samples apart yet.

    ln C for C classes (`outputs`, or as many as y names), ln 2 for yes/no labels, the variance of the targets for
    regression: that is the loss of the best answer which is the same for all samples.
    """
    if task in {Task.CLASSES, Task.SEQUENCE}:
        return math.log(outputs if outputs is not None else int(y.max()) + 1)
    if task in {Task.BINARY, Task.MULTILABEL}:
        return math.log(2)
    if task in {Task.REGRESSION, Task.RECONSTRUCTION}:
        return float(y.double().var(dim=0, correction=0).mean())
    raise UserError(f"what the first loss of the task {task.value!r} should be is not known")


def score(task: Task, output: Tensor, y: Tensor) -> tuple[str, float]:
    """How good the outputs are, higher is better: ("accuracy", share that is right) or ("r2", explained share)."""
    if task in {Task.CLASSES, Task.SEQUENCE}:
        return "accuracy", float((output.argmax(dim=-1) == y).double().mean())
    if task in {Task.BINARY, Task.MULTILABEL}:
        return "accuracy", float(((_like(output, y) > 0) == (y > 0.5)).double().mean())
    if task in {Task.REGRESSION, Task.RECONSTRUCTION}:
        return "r2", _explained(_like(output, y).double(), y.double())
    raise UserError(f"how good the outputs of the task {task.value!r} are is not known")


def _explained(output: Tensor, y: Tensor) -> float:
    """1 - squared error / variance, averaged over target columns; a column that never changes counts 1 if met, else 0.

    The same as scikit-learn's r2_score.
    """
    error = ((output - y) ** 2).flatten(1).sum(dim=0) if y.dim() > 1 else ((output - y) ** 2).sum()[None]
    spread = ((y - y.mean(dim=0)) ** 2).flatten(1).sum(dim=0) if y.dim() > 1 else ((y - y.mean()) ** 2).sum()[None]
    changing = 1 - error / torch.where(spread > 0, spread, torch.ones_like(spread))
    return float(torch.where(spread > 0, changing, (error == 0).to(error.dtype)).mean())


def _like(output: Tensor, y: Tensor) -> Tensor:
    """The outputs in the shape of the targets: (N,) and (N, 1) mean the same, anything else would be stretched."""
    if output.shape == y.shape:
        return output
    if output.numel() == y.numel() and output.shape[0] == y.shape[0]:
        return output.reshape(y.shape)
    raise UserError(
        f"the network gives outputs of the shape {tuple(output.shape)} for targets of the shape {tuple(y.shape)}",
        do=f"Give its last layer {math.prod(y.shape[1:])} outputs",
    )


def _cross_entropy(output: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(output.flatten(0, -2), y.flatten())


def _yes_or_no(output: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(_like(output, y), y.to(output.dtype))


def _squared_error(output: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(_like(output, y), y)


_LOSSES: Final[dict[Task, Loss]] = {
    Task.CLASSES: _cross_entropy,
    Task.SEQUENCE: _cross_entropy,
    Task.BINARY: _yes_or_no,
    Task.MULTILABEL: _yes_or_no,
    Task.REGRESSION: _squared_error,
    Task.RECONSTRUCTION: _squared_error,
}
