"""A folder of images, one sub-folder a class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from babysit.data.arrays import first_few, make_samples
from babysit.data.samples import Samples
from babysit.records.problem import UserError

_ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_LEARNING_FOLDERS = ("train", "training", "val", "valid", "validation")  # split anew by `splits.split`
_TEST_FOLDER = "test"
# Pillow's names of pixel formats that are 8 bits a channel. Others (16 bits, floats) would lose values when converted.
_GRAY_MODES = frozenset({"1", "L", "LA"})
_COLOUR_MODES = frozenset({"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"})


def load_images(folder: Path) -> Samples:
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
    size, modes = _one_size(files, folder)
    colours = [mode not in _GRAY_MODES for mode in modes]
    mode = "RGB" if any(colours) else "L"
    pixels = _pixels(files, mode=mode, size=size)
    labels = np.array([path.parent.name for path in files])
    samples = make_samples(pixels, labels, source=str(folder), given_test=len(testing))
    gray = colours.count(False)
    notes = [f"{gray} of {len(files)} images are grayscale: read as coloured"] if mode == "RGB" and gray else []
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


def _one_size(files: list[Path], folder: Path) -> tuple[tuple[int, int], list[str]]:
    """Width and height of all images, and the pixel format of each; only the headers are read."""
    headers = [_opened(path, lambda image: (image.size, image.mode)) for path in files]
    sizes = Counter(size for size, _ in headers)
    usual = sizes.most_common(1)[0][0]
    odd = [
        f"{_named(path)}: {size[0]} x {size[1]}"
        for path, (size, _) in zip(files, headers, strict=True)
        if size != usual
    ]
    if odd:
        raise UserError(
            f"the images have {len(sizes)} different sizes: most are {usual[0]} x {usual[1]}, but {first_few(odd)}",
            where=str(folder),
            do="Resize them to one size",
        )
    modes = [mode for _, mode in headers]
    foreign = [
        f"{_named(path)}: {mode}"
        for path, mode in zip(files, modes, strict=True)
        if mode not in _GRAY_MODES | _COLOUR_MODES
    ]
    if foreign:
        raise UserError(
            f"{len(foreign)} images do not have 8 bits a channel: {first_few(foreign)}",
            where=str(folder),
            do="Convert them to 8-bit grayscale or RGB, or give them as arrays in an .npz file",
        )
    return usual, modes


def _pixels(files: list[Path], *, mode: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    width, height = size
    channels = 3 if mode == "RGB" else 1
    pixels = np.empty((len(files), channels, height, width), dtype=np.uint8)
    for place, path in enumerate(files):
        values = _opened(path, lambda image: np.asarray(image.convert(mode)))
        pixels[place] = np.moveaxis(values.reshape(height, width, channels), 2, 0)
    return pixels


def _opened(path: Path, read: Any) -> Any:
    image_module = _pillow()
    try:
        with image_module.open(path) as image:
            return read(image)
    # Pillow raises SyntaxError for broken PNG chunks and ValueError for absurd headers.
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as problem:
        raise UserError(
            f"the image {_named(path)} cannot be read: {problem}", where=str(path.parent), do="Replace or remove it"
        ) from problem


def _named(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
