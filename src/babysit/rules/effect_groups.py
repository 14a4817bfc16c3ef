"""Groups of symptoms that many causes share."""

from __future__ import annotations

from typing import Final

# Training that gets nowhere, whatever the reason; labels look unlearnable (D108) to anything that is broken.
NOT_LEARNING: Final = ("A406", "D108", "F902", "F903", "F904", "F905", "F907", "O210")
# A loss or gradient that blows up, whatever the reason.
BLOWING_UP: Final = ("F906", "F909", "G502", "G503")
# Units lost on the way.
LOST_UNITS: Final = ("A401", "A402", "G504", "U603")
