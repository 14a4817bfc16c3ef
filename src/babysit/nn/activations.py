"""Activations by name, in the order in which to try them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Final

from torch import nn

from babysit.nn.maxout import Maxout
from babysit.records.errors import UserError

# The lecture's order: ReLU, then its variants, then tanh, and sigmoid never in hidden layers. GELU and SiLU, which are
# more recent than the lecture, follow the variants it names.
ACTIVATIONS: Final[dict[str, Callable[[], nn.Module]]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "elu": nn.ELU,
    "maxout": Maxout,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
}


def make_activation(name: str) -> nn.Module:
    """Create an activation module; raise UserError with the closest known name for an unknown one."""
    if name in ACTIVATIONS:
        return ACTIVATIONS[name]()
    near = difflib.get_close_matches(name.lower().replace("-", "_"), ACTIVATIONS, n=1)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise UserError(f"there is no activation {name!r:.60}", do=f"{hint}Available: {', '.join(ACTIVATIONS)}")


def width_factor(name: str) -> int:
    """Return the number of inputs per output of this activation: 2 for Maxout, else 1."""
    return Maxout().pieces if name == "maxout" else 1
