"""Output files of commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from babysit.records.errors import UserError


def write_text(path: Path, text: str) -> None:
    """Write a file and create its folder. Raises UserError if that fails."""
    with _user_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def require_writable(path: Path) -> None:
    """Raise UserError if a file cannot be written; called before a long training."""
    with _user_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        new = not path.exists()
        path.open("a").close()
        if new:
            path.unlink()


@contextmanager
def _user_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as problem:
        raise UserError(
            f"the file cannot be written: {problem.strerror}", where=str(path), do="Choose another path"
        ) from problem
