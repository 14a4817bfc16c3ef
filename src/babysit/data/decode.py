"""One image file's bytes become pixels; imported by worker processes, so without torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.records.errors import UserError

# Pillow's names of pixel formats that are 8 bits a channel. Others (16 bits, floats) would lose values when converted.
GRAY_MODES: Final = frozenset({"1", "L", "LA"})
_COLOUR_MODES: Final = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})


class DecodedImage(NamedTuple):
    """What one file holds."""

    mode: str  # Pillow's name of the pixel format; "" when the file could not be read
    pixels: NDArray[np.uint8]  # (height, width, 1 or 3); without channels when they are not of 8 bits
    problem: str = ""  # why the file could not be read


def pillow() -> Any:
    """Pillow's Image module; raises UserError when it is not installed."""
    try:
        from PIL import Image
    except ImportError as problem:
        raise UserError("reading images needs Pillow", do="Install it with: pip install 'babysit[images]'") from problem
    return Image


def decode(content: Path | bytes) -> DecodedImage:
    """The pixels of an image file, given as its path or its bytes."""
    image_module = pillow()
    try:
        with image_module.open(content if isinstance(content, Path) else io.BytesIO(content)) as image:
            if image.mode not in GRAY_MODES | _COLOUR_MODES:
                return DecodedImage(image.mode, np.empty((image.height, image.width, 0), dtype=np.uint8))
            pixels = np.asarray(image.convert("L" if image.mode in GRAY_MODES else "RGB"))
            return DecodedImage(image.mode, pixels.reshape(image.height, image.width, -1))
    # Pillow raises SyntaxError for broken PNG chunks, ValueError for absurd headers, and what damaged bytes lead its
    # many decoders to (EOFError, struct.error, IndexError, …) beside them.
    except Exception as problem:
        said = next(iter(str(problem).splitlines()), "") or type(problem).__name__
        return DecodedImage(
            "", np.empty((0, 0, 0), dtype=np.uint8), said.replace("<_io.BytesIO object", "<the file")[:200]
        )


def decode_all(contents: Sequence[Path | bytes]) -> list[DecodedImage]:
    """The pixels of several files, in order."""
    return [decode(content) for content in contents]
