"""A folder of images, one sub-folder a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from babysit.data.arrays import first_few, make_samples
from babysit.data.samples import Samples
from babysit.records.problem import UserError

if TYPE_CHECKING:
    from rich.progress import Progress

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_LEARNING_FOLDERS = ("train", "training", "val", "valid", "validation")  # split anew by `splits.split`
_TEST_FOLDER = "test"
# Pillow's names of pixel formats that are 8 bits a channel. Others (16 bits, floats) would lose values when converted.
_GRAY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})


def load_images(folder: Path, *, progress: Progress | None = None) -> Samples:
    """Samples of `<class>/*.png|jpg` (or `train/<class>/…` and `test/<class>/…`), pixels 0 to 255.

    All images must have one size. Grayscale ones among coloured ones are read as coloured. Raises UserError that names
    the files at fault.
    """
    learning_folders, testing_folders = _parts(folder)
    learning, skipped = _images(learning_folders)
    testing, skipped_too = _images(testing_folders)
    files = [*learning, *testing]
    if not files:
        raise UserError(
            "no images in sub-folders were found",
            where=str(folder),
            do=f"Put them in one folder for each class: {folder.name}/cat/1.png, {folder.name}/dog/1.png",
        )
    bare = [path.name for path in (*learning_folders, *testing_folders) if path not in {file.parent for file in files}]
    steps = files if progress is None else progress.track(files, description="Reading images")
    read = [_read(path) for path in steps]
    _refuse_uneven(files, read, folder)
    labels = np.array([path.parent.name for path in files])
    pixels = _together([pixels for _, pixels in read])
    samples = make_samples(pixels, labels, source=str(folder), given_test=len(testing))
    gray = sum(mode in _GRAY_MODES for mode, _ in read)
    mixed = 0 < gray < len(files)
    notes = [f"{gray} of {len(files)} images are grayscale: read as coloured"] if mixed else []
    notes += [f"no images in the folder{'s' * (len(bare) > 1)} {first_few(bare)}"] if bare else []
    return replace(samples, skipped=skipped + skipped_too, notes=(*samples.notes, *notes))


def _parts(folder: Path) -> tuple[list[Path], list[Path]]:
    """The class folders to learn from, and those to test with."""
    inside = {path.name: path for path in _folders(folder)}
    if not any(name in inside for name in ("train", "training")):
        return list(inside.values()), []
    learning = [part for name in _LEARNING_FOLDERS if name in inside for part in _folders(inside[name])]
    return learning, _folders(inside[_TEST_FOLDER]) if _TEST_FOLDER in inside else []


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in _inside(folder) if path.is_dir() and not path.name.startswith("."))


def _images(folders: Sequence[Path]) -> tuple[list[Path], int]:
    files = [path for folder in folders for path in sorted(_inside(folder)) if not path.name.startswith(".")]
    images = [path for path in files if path.suffix.lower() in _ENDINGS and path.is_file()]
    return images, len(files) - len(images)


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as problem:
        raise UserError(f"this folder cannot be read: {problem.strerror}", where=str(folder)) from problem


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as problem:
        raise UserError("reading images needs Pillow", do="Install it with: pip install 'babysit[images]'") from problem
    return Image


def _read(path: Path) -> tuple[str, NDArray[np.uint8]]:
    """Pillow's name of the pixel format, and the pixels as (height, width, 1 or 3)."""
    image_module = _pillow()
    try:
        with image_module.open(path) as image:
            if image.mode not in _GRAY_MODES | _COLOUR_MODES:
                return image.mode, np.empty((image.height, image.width, 0), dtype=np.uint8)
            pixels = np.asarray(image.convert("L" if image.mode in _GRAY_MODES else "RGB"))
            return image.mode, pixels.reshape(image.height, image.width, -1)
    # Pillow raises SyntaxError for broken PNG chunks and ValueError for absurd headers.
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as problem:
        raise UserError(
            f"the image {_named(path)} cannot be read: {problem}", where=str(path.parent), do="Replace or remove it"
        ) from problem


def _refuse_uneven(files: list[Path], read: list[tuple[str, NDArray[np.uint8]]], folder: Path) -> None:
    sizes = Counter(pixels.shape[:2] for _, pixels in read)
    usual = sizes.most_common(1)[0][0]
    odd = [
        f"{_named(path)}: {pixels.shape[1]} x {pixels.shape[0]}"
        for path, (_, pixels) in zip(files, read, strict=True)
        if pixels.shape[:2] != usual
    ]
    if odd:
        raise UserError(
            f"the images have {len(sizes)} different sizes: most are {usual[1]} x {usual[0]}, but {first_few(odd)}",
            where=str(folder),
            do="Resize them to one size",
        )
    deep = [f"{_named(path)}: {mode}" for path, (mode, pixels) in zip(files, read, strict=True) if pixels.size == 0]
    if deep:
        raise UserError(
            f"{len(deep)} images do not have 8 bits a channel: {first_few(deep)}",
            where=str(folder),
            do="Convert them to 8-bit grayscale or RGB, or give them as arrays in an .npz file",
        )


def _together(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """All images as (samples, channels, height, width); grayscale ones fill all channels of coloured ones."""
    height, width, _ = images[0].shape
    pixels = np.empty((len(images), max(image.shape[2] for image in images), height, width), dtype=np.uint8)
    for place, image in enumerate(images):
        pixels[place] = np.moveaxis(image, 2, 0)
    return pixels


def _named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
