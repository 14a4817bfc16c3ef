from __future__ import annotations

import torch
from torch import nn

from babysit.data.splits import Splits
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize


def digits_model(splits: Splits, *, seed: int = 0, dropout: float = 0.3) -> nn.Module:
    """A small network with everything that has state: standardization, BatchNorm, dropout."""
    torch.manual_seed(seed)
    return nn.Sequential(Standardize.fit(splits.train.x), mlp(64, 10, hidden=(24,), dropout=dropout, batch_norm=True))


def weights(model: nn.Module) -> dict[str, bytes]:
    return {name: value.detach().cpu().numpy().tobytes() for name, value in model.state_dict().items()}
