"""Equivalence of a member's module and the module of its group: both are run with the same perturbed weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final
from zlib import crc32

import torch
from torch import Tensor
from torch.func import functional_call

from babysit.tuning.vectorized.dropout_masks import DropoutMasks
from babysit.tuning.vectorized.eligibility import ModelTraits
from babysit.tuning.vectorized.init import InitialState, SharedSettings, first_batch, set_random_state
from babysit.tuning.vectorized.signature import tensors_of
from babysit.tuning.vectorized.state import MemberState

# Initial weights can hide what a network computes: with a head of zeros all first losses are equal, and a branch times
# zero contributes nothing. A tenth of their standard deviation is the change of some training steps; 0.05 is the
# standard deviation of nn.Linear's weights with 130 inputs, for tensors whose values are all equal.
_FRACTION: Final = 0.1
_CONSTANT_STD: Final = 0.05
# Tolerance for the same operations: far above rounding, far below the effect of another activation.
_SAME: Final = 1e-3
# Number of validation samples compared in eval mode, where a network may behave differently.
_EVALUATED: Final = 32


def is_equivalent(
    one: InitialState, found: MemberState, traits: ModelTraits, fixed: dict[str, Tensor], shared: SharedSettings
) -> bool:
    """Check whether loss, gradients and eval outputs at perturbed weights equal those of the group's module.

    If neither can be run there (a weight that must stay positive), they count as equivalent: the first loss and the
    first steps are compared in any case.
    """
    x, y = first_batch(one, shared)
    perturbed = {name: _perturbed(name, tensor) for name, tensor in found.parameters.items()}
    masks = DropoutMasks([found], traits.sites, shared.device).draw(len(x), own=False) if traits.sites else {}
    others = {**fixed, **{f"{name}.noise": mask for name, mask in masks.items()}}

    def own_gradients() -> list[Tensor]:
        tensors = tensors_of(one.model)
        with torch.no_grad():
            for name, value in {**perturbed, **found.moving}.items():
                tensors[name].copy_(value)
        set_random_state(one.random_state, shared.device)
        weights = dict(one.model.named_parameters())
        return _loss_and_gradients(lambda: shared.loss(one.model(x), y), [weights[name] for name in perturbed])

    def group_gradients() -> list[Tensor]:
        weights = {name: value.clone().requires_grad_() for name, value in perturbed.items()}
        moving = {name: value.clone() for name, value in found.moving.items()}
        values = {**weights, **moving, **others}
        return _loss_and_gradients(
            lambda: shared.loss(functional_call(traits.template, values, (x,)), y), list(weights.values())
        )

    def own_outputs() -> list[Tensor]:
        tensors = tensors_of(one.model)
        with torch.no_grad():
            for name, value in found.moving.items():
                tensors[name].copy_(value)
            return [one.model.eval()(shared.validation.x[:_EVALUATED].clone())]

    def group_outputs() -> list[Tensor]:
        values = {**perturbed, **{name: value.clone() for name, value in found.moving.items()}, **fixed}
        traits.template.eval()
        try:
            with torch.no_grad():
                return [functional_call(traits.template, values, (shared.validation.x[:_EVALUATED].clone(),))]
        finally:
            traits.template.train()

    own, common = _run_or_none(own_gradients), _run_or_none(group_gradients)
    if own is None or common is None:
        return own is common
    if not _same(own, common):
        return False
    own, common = _run_or_none(own_outputs), _run_or_none(group_outputs)
    if own is None or common is None:
        return own is common
    difference = float((own[0] - common[0]).norm())
    return not math.isfinite(difference) or difference <= _SAME * max(float(own[0].norm()), 1e-6)


def _perturbed(name: str, tensor: Tensor) -> Tensor:
    """Perturb a tensor deterministically by its name, in any process."""
    generator = torch.Generator().manual_seed(crc32(name.encode()))
    noise = torch.randn(tensor.shape, generator=generator).to(tensor)
    std = float(tensor.std()) if tensor.numel() > 1 else 0.0
    return tensor + (_FRACTION * std or _CONSTANT_STD) * noise


def _loss_and_gradients(loss_of: Callable[[], Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    with torch.enable_grad():
        loss = loss_of()
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    pairs = zip(gradients, weights, strict=True)
    return [loss.detach(), *(torch.zeros_like(weight) if found is None else found for found, weight in pairs)]


def _run_or_none(run: Callable[[], list[Tensor]]) -> list[Tensor] | None:
    try:
        return run()
    except Exception:  # user code may raise anything for weights it never has
        return None


def _same(own: Sequence[Tensor], common: Sequence[Tensor]) -> bool:
    """Compare each within the tolerance of its norm; losses that are not finite in both count as equal."""
    loss, other = float(own[0]), float(common[0])
    if math.isfinite(loss) != math.isfinite(other):
        return False
    if abs(loss - other) > _SAME * max(abs(loss), 1e-6):
        return False
    total = float(torch.stack([one.norm() for one in own[1:]]).norm())
    for one, two in zip(own[1:], common[1:], strict=True):
        # A gradient that is only rounding error (a bias before a batch norm) has no scale of its own.
        if float((one - two).norm()) > _SAME * (float(one.norm()) + _SAME * total):
            return False
    return True
