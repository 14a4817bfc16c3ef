"""Whether a form's gradients are those of plain PyTorch: costs tell nothing where a learning rate is too small to move
them.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from babysit.tuning.vectorized.backends import Backend, Step
from babysit.tuning.vectorized.benchmark_set import COMPARED_MEMBERS, BenchmarkSet
from babysit.tuning.vectorized.compiling import matmul_precision
from babysit.tuning.vectorized.optimizers import PLAIN_SUM, plain_descent

# Relative to the length of a parameter's gradient: 20 times what a disturbance by one rounding does, and no less than
# 1e-3. Measured on an MLP and a CNN with batch norm: right ones differ by up to 1.3e-5; a forgotten hook is a factor.
_FLOOR: Final = 1e-3
_ROUNDINGS: Final = 20
# In bfloat16 all gradients together: measured 1.1e-2 on the MLP and 2.4e-2 on the CNN.
_BF16_TOLERANCE: Final = 0.1
# A gradient is read off a weight that it was taken from, which rounds it by 6e-8 of the weight.
_READING: Final = 1e-6


def gradient_difference(step: Step, form: Backend, bench: BenchmarkSet) -> str:
    """Which gradient of the first step is not that of plain PyTorch, or "".

    The step itself is asked, with such numbers that it takes nothing but the gradient off each parameter.
    """
    stack, batches = bench.inputs(form)
    before = {name: tensor.clone() for name, tensor in stack.parameters.items()}
    for total in stack.moments.get("sum", {}).values():
        total.fill_(PLAIN_SUM)
    batch = next(batches)
    numbers = plain_descent(bench.plan.hyperparameters, batch.numbers)
    with torch.no_grad(), matmul_precision(form.matmul):
        step(stack, batch._replace(numbers=numbers))
    for lane in range(min(form.width, COMPARED_MEMBERS, len(bench.measures))):
        weights = {name: tensor[lane] for name, tensor in before.items()}
        found = {name: weight - stack.parameters[name][lane] for name, weight in weights.items()}
        different = _different(found, weights, bench, lane=lane, bf16=form.bf16)
        if different:
            return f"the gradient of {different} is not that of plain PyTorch"
    return ""


def _different(
    found: dict[str, Tensor], weights: dict[str, Tensor], bench: BenchmarkSet, *, lane: int, bf16: bool
) -> str:
    """The first parameter whose gradient is another, or ""."""
    measure = bench.measures[lane]
    expected = {name: measure.gradients.get(name, torch.zeros_like(weight)) for name, weight in weights.items()}
    lengths = {name: float(gradient.norm()) for name, gradient in expected.items()}
    whole = math.hypot(*lengths.values())
    if not math.isfinite(whole):
        return ""  # nothing to compare with: such a member ends at its next cost
    for name, gradient in expected.items():
        off = float((found[name] - gradient).norm())
        # A gradient that is nothing but rounding (a bias before a batch norm) has no size of its own.
        allowed = max(_FLOOR, _ROUNDINGS * measure.gradient_spread.get(name, 0.0)) * (lengths[name] + _FLOOR * whole)
        allowed = _BF16_TOLERANCE * whole if bf16 else allowed
        if not off <= allowed + _READING * float(weights[name].norm()):
            return name
    return ""
