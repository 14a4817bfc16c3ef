"""Layer outputs during one forward pass, and their gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, final

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from babysit.metrics.activations import RECTIFIERS, SATURATING, extremes, saturated, unit_axis
from babysit.nn.activation_lookup import WEIGHTED, activation_name
from babysit.nn.maxout import Maxout

# Operations with the weight among their arguments; a product of two activations (attention) is not a layer.
_PRODUCTS: Final = frozenset({"linear", "matmul", "mm", "addmm", "baddbmm", "bmm", "bilinear", "conv1d", "conv2d"})
_MORE_PRODUCTS: Final = frozenset({"conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "__matmul__"})
_NORMS: Final = frozenset({"batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm"})


@final
@dataclass(kw_only=True)
class LayerPass:
    """One layer: its raw output, its output after normalization and activation, and its gradient."""

    name: str
    convolutional: bool
    output_std: float  # of the raw output, before the activation
    activation: str = ""
    std: float = 0.0  # after normalization and activation
    mean: float = 0.0
    saturated: float | None = None  # share of values in the saturated range; None for other activations
    dead: float | None = None  # share of units at zero for all samples; None for activations that cannot die
    gradient_std: float | None = None  # of the loss with respect to the raw output; None before backward
    finite: bool = True


@final
class LayerTrace(TorchFunctionMode):
    """Record the layers during forward and backward: `passages` holds them in execution order, first call only.

    Functional calls are covered as well as modules. Usage: `with LayerTrace(model) as trace`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.passages: list[LayerPass] = []
        self._names = {
            id(value): name.removesuffix(".weight") for name, value in model.named_parameters() if value.dim() > 1
        }
        self._model = model
        self._inside = ""  # the layer module being executed: its weight may be computed (parametrization)
        self._open: LayerPass | None = None
        self._hooks = ExitStack()

    def __enter__(self) -> LayerTrace:
        for name, module in self._model.named_modules():
            if isinstance(module, WEIGHTED):
                self._hooks.callback(module.register_forward_pre_hook(partial(self._enter, name)).remove)
            if isinstance(module, Maxout):
                self._hooks.callback(module.register_forward_hook(self._after_maxout).remove)
        super().__enter__()  # type: ignore[no-untyped-call]  # torch has no type
        return self

    def __exit__(self, *reason: Any) -> None:
        super().__exit__(*reason)  # type: ignore[no-untyped-call]
        self._hooks.close()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run the operation and record its role."""
        result = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "")
        if isinstance(result, Tensor) and result.is_floating_point():
            if name in _PRODUCTS or name in _MORE_PRODUCTS:
                self._product(name, [*args, *(kwargs or {}).values()], result)
            elif self._open is not None:
                self._follow(_rectifies(name, args, kwargs or {}) or activation_name(name), result, name)
        return result

    def _enter(self, name: str, module: nn.Module, args: Any) -> None:
        self._inside = name

    def _product(self, operation: str, arguments: Sequence[Any], result: Tensor) -> None:
        known = [self._names[id(value)] for value in arguments if id(value) in self._names]
        name = self._inside or (known[0] if known else "")
        self._inside = ""
        self._open = None
        if not name or any(passage.name == name for passage in self.passages):
            return
        passage = LayerPass(name=name, convolutional=operation.startswith("conv"), output_std=_std(result))
        self.passages.append(passage)
        self._open = passage
        _record_output(passage, result)
        if result.requires_grad:
            result.register_hook(partial(_record_gradient, passage))  # type: ignore[no-untyped-call]

    def _follow(self, activation: str, result: Tensor, operation: str) -> None:
        passage = self._open
        if passage is None or passage.activation or not (activation or operation in _NORMS):
            return
        passage.activation = activation
        _record_output(passage, result)
        if activation:
            _record_inactive(passage, result)

    def _after_maxout(self, module: nn.Module, args: Any, result: Tensor) -> None:
        if self._open is not None and not self._open.activation:
            self._open.activation = "maxout"
            _record_output(self._open, result)


def _rectifies(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
    """Return "relu" for clamping at zero from below, which is equivalent."""
    clamps = name in {"clamp", "clamp_", "clamp_min", "clamp_min_"}
    lowest = kwargs.get("min", args[1] if len(args) > 1 else None)
    return "relu" if clamps and isinstance(lowest, int | float) and lowest == 0 else ""


def _std(values: Tensor) -> float:
    return float(values.detach().float().std(correction=0))


def _record_output(passage: LayerPass, values: Tensor) -> None:
    passage.std, passage.mean = _std(values), float(values.detach().float().mean())
    passage.finite = passage.finite and bool(torch.isfinite(values).all())


def _record_inactive(passage: LayerPass, values: Tensor) -> None:
    values = values.detach()
    if passage.activation in SATURATING:
        passage.saturated = float(saturated(values, passage.activation))
    if passage.activation in RECTIFIERS:
        _, highest = extremes(values, unit_axis(values, convolutional=passage.convolutional))
        passage.dead = float((highest <= 0).float().mean())


def _record_gradient(passage: LayerPass, gradient: Tensor) -> None:
    if passage.gradient_std is None:
        passage.gradient_std = _std(gradient)
