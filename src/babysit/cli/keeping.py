"""Where runs are kept, as the settings say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from babysit.cli.settings import Settings
from babysit.cli.terminal import say_problem

if TYPE_CHECKING:
    from babysit.store.store import Store

FOLDER: Final = "babysit_runs"


@contextmanager
def open_store(settings: Settings) -> Iterator[Store]:
    """The store of the settings, closed at the end; what it could not write is told then.

    Raises UserError when it cannot be opened.
    """
    from babysit.store.store import Store

    store = Store(settings.store or None, megabytes=settings.store_megabytes)
    try:
        yield store
    finally:
        store.close()
        for problem in store.problems:
            say_problem(problem)


def runs_folder(settings: Settings) -> Path:
    """The folder of models, checkpoints and reports: beside the store, or ./babysit_runs for a server's database."""
    if not settings.store or "://" in settings.store:
        return Path(FOLDER)
    path = Path(settings.store).expanduser()
    return path.parent if path.suffix and not path.is_dir() else path
