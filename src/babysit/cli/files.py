"""Files that a command writes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from babysit.records.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write a file, making its folder. Raises UserError when that is impossible."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def require_writable(path: Path) -> None:
    """Raise UserError when a file cannot be written; said before a long training instead of after it."""
    with _told(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("a").close()
        if new:
            path.unlink()


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise UserError(
            f"the file cannot be written: {problem.strerror}", where=str(path), do="Name another"
        ) from problem
