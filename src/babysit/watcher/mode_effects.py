"""What a module does otherwise in train mode than in eval mode: its effect counts, not its existence."""

from __future__ import annotations

from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd


def mode_effect(module: nn.Module) -> str:
    """In words what makes the module differ between the modes; "" when it does the same in both."""
    kind = type(module).__name__
    if isinstance(module, _NormBase):  # without running statistics it normalizes by the batch in both modes
        return kind if module.running_mean is not None else ""
    if isinstance(module, nn.RReLU):
        return kind if module.lower != module.upper else ""
    rate = _dropout_rate(module)
    return f"{kind} (p={rate:g})" if rate > 0 else ""


def _dropout_rate(module: nn.Module) -> float:
    rate: object = 0.0
    if isinstance(module, _DropoutNd):
        rate = module.p
    elif isinstance(module, nn.MultiheadAttention) or (isinstance(module, nn.RNNBase) and module.num_layers > 1):
        rate = module.dropout  # of a recurrent module between its layers only
    return float(rate) if isinstance(rate, int | float) else 0.0
