"""Whether a member's own module computes what its group's does: both are run with the same disturbed weights."""

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

# Weights as a network begins with hide what it computes: a head of zeros makes all first costs equal, and a branch
# times zero says nothing. A tenth of their spread is what some steps of training make of them; 0.05 is the spread of
# nn.Linear's weights with 130 inputs, for those that are all alike.
_SHARE: Final = 0.1
_OF_NOTHING: Final = 0.05
# The same operations on the same numbers: far more than rounding, far less than another activation makes.
_SAME: Final = 1e-3
# So many validation samples are tried in eval mode, where a network may do something else.
_EVALUATED: Final = 32


def is_equivalent(
    one: InitialState, found: MemberState, traits: ModelTraits, fixed: dict[str, Tensor], shared: SharedSettings
) -> bool:
    """Whether cost, gradients and eval outputs at disturbed weights are those of the group's module with its tensors.

    A network that cannot be run there by either (a weight that must stay positive) is taken for alike: its first cost
    and its first steps are compared in any case.
    """
    x, y = first_batch(one, shared)
    disturbed = {name: _disturbed(name, tensor) for name, tensor in found.parameters.items()}
    masks = DropoutMasks([found], traits.sites, shared.device).draw(len(x), own=False) if traits.sites else {}
    others = {**fixed, **{f"{name}.noise": mask for name, mask in masks.items()}}

    def of_its_own() -> list[Tensor]:
        tensors = tensors_of(one.model)
        with torch.no_grad():
            for name, value in {**disturbed, **found.moving}.items():
                tensors[name].copy_(value)
        set_random_state(one.random_state, shared.device)
        weights = dict(one.model.named_parameters())
        return _cost_and_gradients(lambda: shared.loss(one.model(x), y), [weights[name] for name in disturbed])

    def of_the_group() -> list[Tensor]:
        weights = {name: value.clone().requires_grad_() for name, value in disturbed.items()}
        moving = {name: value.clone() for name, value in found.moving.items()}
        values = {**weights, **moving, **others}
        return _cost_and_gradients(
            lambda: shared.loss(functional_call(traits.template, values, (x,)), y), list(weights.values())
        )

    def evaluated_by_its_own() -> list[Tensor]:
        tensors = tensors_of(one.model)
        with torch.no_grad():
            for name, value in found.moving.items():
                tensors[name].copy_(value)
            return [one.model.eval()(shared.validation.x[:_EVALUATED].clone())]

    def evaluated_by_the_group() -> list[Tensor]:
        values = {**disturbed, **{name: value.clone() for name, value in found.moving.items()}, **fixed}
        traits.template.eval()
        try:
            with torch.no_grad():
                return [functional_call(traits.template, values, (shared.validation.x[:_EVALUATED].clone(),))]
        finally:
            traits.template.train()

    own, common = _tried(of_its_own), _tried(of_the_group)
    if own is None or common is None:
        return own is common
    if not _same(own, common):
        return False
    own, common = _tried(evaluated_by_its_own), _tried(evaluated_by_the_group)
    if own is None or common is None:
        return own is common
    apart = float((own[0] - common[0]).norm())
    return not math.isfinite(apart) or apart <= _SAME * max(float(own[0].norm()), 1e-6)


def _disturbed(name: str, tensor: Tensor) -> Tensor:
    """The same for the same name and tensor, in whatever process."""
    generator = torch.Generator().manual_seed(crc32(name.encode()))
    noise = torch.randn(tensor.shape, generator=generator).to(tensor)
    spread = float(tensor.std()) if tensor.numel() > 1 else 0.0
    return tensor + (_SHARE * spread or _OF_NOTHING) * noise


def _cost_and_gradients(cost_of: Callable[[], Tensor], weights: Sequence[Tensor]) -> list[Tensor]:
    with torch.enable_grad():
        cost = cost_of()
        gradients = torch.autograd.grad(cost, weights, allow_unused=True)
    pairs = zip(gradients, weights, strict=True)
    return [cost.detach(), *(torch.zeros_like(weight) if found is None else found for found, weight in pairs)]


def _tried(run: Callable[[], list[Tensor]]) -> list[Tensor] | None:
    try:
        return run()
    except Exception:  # the user's model may raise anything for weights that it never has
        return None


def _same(own: Sequence[Tensor], common: Sequence[Tensor]) -> bool:
    """Each within the tolerance of its size; a cost that is not finite in both tells nothing."""
    cost, other = float(own[0]), float(common[0])
    if math.isfinite(cost) != math.isfinite(other):
        return False
    if abs(cost - other) > _SAME * max(abs(cost), 1e-6):
        return False
    whole = float(torch.stack([one.norm() for one in own[1:]]).norm())
    for one, two in zip(own[1:], common[1:], strict=True):
        # A gradient that is nothing but rounding (a bias before a batch norm) has no size of its own.
        if float((one - two).norm()) > _SAME * (float(one.norm()) + _SAME * whole):
            return False
    return True
