"""Groups of symptoms that many causes share."""

from __future__ import annotations

from typing import Final

# Training makes no progress, for any reason; every broken program makes the labels look unlearnable (D108).
NOT_LEARNING: Final = ("A406", "D108", "F902", "F903", "F904", "F905", "F907", "O210")
# The loss or the gradient diverges, for any reason.
BLOWING_UP: Final = ("F906", "F909", "G502", "G503")
# Units or layers that stopped learning.
LOST_UNITS: Final = ("A401", "A402", "G504", "U603")
