"""Backends: implementations of one training step of several members, equal up to rounding.

- side by side: torch.vmap over stacked weights;
- shared input: the same, but the first dense layer of all members is one matrix product, since all see the same batch;
- one by one: a single member, with learning rate and decay as tensors, so that compiled code serves every member;
  convolutions optionally in the channels-last memory format, which is usually faster on CPUs.

Each may be compiled (model, gradient and optimizer as one program); each but the first has a bfloat16 variant.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NamedTuple, final

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap

from babysit.training.hyperparameters import Hyperparameters
from babysit.tuning.vectorized.eligibility import Loss, ModelTraits
from babysit.tuning.vectorized.optimizers import update
from babysit.tuning.vectorized.shared_input import input_of

SIDE_BY_SIDE: Final = "side by side"
SHARED_INPUT: Final = "shared input"
ONE_BY_ONE: Final = "one by one"


@final
@dataclass(frozen=True, kw_only=True)
class Backend:
    """One implementation of a step."""

    strategy: str  # SIDE_BY_SIDE, SHARED_INPUT or ONE_BY_ONE
    width: int  # number of members per step
    compiled: bool = False
    bf16: bool = False  # bfloat16 products; weights and moments in float32
    matmul: str = ""  # torch's float32 matmul precision while it runs; "": unchanged
    channels_last: bool = False  # channels-last memory format; one by one only

    def __str__(self) -> str:
        words = [self.strategy, f"{self.width} wide" if self.width > 1 else ""]
        words += ["compiled" if self.compiled else "", "bfloat16" if self.bf16 else ""]
        words += [f"{self.matmul} matmul precision" if self.matmul else "", "channels last" * self.channels_last]
        return ", ".join(word for word in words if word)


PLAIN: Final = Backend(strategy=ONE_BY_ONE, width=1)  # no special techniques


class Stack(NamedTuple):
    """The tensors of a chunk of members, each (members, …)."""

    parameters: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]
    moving: dict[str, Tensor]
    fixed: dict[str, Tensor]  # shared by all members, without that dimension


class Batch(NamedTuple):
    """The inputs of a step."""

    numbers: Tensor  # (rows, members), see optimizers.coefficients
    noise: dict[str, Tensor]  # dropout masks by site: shared, or (members, …)
    x: Tensor
    y: Tensor


Step = Callable[[Stack, Batch], Tensor]  # updates the stack in place, returns the losses (members,)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """The settings shared by all backends of a group."""

    traits: ModelTraits
    hyperparameters: Hyperparameters  # of any member: only the kind of optimizer is used
    loss: Loss
    own_noise: bool = False  # each member draws its own dropout masks
    _given: dict[str, nn.Module] = field(default_factory=dict)

    @property
    def template(self) -> nn.Module:
        """Return the module whose forward pass is used for all members."""
        return self.traits.template


def train_step_of(backend: Backend, plan: Plan) -> Step:
    """Build the uncompiled step."""
    gradients = {
        SIDE_BY_SIDE: _side_by_side,
        SHARED_INPUT: _shared_input,
        ONE_BY_ONE: _one_by_one,
    }[backend.strategy]
    if backend.strategy == SHARED_INPUT:
        _behind_first(plan)  # created here, since a module cannot be copied while traced

    def step(stack: Stack, batch: Batch) -> Tensor:
        found, losses, moved = gradients(backend, plan, stack, batch)
        for name, tensor in moved.items():
            stack.moving[name].copy_(tensor)
        update(plan.hyperparameters, batch.numbers, parameters=stack.parameters, gradients=found, moments=stack.moments)
        return losses

    return step


def reads_half(backend: Backend, plan: Plan) -> bool:
    """Check whether batches may be bfloat16, because only a bfloat16 product reads them."""
    return backend.bf16 and backend.strategy == SHARED_INPUT and plan.traits.fed_directly


Gradients = tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]


def _loss(
    module: nn.Module, plan: Plan, values: dict[str, Tensor], batch: tuple[Tensor, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """Compute the loss of one member, and its moving buffers afterwards."""
    x, y = batch
    moving = plan.traits.parts.moving
    values = {name: value.clone() if name in moving else value for name, value in values.items()}
    output = functional_call(module, values, (x,))
    loss = plan.loss(output.float() if output.dtype is torch.bfloat16 else output, y)
    return loss, {name: values[name] for name in moving}


def _noise_buffers(batch: Batch) -> dict[str, Tensor]:
    return {f"{name}.noise": mask for name, mask in batch.noise.items()}


def _side_by_side(_backend: Backend, plan: Plan, stack: Stack, batch: Batch) -> Gradients:
    def loss_of(
        parameters: dict[str, Tensor], moving: dict[str, Tensor], noise: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = {**parameters, **moving, **noise, **stack.fixed}
        return _loss(plan.template, plan, values, (batch.x, batch.y))

    found, (losses, moved) = vmap(grad_and_value(loss_of, has_aux=True), in_dims=(0, 0, 0 if plan.own_noise else None))(
        stack.parameters, stack.moving, _noise_buffers(batch)
    )
    return found, losses, moved


def _shared_input(backend: Backend, plan: Plan, stack: Stack, batch: Batch) -> Gradients:
    name = plan.traits.first_dense
    weight = stack.parameters[f"{name}.weight"]  # (members, out, in)
    members, out, inner = weight.shape
    if reads_half(backend, plan):
        seen = batch.x.flatten(1)
    else:
        seen = input_of(plan.template, name, {**stack.fixed, **_noise_buffers(batch)}, batch.x)
    lead = seen.shape[:-1]
    axis = len(lead)  # the member axis below: (…, members, out)
    kind = torch.bfloat16 if backend.bf16 else weight.dtype
    flat = seen.reshape(-1, inner).to(kind)
    given = (flat @ weight.reshape(-1, inner).to(kind).t()).to(weight.dtype).reshape(*lead, members, out)
    rest = {key: value for key, value in stack.parameters.items() if key != f"{name}.weight"}
    behind = _behind_first(plan)

    def loss_of(
        parameters: dict[str, Tensor], given: Tensor, moving: dict[str, Tensor], noise: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = {**parameters, **moving, **noise, **stack.fixed, f"{name}.given": given}
        return _loss(behind, plan, values, (batch.x, batch.y))

    (found, of_given), (losses, moved) = vmap(
        grad_and_value(loss_of, argnums=(0, 1), has_aux=True),
        in_dims=(0, axis, 0, 0 if plan.own_noise else None),
        out_dims=((0, axis), (0, 0)),  # type: ignore[arg-type]  # torch accepts any nesting, but declares one tuple
    )(rest, given, stack.moving, _noise_buffers(batch))
    of_weight = (of_given.reshape(-1, members * out).to(kind).t() @ flat).to(weight.dtype).reshape(weight.shape)
    return {**found, f"{name}.weight": of_weight}, losses, moved


@final
class _Given(nn.Module):
    """Replaces a dense layer whose product has been computed already."""

    given: Tensor

    def __init__(self, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.register_parameter("bias", bias)
        self.register_buffer("given", torch.empty(0))

    def forward(self, _x: Tensor) -> Tensor:
        """Return the precomputed product plus the bias; the input is ignored."""
        bias = self._parameters["bias"]
        return self.given if bias is None else self.given + bias


def _behind_first(plan: Plan) -> nn.Module:
    if "" not in plan._given:
        module = copy.deepcopy(plan.template)
        dense = module.get_submodule(plan.traits.first_dense)
        bias = dense.bias
        module.set_submodule(plan.traits.first_dense, _Given(bias if isinstance(bias, nn.Parameter) else None))
        plan._given[""] = module
    return plan._given[""]


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _with_channels_last_gradients(plan: Plan) -> nn.Module:
    """Return the template, with gradients between layers in the channels-last format as well.

    After a flattening, gradients are contiguous, and pooling would convert its larger gradient instead: measured on two
    3x3 convolutions, 6 % of a step.
    """

    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor) and output.dim() == 4 and output.requires_grad:
            output.register_hook(_channels_last)  # type: ignore[no-untyped-call]  # torch has no types for it

    if "channels last" not in plan._given:
        module = copy.deepcopy(plan.template)
        for layer in module.modules():
            layer.register_forward_hook(hook)
        plan._given["channels last"] = module
    return plan._given["channels last"]


def _one_by_one(backend: Backend, plan: Plan, stack: Stack, batch: Batch) -> Gradients:
    """Compute gradients by ordinary autograd on the only member of the stack, which supports everything in PyTorch."""
    layout = _channels_last if backend.channels_last else _identity
    module = _with_channels_last_gradients(plan) if backend.channels_last and not backend.compiled else plan.template
    with torch.enable_grad():
        parameters = {name: layout(tensor[0].detach()).requires_grad_() for name, tensor in stack.parameters.items()}
        noise = _noise_buffers(batch)
        values = {
            **parameters,
            **{name: tensor[0] for name, tensor in stack.moving.items()},
            **{name: tensor[0] if plan.own_noise else tensor for name, tensor in noise.items()},
            **stack.fixed,
        }
        with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=backend.bf16, cache_enabled=False):
            loss, moved = _loss(module, plan, values, (layout(batch.x), batch.y))
        found = torch.autograd.grad(loss, list(parameters.values()))
    return (
        {name: gradient[None] for name, gradient in zip(parameters, found, strict=True)},
        loss.detach().float()[None],
        {name: tensor.detach()[None] for name, tensor in moved.items()},
    )
