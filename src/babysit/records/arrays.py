"""The array type of records."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

# Records hold NumPy arrays only: they can be read where torch is not installed.
Array: TypeAlias = NDArray[Any]


def empty(dtype: str = "float64") -> Array:
    """Return an empty array."""
    return np.zeros(0, dtype=dtype)
