"""Train or eval mode of a pass, and the modules whose results depend on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from babysit.monitor.patch import Patch


@final
class PassMode:
    """Mode of the last pass without gradients, from its modules and functional dropout."""

    def __init__(self, on_problem: Callable[[str, BaseException], None]) -> None:
        self._on_problem = on_problem
        self._running = False
        self._training = False  # whether the network was in train mode
        self._dropping = False  # whether dropout was on in eval mode
        self._effects: dict[str, None] = {}  # effects of train mode that are absent in eval mode
        self._dropout = Patch(torch.nn.functional, "dropout", self._noticing)

    def __str__(self) -> str:
        if self._effects:
            return "train mode: " + ", ".join(self._effects)
        return "train mode" if self._training else "eval mode, dropout on" if self._dropping else "eval mode"

    def begin(self, network: nn.Module) -> None:
        """Start a pass of this network."""
        self._running, self._training, self._dropping, self._effects = True, network.training, False, {}
        self._dropout.put()

    def add(self, module: nn.Module) -> None:
        """Record a call of the network or of a module inside it."""
        if module.training and (effect := mode_effect(module)):
            self._effects[effect] = None

    def end(self) -> None:
        """End the pass; later calls do not belong to the network."""
        self._running = False

    def stop(self) -> None:
        """Stop recording."""
        self._running = False
        self._dropout.undo()

    def _noticing(self, original: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Wrap functional dropout to record whether it is active while the network is in eval mode."""

        def dropout(*args: Any, **kwargs: Any) -> Tensor:
            try:
                share = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
                on = kwargs.get("training", args[2] if len(args) > 2 else True) and share != 0
                if self._running and on and self._training and not any("(p=" in one for one in self._effects):
                    self._effects[f"dropout (p={share:g})"] = None
                self._dropping |= self._running and not self._training and bool(on)
            except Exception as problem:
                self._on_problem("evaluation", problem)
            return original(*args, **kwargs)

        return dropout


def mode_effect(module: nn.Module) -> str:
    """Describe how the module differs between the modes; "" if it does not."""
    kind = type(module).__name__
    if isinstance(module, _NormBase):  # without running statistics it normalizes by the batch in both modes
        return kind if module.running_mean is not None else ""
    if isinstance(module, nn.RReLU):
        return kind if module.lower != module.upper else ""
    lr = _dropout_lr(module)
    return f"{kind} (p={lr:g})" if lr > 0 else ""


def _dropout_lr(module: nn.Module) -> float:
    lr: object = 0.0
    if isinstance(module, _DropoutNd):
        lr = module.p
    elif isinstance(module, nn.MultiheadAttention) or (isinstance(module, nn.RNNBase) and module.num_layers > 1):
        lr = module.dropout  # a recurrent module applies it only between its layers
    return float(lr) if isinstance(lr, int | float) else 0.0
