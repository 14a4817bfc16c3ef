"""Decoding of image files; imported by worker processes, so without torch."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.records.errors import UserError

# Pillow's pixel formats with 8 bits per channel. Others (16 bits, floats) would lose precision when converted.
GRAY_MODES: Final = frozenset({"1", "L", "LA"})
_COLOUR_MODES: Final = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})


class DecodedImage(NamedTuple):
    """Content of one image file."""

    mode: str  # Pillow's name of the pixel format; "" if the file could not be read
    pixels: NDArray[np.uint8]  # (height, width, 1 or 3); without channels if not 8-bit
    problem: str = ""  # reason for a failure


def pillow() -> Any:
    """Import Pillow's Image module; raise UserError if it is not installed."""
    try:
        from PIL import Image
    except ImportError as problem:
        raise UserError("reading images needs Pillow", do="Install it with: pip install 'babysit[images]'") from problem
    return Image


def decode(content: Path | bytes) -> DecodedImage:
    """Decode an image file given by its path or its bytes."""
    image_module = pillow()
    try:
        with image_module.open(content if isinstance(content, Path) else io.BytesIO(content)) as image:
            if image.mode not in GRAY_MODES | _COLOUR_MODES:
                return DecodedImage(image.mode, np.empty((image.height, image.width, 0), dtype=np.uint8))
            pixels = np.asarray(image.convert("L" if image.mode in GRAY_MODES else "RGB"))
            return DecodedImage(image.mode, pixels.reshape(image.height, image.width, -1))
    # Pillow raises SyntaxError for broken PNG chunks, ValueError for invalid headers, and with damaged bytes its
    # decoders raise many other errors (EOFError, struct.error, IndexError, …).
    except Exception as problem:
        text = next(iter(str(problem).splitlines()), "") or type(problem).__name__
        return DecodedImage(
            "", np.empty((0, 0, 0), dtype=np.uint8), text.replace("<_io.BytesIO object", "<the file")[:200]
        )


def decode_all(contents: Sequence[Path | bytes]) -> list[DecodedImage]:
    """Decode several files in order."""
    return [decode(content) for content in contents]
