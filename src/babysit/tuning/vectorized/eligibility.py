"""Eligibility: determines whether a model can be vectorized, by running copies of it."""

from __future__ import annotations

import copy
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, final

import numpy as np
import torch
from torch import Tensor, nn

from babysit.tuning.vectorized.data_dependence import DataDependentError, find_data_dependent_ops
from babysit.tuning.vectorized.shared_input import find_first_dense, is_fed_directly
from babysit.tuning.vectorized.signature import Parts, make_template, noted_dropout, stable_repr, tensors_of

Loss = Callable[[Tensor, Tensor], Tensor]
_GENERATORS: Final = (random.Random, np.random.Generator, np.random.RandomState, torch.Generator)
# Number of passes over a batch: a layer skipped at random half of the time is detected in 15 of 16 cases.
_PASSES: Final = 5
_SAME_LOSS: Final = 1e-5  # far above the rounding of another order of summation, on devices where it varies


@final
@dataclass(frozen=True, kw_only=True)
class Site:
    """A dropout mask: its module, and its shape without the batch."""

    name: str
    shape: tuple[int, ...]


@final
@dataclass(frozen=True, kw_only=True, eq=False)
class ModelTraits:
    """Properties of a model, found by running it once."""

    template: nn.Module  # in train mode, with prepared dropout; its tensors are only read
    parts: Parts
    sites: tuple[Site, ...]  # in the order in which the masks are drawn
    first_dense: str = ""  # the dense layer that alone reads the inputs: its product can be shared
    fed_directly: bool = False  # it reads them unchanged, and no other layer does


@final
class NotVectorizableError(Exception):
    """The model can be trained only alone; the message names the operation."""


Sample = tuple[Tensor, Tensor]


def check_vectorizable(model: nn.Module, x: Tensor, y: Tensor, loss: Loss, *, odd: Sample | None = None) -> ModelTraits:
    """Run copies of the model on a batch; the model is not changed.

    The caller preserves torch's random state.

    Args:
        model: in any mode.
        x: inputs of a batch.
        y: targets of the batch.
        loss: loss of outputs and targets.
        odd: a batch of the size of the last batch of an epoch, if different.

    Raises:
        NotVectorizableError: the model has state or random numbers that members cannot share, or trains different
            tensors in batches of the two sizes.
    """
    try:
        twin = copy.deepcopy(model).train()
        template = make_template(model).train()
    except Exception as problem:  # a user's __deepcopy__ may raise anything
        raise NotVectorizableError(f"the model cannot be copied: {first_line(problem)}") from problem
    if any(parameter._backward_hooks or _accumulate_hooks(parameter) for parameter in model.parameters()):
        raise NotVectorizableError("a parameter has a hook on its gradient")
    if generator := _generator(model):
        raise NotVectorizableError(f"{generator} draws random numbers of its own")
    _refuse_data_dependence(model, x.clone())
    parts = _parts(twin, x.clone(), y, loss)
    sites = _sites(template, x, batch=len(x))
    _refuse_hidden_state(model, x, y, loss)
    _refuse_changes_in_eval(model, x)
    if odd is not None:
        _refuse_batch_size_dependence(model, parts, odd, loss)
        if _sites(template, odd[0], batch=len(odd[0])) != sites:
            raise NotVectorizableError("which dropout is used depends on the size of the batch")
    dense = find_first_dense(template, x, parts=parts)
    direct = bool(dense) and is_fed_directly(template, dense, x)
    return ModelTraits(template=template, parts=parts, sites=sites, first_dense=dense, fed_directly=direct)


def first_line(problem: BaseException) -> str:
    """Return the type of an exception and the first sentence of its message."""
    lines = str(problem).strip().splitlines() or [""]
    text = lines[0].split(". ")[0]
    if isinstance(problem, DataDependentError) or (text.startswith("vmap:") and ".item()" in text):
        return "it calls .item() or branches on the values of a tensor"
    return f"{type(problem).__name__}: {text[:160]}"


