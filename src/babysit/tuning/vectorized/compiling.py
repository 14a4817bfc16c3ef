"""Compiles a step into one program."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from babysit.tuning.vectorized.backends import Backend, Batch, Plan, Stack, Step, train_step_of

# float32 products with a larger error are not true float32 (bfloat16: 3e-3, TF32: 1e-4, float32: 1e-6).
_TRUE_FLOAT32: Final = 1e-5


def compiled_step(backend: Backend, plan: Plan, stack: Stack, batch: Batch) -> Step:
    """Compile the step of this backend for tensors of exactly these shapes; stack and batch are only inspected.

    The step is traced to single operations and passed to Inductor. `torch.compile` would do the same with guards: on a
    network of 2,400 weights it took 11 s instead of 2 s to compile and ran half as fast, because guards check every
    tensor in every step. What guards protect against cannot change here: shapes are fixed, and the first steps are
    compared with eager PyTorch before a program is used.

    Raises:
        Exception: any error of tracing or compiling, such as a missing C++ compiler.
    """
    # Imported lazily: it takes a second.
    import torch._inductor
    from torch._inductor import config
    from torch.fx.experimental.proxy_tensor import make_fx

    names = _names(stack, batch)
    step = train_step_of(backend, plan)

    def flat(*tensors: Tensor) -> Tensor:
        return step(*_gathered(names, tensors))

    arguments = _flat(stack, batch)
    # Compile on one thread: a pool of compile processes would outlive the search in the user's program.
    with torch.no_grad(), config.patch(compile_threads=1):
        graph = make_fx(flat, tracing_mode="fake", _allow_non_fake_inputs=True)(*arguments)
        program = torch._inductor.compile(graph, list(arguments))

    def run(stack: Stack, batch: Batch) -> Tensor:
        result = program(*_flat(stack, batch))
        losses: Tensor = result[0] if isinstance(result, list | tuple) else result
        return losses

    return run


_Names = tuple[list[str], dict[str, list[str]], list[str], list[str], list[str]]


def _names(stack: Stack, batch: Batch) -> _Names:
    slots = {slot: list(tensors) for slot, tensors in stack.moments.items()}
    return list(stack.parameters), slots, list(stack.moving), list(stack.fixed), list(batch.noise)


def _flat(stack: Stack, batch: Batch) -> tuple[Tensor, ...]:
    return (
        *stack.parameters.values(),
        *(tensor for tensors in stack.moments.values() for tensor in tensors.values()),
        *stack.moving.values(),
        *stack.fixed.values(),
        *batch.noise.values(),
        batch.numbers,
        batch.x,
        batch.y,
    )


def _gathered(names: _Names, tensors: Sequence[Tensor]) -> tuple[Stack, Batch]:
    remaining = iter(tensors)
    parameters, slots, moving, fixed, noise = names
    stack = Stack(
        parameters={name: next(remaining) for name in parameters},
        moments={slot: {name: next(remaining) for name in of} for slot, of in slots.items()},
        moving={name: next(remaining) for name in moving},
        fixed={name: next(remaining) for name in fixed},
    )
    masks = {name: next(remaining) for name in noise}
    numbers, x, y = remaining
    return stack, Batch(numbers=numbers, noise=masks, x=x, y=y)


@contextmanager
def matmul_precision(name: str) -> Iterator[None]:
    """Set torch's global float32 matmul precision for the block."""
    if not name:
        yield
        return
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(name)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@lru_cache(maxsize=4)
def true_float32(matmul: str) -> bool:
    """Check by measurement whether float32 products under this setting have float32 accuracy."""
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.randn(256, 256, generator=generator) for _ in range(2))
    exact = one.double() @ other.double()
    with matmul_precision(matmul):
        error = ((one @ other).double() - exact).abs().max() / exact.abs().max()
    return bool(error < _TRUE_FLOAT32)
