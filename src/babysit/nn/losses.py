"""Default loss and score of each task, and the expected initial loss."""

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
    """Return the default loss of a task, a function of logits and targets, averaged over samples.

    Cross-entropy for classes, binary cross-entropy on logits for binary labels, mean squared error for regression and
    reconstruction.
    """
    if task not in _LOSSES:
        raise UserError(f"there is no default loss for the task {task.value!r}", do="Pass your own loss")
    return _LOSSES[task]


def expected_initial_loss(task: Task, y: Tensor, *, outputs: int | None = None) -> float:
    """Return the loss at chance level, expected before training.

    ln C for C classes (`outputs`, or the number of classes in y), ln 2 for binary labels, the variance of the targets
    for regression: the loss of the best constant prediction.
    """
    if task in {Task.CLASSES, Task.SEQUENCE}:
        return math.log(outputs if outputs is not None else int(y.max()) + 1)
    if task in {Task.BINARY, Task.MULTILABEL}:
        return math.log(2)
    if task in {Task.REGRESSION, Task.RECONSTRUCTION}:
        return float(y.double().var(dim=0, correction=0).mean())
    raise UserError(f"the expected initial loss of the task {task.value!r} is not known")


def score(task: Task, output: Tensor, y: Tensor) -> tuple[str, float]:
    """Score the outputs, higher is better: ("accuracy", share correct) or ("r2", explained variance)."""
    if task in {Task.CLASSES, Task.SEQUENCE}:
        return "accuracy", float((output.argmax(dim=-1) == y).double().mean())
    if task in {Task.BINARY, Task.MULTILABEL}:
        return "accuracy", float(((_like(output, y) > 0) == (y > 0.5)).double().mean())
    if task in {Task.REGRESSION, Task.RECONSTRUCTION}:
        return "r2", _explained(_like(output, y).double(), y.double())
    raise UserError(f"there is no score for the task {task.value!r}")


def _explained(output: Tensor, y: Tensor) -> float:
    """Compute 1 - squared error / variance, averaged over target columns; constant columns count 1 if exact, else 0.

    Equals scikit-learn's r2_score.
    """
    error = ((output - y) ** 2).flatten(1).sum(dim=0) if y.dim() > 1 else ((output - y) ** 2).sum()[None]
    variation = ((y - y.mean(dim=0)) ** 2).flatten(1).sum(dim=0) if y.dim() > 1 else ((y - y.mean()) ** 2).sum()[None]
    changing = 1 - error / torch.where(variation > 0, variation, torch.ones_like(variation))
    return float(torch.where(variation > 0, changing, (error == 0).to(error.dtype)).mean())


def _like(output: Tensor, y: Tensor) -> Tensor:
    """Reshape the outputs like the targets: (N,) and (N, 1) are equivalent, other shapes would broadcast."""
    if output.shape == y.shape:
        return output
    if output.numel() == y.numel() and output.shape[0] == y.shape[0]:
        return output.reshape(y.shape)
    raise UserError(
        f"the network has outputs of shape {tuple(output.shape)} for targets of shape {tuple(y.shape)}",
        do=f"Set its last layer to {math.prod(y.shape[1:])} outputs",
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
