"""Compares a backend's gradients with eager PyTorch: losses do not show a difference at a very small learning rate."""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from babysit.tuning.vectorized.backends import Backend, Step
from babysit.tuning.vectorized.benchmark_set import COMPARED_MEMBERS, BenchmarkSet
from babysit.tuning.vectorized.compiling import matmul_precision
from babysit.tuning.vectorized.optimizers import PLAIN_SUM, plain_descent

# Relative to the norm of a parameter's gradient: 20 times the effect of perturbing the weights by one rounding, at
# least 1e-3. Measured on an MLP and a CNN with batch norm: correct ones differ by up to 1.3e-5; a missing hook by a
# factor.
_FLOOR: Final = 1e-3
_ROUNDINGS: Final = 20
# In bfloat16, relative to all gradients together: measured 1.1e-2 on the MLP and 2.4e-2 on the CNN.
_BF16_TOLERANCE: Final = 0.1
# A gradient is computed from the change of a weight, which rounds it by 6e-8 of the weight.
_READING: Final = 1e-6


def gradient_difference(step: Step, backend: Backend, bench: BenchmarkSet) -> str:
    """Return the parameter whose gradient in the first step differs from eager PyTorch, or "".

    The step is run with coefficients for which the update of each parameter is its gradient.
    """
    stack, batches = bench.inputs(backend)
    before = {name: tensor.clone() for name, tensor in stack.parameters.items()}
    for total in stack.moments.get("sum", {}).values():
        total.fill_(PLAIN_SUM)
    batch = next(batches)
    numbers = plain_descent(bench.plan.hyperparameters, batch.numbers)
    with torch.no_grad(), matmul_precision(backend.matmul):
        step(stack, batch._replace(numbers=numbers))
    for lane in range(min(backend.width, COMPARED_MEMBERS, len(bench.measures))):
        weights = {name: tensor[lane] for name, tensor in before.items()}
        found = {name: weight - stack.parameters[name][lane] for name, weight in weights.items()}
        different = _different(found, weights, bench, lane=lane, bf16=backend.bf16)
        if different:
            return f"the gradient of {different} differs from plain PyTorch"
    return ""


def _different(
    found: dict[str, Tensor], weights: dict[str, Tensor], bench: BenchmarkSet, *, lane: int, bf16: bool
) -> str:
    """Return the first parameter whose gradient differs, or ""."""
    measure = bench.measures[lane]
    expected = {name: measure.gradients.get(name, torch.zeros_like(weight)) for name, weight in weights.items()}
    norms = {name: float(gradient.norm()) for name, gradient in expected.items()}
    total = math.hypot(*norms.values())
    if not math.isfinite(total):
        return ""  # nothing to compare: such a member stops at its next loss
    for name, gradient in expected.items():
        error = float((found[name] - gradient).norm())
        # A gradient that is only rounding error (a bias before a batch norm) has no scale of its own.
        allowed = max(_FLOOR, _ROUNDINGS * measure.gradient_sensitivity.get(name, 0.0)) * (norms[name] + _FLOOR * total)
        allowed = _BF16_TOLERANCE * total if bf16 else allowed
        if not error <= allowed + _READING * float(weights[name].norm()):
            return name
    return ""
