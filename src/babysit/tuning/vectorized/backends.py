"""The ways to do one training step of several members: all do the same arithmetic, up to rounding.

- side by side: torch.vmap over stacked weights;
- shared input: the same, but the first dense layer of all members is one matrix product, since all see the same batch;
- one by one: a single member, learning rate and decay as tensors, so that compiled code serves every member;
  convolutions
  perhaps with the channels last, which processors mostly do faster.

Each may be compiled (model, gradient and optimizer as one program) and each but the first has a bfloat16 variant.
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
    """One way to do a step."""

    way: str  # SIDE_BY_SIDE, SHARED_INPUT or ONE_BY_ONE
    width: int  # how many members at once
    compiled: bool = False
    bf16: bool = False  # products in bfloat16, weights and moments in float32
    matmul: str = ""  # torch's float32 matmul precision while it runs; "": as it is
    channels_last: bool = False  # images and convolutions with the channels as the innermost axis; one by one only

    def __str__(self) -> str:
        words = [self.way, f"{self.width} wide" if self.width > 1 else ""]
        words += ["compiled" if self.compiled else "", "bfloat16" if self.bf16 else ""]
        words += [f"{self.matmul} matmul precision" if self.matmul else "", "channels last" * self.channels_last]
        return ", ".join(word for word in words if word)


PLAIN: Final = Backend(way=ONE_BY_ONE, width=1)  # does nothing special


class Stack(NamedTuple):
    """The tensors of a chunk of members, (members, …) each; `noise` may be without that dimension."""

    parameters: dict[str, Tensor]
    moments: dict[str, dict[str, Tensor]]
    moving: dict[str, Tensor]
    fixed: dict[str, Tensor]  # shared by all members: no such dimension


class Batch(NamedTuple):
    """What a step is done with."""

    numbers: Tensor  # (rows, members), see optimizers.coefficients
    noise: dict[str, Tensor]  # masks of dropout, by site: shared, or (members, …)
    x: Tensor
    y: Tensor


Step = Callable[[Stack, Batch], Tensor]  # changes the stack in place, gives the losses (members,)


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """What all forms of a group have in common."""

    traits: ModelTraits
    hyperparameters: Hyperparameters  # of any member: only its kind counts
    loss: Loss
    own_noise: bool = False  # members draw masks of their own, not one for all
    _given: dict[str, nn.Module] = field(default_factory=dict)

    @property
    def template(self) -> nn.Module:
        """The module whose forward pass is the members'."""
        return self.traits.template


def train_step_of(form: Backend, plan: Plan) -> Step:
    """The step as plain Python, not compiled."""
    gradients = {
        SIDE_BY_SIDE: _side_by_side,
        SHARED_INPUT: _shared_input,
        ONE_BY_ONE: _one_by_one,
    }[form.way]
    if form.way == SHARED_INPUT:
        _behind_first(plan)  # made here, since a module cannot be copied while it is traced

    def step(stack: Stack, batch: Batch) -> Tensor:
        found, losses, moved = gradients(form, plan, stack, batch)
        for name, tensor in moved.items():
            stack.moving[name].copy_(tensor)
        update(plan.hyperparameters, batch.numbers, parameters=stack.parameters, gradients=found, moments=stack.moments)
        return losses

    return step


def reads_half(form: Backend, plan: Plan) -> bool:
    """Whether the batches may be in bfloat16, since only a product in bfloat16 reads them."""
    return form.bf16 and form.way == SHARED_INPUT and plan.traits.fed_directly


Gradients = tuple[dict[str, Tensor], Tensor, dict[str, Tensor]]