def error_location(problem: BaseException, template: nn.Module) -> str:
    """Return the module that was running and the line of user code, for display."""
    names = {id(module): name for name, module in template.named_modules()}
    module, line = "", ""
    for frame, number in traceback.walk_tb(problem.__traceback__):
        running = frame.f_locals.get("self")
        if isinstance(running, nn.Module) and id(running) in names:
            name = names[id(running)]
            module = f"{type(running).__name__} {name!r}" if name else type(running).__name__
        path = Path(frame.f_code.co_filename)
        if "site-packages" not in path.parts and Path(__file__).parents[2] not in path.parents and path.exists():
            line = f" ({path.name}, line {number})"
    return f"{module or 'the model'}{line}: {first_line(problem)}"


def _refuse_data_dependence(model: nn.Module, x: Tensor) -> None:
    """Refuse models that branch on tensor values: one batch does not show which tensors others train or change."""
    twin = copy.deepcopy(model).train()
    try:
        find_data_dependent_ops(twin, x)
    except Exception as problem:  # torch may not be able to trace all that user code does
        raise NotVectorizableError(error_location(problem, twin)) from problem


def _parts(twin: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> Parts:
    held = tensors_of(twin)
    before = _snapshot(held)
    settings, drawn = _settings(twin), _other_random_state()
    version = x._version
    with torch.enable_grad():
        loss(twin(x), y).backward()  # type: ignore[no-untyped-call]  # torch has no types for it
    if x._version != version:
        raise NotVectorizableError("the forward pass changes its input in place")
    for name, value in _settings(twin).items():
        if settings.get(name) != value:
            raise NotVectorizableError(f"{name} changes in every forward pass")
    if _other_random_state() != drawn:
        raise NotVectorizableError("the forward pass draws from Python's or NumPy's random numbers")
    parameters = dict(twin.named_parameters())
    trained = tuple(name for name, parameter in parameters.items() if parameter.grad is not None)
    after = tensors_of(twin)
    if new := after.keys() - before.keys():
        raise NotVectorizableError(f"{min(new)} is created in the forward pass")
    moving = tuple(name for name in after if name not in parameters and _written(after[name], *before[name]))
    if not trained:
        raise NotVectorizableError("no parameter gets a gradient")
    fixed = tuple(name for name in after if name not in {*trained, *moving})
    return Parts(trained=trained, moving=moving, fixed=fixed)


def _generator(model: nn.Module) -> str:
    """Return a random generator that the model holds (every member has its own state of it), or ""."""
    for module in model.modules():
        for key, value in vars(module).items():
            held = value if isinstance(value, list | tuple) else [value]
            if any(isinstance(one, _GENERATORS) for one in held):
                return f"{type(module).__name__}.{key}"
    return ""


def _accumulate_hooks(parameter: nn.Parameter) -> bool:
    return bool(getattr(parameter, "_post_accumulate_grad_hooks", None))


def _refuse_hidden_state(model: nn.Module, x: Tensor, y: Tensor, loss: Loss) -> None:
    """Refuse models whose loss varies for the same weights, batch and random state."""
    twin = copy.deepcopy(model).train()
    before = {name: tensor.clone() for name, tensor in tensors_of(twin).items()}
    losses = []
    for _ in range(_PASSES):
        for name, tensor in tensors_of(twin).items():
            if name in before:
                tensor.copy_(before[name])
        with torch.random.fork_rng([x.device] if x.is_cuda else []), torch.no_grad():
            torch.manual_seed(0)
            losses.append(float(loss(twin(x.clone()), y)))
    # Losses that are not finite are compared in the first steps.
    if np.isfinite(losses).all() and np.ptp(losses) > _SAME_LOSS * max(abs(losses[0]), 1e-6):
        raise NotVectorizableError(
            "the same batch gives another loss: the model has hidden state or its own random numbers"
        )


def _refuse_changes_in_eval(model: nn.Module, x: Tensor) -> None:
    """Refuse models that change in eval mode: members are evaluated with one module, and not always one by one."""
    twin = copy.deepcopy(model).train()
    before = _snapshot(tensors_of(twin))
    settings, drawn = _settings(twin), (torch.get_rng_state(), _other_random_state())
    with torch.no_grad():
        twin.eval()(x.clone())
    twin.train()
    if not torch.equal(drawn[0], torch.get_rng_state()) or drawn[1] != _other_random_state():
        raise NotVectorizableError("it draws random numbers in eval mode")
    after = tensors_of(twin)
    changed = [name for name, tensor in after.items() if name not in before or _written(tensor, *before[name])]
    changed += [name for name, value in _settings(twin).items() if settings.get(name) != value]
    if changed:
        raise NotVectorizableError(f"{changed[0]} changes in eval mode")


def _refuse_batch_size_dependence(model: nn.Module, parts: Parts, odd: Sample, loss: Loss) -> None:
    """Refuse models whose trained tensors depend on the batch size: optimizers skip unused ones, a stack cannot."""
    others = _parts(copy.deepcopy(model).train(), *odd, loss)
    for kind in ("trained", "moving"):
        for name in sorted({*getattr(parts, kind)} ^ {*getattr(others, kind)}):
            raise NotVectorizableError(f"whether {name} is used depends on the size of the batch")


def _snapshot(tensors: dict[str, Tensor]) -> dict[str, tuple[Tensor, int, int]]:
    """Return values, data pointers and versions, with which `_written` detects changes."""
    return {name: (tensor.clone(), tensor.data_ptr(), tensor._version) for name, tensor in tensors.items()}


def _written(tensor: Tensor, value: Tensor, pointer: int, version: int) -> bool:
    """Check whether a tensor was written or replaced, even by the same values."""
    return tensor.data_ptr() != pointer or tensor._version != version or not torch.equal(tensor, value)


def _settings(model: nn.Module) -> dict[str, str]:
    hidden = {"_parameters", "_buffers", "_modules"}
    return {
        f"{type(module).__name__}.{key}": stable_repr(value)
        for module in model.modules()
        for key, value in vars(module).items()
        if key not in hidden
    }


def _other_random_state() -> tuple[object, ...]:
    kind, keys, *rest = np.random.get_state(legacy=True)
    return (random.getstate(), kind, np.asarray(keys).tobytes(), *rest)


def _sites(template: nn.Module, x: Tensor, *, batch: int) -> tuple[Site, ...]:
    """Run the template without masks and list them; refuse other random draws."""
    notes: list[tuple[str, tuple[int, ...]]] = []
    drawing: list[str] = []
    with noted_dropout(template, notes), _draws(template, drawing), torch.no_grad():
        template(x)
    if drawing:
        raise NotVectorizableError(f"{drawing[0]} draws random numbers of its own")
    names = [name for name, _ in notes]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise NotVectorizableError(f"dropout {twice!r} is used twice in a forward pass")
    if any(not shape or shape[0] != batch for _, shape in notes):
        raise NotVectorizableError("dropout is used on a tensor whose first dimension is not the batch")
    return tuple(Site(name=name, shape=shape[1:]) for name, shape in notes)


@contextmanager
def _draws(template: nn.Module, drawing: list[str]) -> Iterator[None]:
    """Name the innermost modules that change torch's random state, or the model itself."""
    states: list[Tensor] = []

    def before(_module: nn.Module, _inputs: Any) -> None:
        states.append(torch.get_rng_state())

    def after(module: nn.Module, _inputs: Any, _outputs: Any) -> None:
        if not torch.equal(states.pop(), torch.get_rng_state()):
            drawing.append(type(module).__name__)

    handles = [
        handle
        for module in template.modules()
        for handle in (module.register_forward_pre_hook(before), module.register_forward_hook(after))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
