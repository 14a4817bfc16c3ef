"""Images by class from a folder or tar archive, in memory or as a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from babysit.data.arrays import first_few, make_samples
from babysit.data.decode import GRAY_MODES, DecodedImage
from babysit.data.image_files import Archive, ImageFile, is_archive, list_folder
from babysit.data.samples import Samples
from babysit.data.stream import Batch, LeftOut, Stream
from babysit.data.workers import decoded
from babysit.records.errors import UserError

if TYPE_CHECKING:
    from rich.progress import Progress


class _Read(NamedTuple):
    file: ImageFile
    picture: DecodedImage


def load_images(
    path: Path, *, skip_invalid: bool = False, workers: int | None = None, progress: Progress | None = None
) -> Samples:
    """Load samples from `<class>/*.png|jpg` (or `train/<class>/…` and `test/<class>/…`), pixels 0 to 255.

    All images must have the same size. Grayscale images among color images are converted. Raises UserError naming the
    invalid files; with `skip_invalid` they are left out and counted.
    """
    opened = _Opened(path)
    left_out = LeftOut()
    bar = None if progress is None else progress.add_task("Reading images", total=opened.total)
    read: list[_Read] = []
    for files, pictures in decoded(opened.files, workers=workers):
        read += [_Read(*pair) for pair in zip(files, pictures, strict=True)]
        if progress is not None and bar is not None:
            progress.update(bar, completed=opened.completed(len(read)))
    _refuse_none(len(read), path)
    read = _usable(read, _usual_size(read), path, left_out if skip_invalid else None)
    if not read:
        raise UserError("no image can be used", where=str(path), do="; ".join(left_out.notes))
    read.sort(key=lambda one: one.file.split == "test")  # stable: the test set becomes the last samples
    modes = Counter(one.picture.mode in GRAY_MODES for one in read)
    channels = 1 if len(modes) == 1 and True in modes else 3
    samples = make_samples(
        _stacked(read, channels),
        np.array([one.file.label for one in read]),
        source=str(path),
        given_test=sum(one.file.split == "test" for one in read),
    )
    gray = [f"{modes[True]} of {len(read)} images are grayscale: converted to color"] if len(modes) == 2 else []
    notes = (*samples.notes, *gray, *opened.notes(), *left_out.notes)
    return replace(samples, skipped=opened.skipped + left_out.total, notes=notes)


def stream_images(path: Path, *, skip_invalid: bool = False, workers: int | None = None) -> Stream:
    """Stream images in groups of a few hundred; size and channels are those of the first group."""
    opened = _Opened(path)
    left_out = LeftOut()

    def batches() -> Iterator[Batch]:
        size: tuple[int, ...] | None = None
        channels = count = 0
        for files, pictures in decoded(opened.files, workers=workers):
            read = [_Read(*pair) for pair in zip(files, pictures, strict=True)]
            count += len(read)
            if size is None:
                good = [one for one in read if not one.picture.problem]
                if not good and skip_invalid:
                    _usable(read, (), path, left_out)
                    continue
                size = _usual_size(read)
                channels = max((one.picture.pixels.shape[2] for one in good), default=0)
            usable = _usable(read, size, path, left_out if skip_invalid else None)
            usable = _without_colour(usable, path, left_out if skip_invalid else None) if channels == 1 else usable
            yield from _batches(usable, channels)
        _refuse_none(count, path)

    return Stream(
        source=str(path),
        kind="image",
        open=batches,
        samples=None if opened.archive else opened.total,
        position=lambda: opened.archive.position if opened.archive else None,
        left_out=left_out,
        notes=opened.notes,
    )


class _Opened:
    """A listed folder, or an archive that is listed while it is read."""

    def __init__(self, path: Path) -> None:
        self.archive = Archive(path) if is_archive(path) else None
        self._listing = None if self.archive else list_folder(path)

    @property
    def files(self) -> Archive | Sequence[ImageFile]:
        return self._listing.files if self._listing else self.archive or ()

    @property
    def skipped(self) -> int:
        """Return the number of files that are not images."""
        return self._listing.skipped if self._listing else self.archive.skipped if self.archive else 0

    @property
    def total(self) -> int:
        """Return the steps of the progress bar: files of a folder, percent of an archive."""
        return len(self._listing.files) if self._listing else 100

    def completed(self, files: int) -> float:
        return 100 * self.archive.position if self.archive else files

    def notes(self) -> tuple[str, ...]:
        bare = self._listing.bare if self._listing else []
        notes = [f"no images in the folder{'s' * (len(bare) > 1)} {first_few(bare)}"] if bare else []
        return (*notes, f"skipped: {self.skipped} files that are not images") if self.skipped else tuple(notes)


def _refuse_none(images: int, path: Path) -> None:
    if images == 0:
        name = path.name.split(".")[0]
        raise UserError(
            "no images in sub-folders were found",
            where=str(path),
            do=f"Put them in one folder for each class: {name}/cat/1.png, {name}/dog/1.png",
        )


def _usual_size(read: Sequence[_Read]) -> tuple[int, ...]:
    """Return the most frequent height and width."""
    sizes = Counter(one.picture.pixels.shape[:2] for one in read if not one.picture.problem)
    return sizes.most_common(1)[0][0] if sizes else ()


def _usable(read: list[_Read], usual: tuple[int, ...], path: Path, left_out: LeftOut | None) -> list[_Read]:
    """Return the usable images; count the others in `left_out`, or raise if it is None."""
    broken = [one for one in read if one.picture.problem]
    readable = [one for one in read if not one.picture.problem]
    odd = [one for one in readable if one.picture.pixels.shape[:2] != usual]
    deep = [one for one in readable if one.picture.pixels.shape[:2] == usual and one.picture.pixels.shape[2] == 0]
    if left_out is None:
        _refuse(broken, odd, deep, usual=usual, where=str(path))
        return read
    for reason, bad in (
        ("images that cannot be read", broken),
        ("images of another size", odd),
        ("images without 8 bits per channel", deep),
    ):
        if bad:
            left_out.add(reason, names=[one.file.name for one in bad])
    unusable = {id(one) for one in (*broken, *odd, *deep)}
    return [one for one in read if id(one) not in unusable]


def _refuse(broken: list[_Read], odd: list[_Read], deep: list[_Read], *, usual: tuple[int, ...], where: str) -> None:
    if broken:
        first = broken[0]
        more = f" (and {len(broken) - 1} more)" if len(broken) > 1 else ""
        raise UserError(
            f"the image {first.file.name} cannot be read{more}: {first.picture.problem}",
            where=where,
            do="Replace or remove it, or skip such images with skip_invalid (--skip-invalid)",
        )
    if odd:
        sizes = len({one.picture.pixels.shape[:2] for one in odd}) + 1
        listed = [f"{one.file.name}: {one.picture.pixels.shape[1]} x {one.picture.pixels.shape[0]}" for one in odd]
        raise UserError(
            f"the images have {sizes} different sizes: most are {usual[1]} x {usual[0]}, but {first_few(listed)}",
            where=where,
            do="Resize them to one size, or skip them with skip_invalid (--skip-invalid)",
        )
    if deep:
        raise UserError(
            f"{len(deep)} image{'s do' if len(deep) > 1 else ' does'} not have 8 bits per channel: "
            f"{first_few([f'{one.file.name}: {one.picture.mode}' for one in deep])}",
            where=where,
            do="Convert them to 8-bit grayscale or RGB, or skip them with skip_invalid (--skip-invalid)",
        )


def _without_colour(read: list[_Read], path: Path, left_out: LeftOut | None) -> list[_Read]:
    coloured = [one.file.name for one in read if one.picture.pixels.shape[2] == 3]
    if coloured and left_out is None:
        raise UserError(
            f"{len(coloured)} images are in color after grayscale ones: {first_few(coloured)}",
            where=str(path),
            do="Convert all to grayscale or all to color, or skip them with --skip-invalid",
        )
    if coloured and left_out is not None:
        left_out.add("images in color among grayscale ones", names=coloured)
    return [one for one in read if one.picture.pixels.shape[2] == 1]


def _batches(read: list[_Read], channels: int) -> Iterator[Batch]:
    for split in dict.fromkeys(one.file.split for one in read):
        part = [one for one in read if one.file.split == split]
        yield Batch(_stacked(part, channels), np.array([one.file.label for one in part]), split)


def _stacked(read: Sequence[_Read], channels: int) -> NDArray[np.uint8]:
    """Stack all images as (samples, channels, height, width); grayscale values are repeated over color channels."""
    height, width, _ = read[0].picture.pixels.shape
    pixels = np.empty((len(read), channels, height, width), dtype=np.uint8)
    for index, one in enumerate(read):
        pixels[index] = np.moveaxis(one.picture.pixels, 2, 0)
    return pixels