def _cost(
    module: nn.Module, plan: Plan, values: dict[str, Tensor], batch: tuple[Tensor, Tensor]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of one member, and its moving buffers afterwards."""
    x, y = batch
    moving = plan.traits.parts.moving
    values = {name: value.clone() if name in moving else value for name, value in values.items()}
    output = functional_call(module, values, (x,))
    loss = plan.loss(output.float() if output.dtype is torch.bfloat16 else output, y)
    return loss, {name: values[name] for name in moving}


def _noise_buffers(batch: Batch) -> dict[str, Tensor]:
    return {f"{name}.noise": mask for name, mask in batch.noise.items()}


def _side_by_side(_form: Backend, plan: Plan, stack: Stack, batch: Batch) -> Gradients:
    def cost(
        parameters: dict[str, Tensor], moving: dict[str, Tensor], noise: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = {**parameters, **moving, **noise, **stack.fixed}
        return _cost(plan.template, plan, values, (batch.x, batch.y))

    found, (losses, moved) = vmap(grad_and_value(cost, has_aux=True), in_dims=(0, 0, 0 if plan.own_noise else None))(
        stack.parameters, stack.moving, _noise_buffers(batch)
    )
    return found, losses, moved


def _shared_input(form: Backend, plan: Plan, stack: Stack, batch: Batch) -> Gradients:
    name = plan.traits.first_dense
    weight = stack.parameters[f"{name}.weight"]  # (members, out, in)
    members, out, inner = weight.shape
    if reads_half(form, plan):
        seen = batch.x.flatten(1)
    else:
        seen = input_of(plan.template, name, {**stack.fixed, **_noise_buffers(batch)}, batch.x)
    lead = seen.shape[:-1]
    place = len(lead)  # where the members are in what follows: (…, members, out)
    kind = torch.bfloat16 if form.bf16 else weight.dtype
    flat = seen.reshape(-1, inner).to(kind)
    given = (flat @ weight.reshape(-1, inner).to(kind).t()).to(weight.dtype).reshape(*lead, members, out)
    rest = {key: value for key, value in stack.parameters.items() if key != f"{name}.weight"}
    behind = _behind_first(plan)

    def cost(
        parameters: dict[str, Tensor], given: Tensor, moving: dict[str, Tensor], noise: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        values = {**parameters, **moving, **noise, **stack.fixed, f"{name}.given": given}
        return _cost(behind, plan, values, (batch.x, batch.y))

    (found, of_given), (losses, moved) = vmap(
        grad_and_value(cost, argnums=(0, 1), has_aux=True),
        in_dims=(0, place, 0, 0 if plan.own_noise else None),
        out_dims=((0, place), (0, 0)),  # type: ignore[arg-type]  # torch takes any nesting, its types say one tuple
    )(rest, given, stack.moving, _noise_buffers(batch))
    of_weight = (of_given.reshape(-1, members * out).to(kind).t() @ flat).to(weight.dtype).reshape(weight.shape)
    return {**found, f"{name}.weight": of_weight}, losses, moved


@final
class _Given(nn.Module):
    """Stands for a dense layer whose product has been computed already."""

    given: Tensor

    def __init__(self, bias: nn.Parameter | None) -> None:
        super().__init__()
        self.register_parameter("bias", bias)
        self.register_buffer("given", torch.empty(0))

    def forward(self, _x: Tensor) -> Tensor:
        """The product, whatever the input, plus the bias."""
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


def _as_it_is(tensor: Tensor) -> Tensor:
    return tensor


def _channels_last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last) if tensor.dim() == 4 else tensor


def _passing_on(plan: Plan) -> nn.Module:
    """The template, with gradients passed from layer to layer with the channels last as well.

    Behind a flattening they come with the channels first, and pooling would turn what it gives instead, four times as
    much: measured on two 3x3 convolutions, 6 % of a step.
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


def _one_by_one(form: Backend, plan: Plan, stack: Stack, batch: Batch) -> Gradients:
    """Ordinary autograd on the only member of the stack, so that everything works that works in PyTorch."""
    laid = _channels_last if form.channels_last else _as_it_is
    module = _passing_on(plan) if form.channels_last and not form.compiled else plan.template
    with torch.enable_grad():
        parameters = {name: laid(tensor[0].detach()).requires_grad_() for name, tensor in stack.parameters.items()}
        noise = _noise_buffers(batch)
        values = {
            **parameters,
            **{name: tensor[0] for name, tensor in stack.moving.items()},
            **{name: tensor[0] if plan.own_noise else tensor for name, tensor in noise.items()},
            **stack.fixed,
        }
        with torch.autocast(batch.x.device.type, torch.bfloat16, enabled=form.bf16, cache_enabled=False):
            loss, moved = _cost(module, plan, values, (laid(batch.x), batch.y))
        found = torch.autograd.grad(loss, list(parameters.values()))
    return (
        {name: gradient[None] for name, gradient in zip(parameters, found, strict=True)},
        loss.detach().float()[None],
        {name: tensor.detach()[None] for name, tensor in moved.items()},
    )
