"""Maxout: the maximum of several linear maps, for dense and convolutional layers."""

from __future__ import annotations

from typing import final

from torch import Tensor, nn

from babysit.records.errors import UserError


@final
class Maxout(nn.Module):
    """Take the maximum of every `pieces` neighboring features: (N, pieces * F, …) becomes (N, F, …).

    After a linear or convolutional layer of pieces * F outputs this is the maximum of `pieces` linear maps, which
    neither saturates nor dies, for `pieces` times the parameters. Normalization goes between the layer and this module.

    Source: Goodfellow et al. 2013, Maxout Networks, https://arxiv.org/abs/1302.4389.
    """

    def __init__(self, pieces: int = 2, *, dim: int = 1) -> None:
        super().__init__()
        if pieces < 2:
            raise UserError(f"a Maxout of {pieces} pieces has no choice", do="Give at least 2 pieces")
        self.pieces = pieces
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Return the maximum of each group of features."""
        features = x.shape[self.dim]
        if features % self.pieces:
            raise UserError(
                f"{features} features cannot be grouped into {self.pieces} pieces each",
                where="Maxout",
                do=f"Give the preceding layer a multiple of {self.pieces} outputs",
            )
        dim = self.dim % x.dim()
        grouped = x.reshape(*x.shape[:dim], features // self.pieces, self.pieces, *x.shape[dim + 1 :])
        return grouped.amax(dim + 1)

    def extra_repr(self) -> str:
        """Return the settings shown in the representation."""
        return f"pieces={self.pieces}, dim={self.dim}"


def maxout_linear(inputs: int, outputs: int, *, pieces: int = 2) -> nn.Sequential:
    """Build a dense layer of `outputs` units, each the maximum of `pieces` linear maps of the inputs."""
    return nn.Sequential(nn.Linear(inputs, pieces * outputs), Maxout(pieces))


def maxout_conv2d(inputs: int, outputs: int, kernel_size: int, *, pieces: int = 2, padding: int = 0) -> nn.Sequential:
    """Build a convolution of `outputs` channels, each the maximum of `pieces` convolutions of the inputs."""
    return nn.Sequential(nn.Conv2d(inputs, pieces * outputs, kernel_size, padding=padding), Maxout(pieces))
