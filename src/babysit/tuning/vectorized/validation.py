"""Evaluates members on the validation samples, several at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from babysit.data.batches import batches
from babysit.nn.losses import score
from babysit.training.evaluate import evaluate
from babysit.tuning.vectorized.backends import ONE_BY_ONE, Backend
from babysit.tuning.vectorized.init import SharedSettings
from babysit.tuning.vectorized.state import MemberState

_BATCH = 512  # as in training/evaluate.py


class ValidationResult(NamedTuple):
    """Mean loss, and the metric of the task."""

    loss: float
    name: str
    metric: float


def validate(
    members: Sequence[MemberState],
    template: nn.Module,
    fixed: dict[str, Tensor],
    backend: Backend,
    shared: SharedSettings,
) -> list[ValidationResult]:
    """Evaluate loss and metric of each member in eval mode, in the order given.

    Members trained side by side are evaluated so, if that matches the first of them evaluated alone.
    """
    alone = _alone(members[0], template, fixed, shared)
    if backend.strategy != ONE_BY_ONE and len(members) > 1:
        try:
            found = _together(members, template, fixed, shared)
        except RuntimeError:  # an operation in eval mode that torch.vmap does not support
            found = []
        if found and abs(found[0].loss - alone.loss) <= 1e-4 * max(abs(alone.loss), 1e-6):
            return [alone, *found[1:]]
    return [alone, *(_alone(one, template, fixed, shared) for one in members[1:])]


def outputs(one: MemberState, template: nn.Module, fixed: dict[str, Tensor], shared: SharedSettings) -> Tensor:
    """Return the outputs of a member's network for the validation samples, in eval mode."""
    module = _loaded(one, template, fixed).eval()
    try:
        with torch.no_grad():
            parts = [module(x) for x, _ in batches(shared.validation, size=_BATCH, shuffle=False)]
    finally:
        module.train()
    return torch.cat(parts).float().cpu()


def _alone(one: MemberState, template: nn.Module, fixed: dict[str, Tensor], shared: SharedSettings) -> ValidationResult:
    return ValidationResult(*evaluate(_loaded(one, template, fixed), shared.validation))


def _loaded(one: MemberState, template: nn.Module, fixed: dict[str, Tensor]) -> nn.Module:
    """Copy the member's tensors into the template."""
    values = {**one.parameters, **one.moving, **fixed}
    with torch.no_grad():
        for name, tensor in (*template.named_parameters(), *template.named_buffers()):
            if name in values:
                tensor.copy_(values[name])
    return template


def _together(
    members: Sequence[MemberState], template: nn.Module, fixed: dict[str, Tensor], shared: SharedSettings
) -> list[ValidationResult]:
    stacks = {
        name: torch.stack([{**one.parameters, **one.moving}[name] for one in members])
        for name in (*members[0].parameters, *members[0].moving)
    }

    def call(values: dict[str, Tensor], x: Tensor) -> Tensor:
        found: Tensor = functional_call(template, {**values, **fixed}, (x,))
        return found

    template.eval()
    try:
        with torch.no_grad():
            found = torch.cat(
                [
                    vmap(call, in_dims=(0, None))(stacks, x).float().cpu()
                    for x, _ in batches(shared.validation, size=_BATCH, shuffle=False)
                ],
                dim=1,
            )
    finally:
        template.train()
    y, task = shared.validation.y.cpu(), shared.validation.task
    return [ValidationResult(float(shared.loss(one, y)), *score(task, one, y)) for one in found]
