"""Listing of image files: a folder or tar archive with one sub-folder per class, optionally below train and test."""

from __future__ import annotations

import tarfile
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, final

from babysit.records.errors import UserError

ARCHIVES: Final = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".txz")
_ENDINGS: Final = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
_PARTS: Final = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
_LARGEST: Final = 2**28  # bytes of one file in an archive; larger files are not training images


class ImageFile(NamedTuple):
    """An image file that is not decoded yet."""

    name: str  # class/file, for messages
    label: str
    split: str  # train, validation or test
    content: Path | bytes


class Listing(NamedTuple):
    """Image files of a folder."""

    files: list[ImageFile]  # those of the test set last
    skipped: int  # files that are not images
    bare: list[str]  # class folders without images


def list_folder(folder: Path) -> Listing:
    """List the images of `<class>/*.png|jpg`, or of `train/<class>/…` and `test/<class>/…`."""
    inside = {path.name: path for path in _folders(folder)}
    if any(name in inside for name in ("train", "training")):
        parts = [(split, inside[name]) for name, split in _PARTS.items() if name in inside]
    else:
        parts = [("train", folder)]
    files: list[ImageFile] = []
    skipped, bare = 0, []
    for split, part in parts:
        for class_folder in _folders(part):
            found = [path for path in sorted(_inside(class_folder)) if not path.name.startswith(".")]
            images = [path for path in found if path.suffix.lower() in _ENDINGS and path.is_file()]
            label = _composed(class_folder.name)
            files += [ImageFile(f"{label}/{path.name}", label, split, path) for path in images]
            skipped += len(found) - len(images)
            bare += [] if images else [class_folder.name]
    return Listing(files, skipped, bare)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in _inside(folder) if path.is_dir() and not path.name.startswith("."))


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError as problem:
        raise UserError(f"this folder cannot be read: {problem.strerror}", where=str(folder)) from problem


def _composed(name: str) -> str:
    """Normalize accents to single characters: macOS writes them as two."""
    return unicodedata.normalize("NFC", name)


def is_archive(path: Path) -> bool:
    """Check for the name of a tar archive."""
    return path.name.lower().endswith(ARCHIVES)


@final
class Archive:
    """A tar archive of images, compressed or not; nothing is extracted to disk.

    Iteration reads it from beginning to end; `position` is the progress, `skipped` the number of files that are not
    images.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._size = max(1, path.stat().st_size)
        self._read = 0
        self.skipped = 0

    @property
    def position(self) -> float:
        """Return the fraction of the archive that was read."""
        return self._read / self._size

    def __iter__(self) -> Iterator[ImageFile]:
        self._read = self.skipped = 0
        try:
            with self._path.open("rb") as raw, tarfile.open(fileobj=raw, mode="r|*") as archive:
                while (member := archive.next()) is not None:
                    self._read = raw.tell()
                    file = self._image(archive, member)
                    archive.members.clear()  # type: ignore[attr-defined]  # missing in the stubs
                    # Otherwise the list of members grows with the archive.
                    if file is not None:
                        yield file
        # Damaged bytes raise different errors in the archive and in three kinds of decompression.
        except Exception as problem:
            raise UserError(
                f"this archive cannot be read to its end: {problem or type(problem).__name__}", where=str(self._path)
            ) from problem

    def _image(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> ImageFile | None:
        path = PurePosixPath(member.name)
        folders = [name for name in path.parts[:-1] if name not in (".", "..", "/")]
        if not member.isfile() or path.name.startswith(".") or "__MACOSX" in folders:
            return None
        if path.suffix.lower() not in _ENDINGS or not folders or member.size > _LARGEST:
            self.skipped += 1
            return None
        content = archive.extractfile(member)
        assert content is not None  # it is a file
        label = _composed(folders[-1])
        return ImageFile(f"{label}/{path.name}", label, _split_of(folders), content.read())


def _split_of(folders: Sequence[str]) -> str:
    return next((_PARTS[name.lower()] for name in folders[:-1] if name.lower() in _PARTS), "train")
