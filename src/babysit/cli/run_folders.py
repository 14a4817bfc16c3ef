"""Store and run folders, as configured."""

from __future__ import annotations

import os
import tempfile
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
def open_store(settings: Settings, *, anywhere: bool = False) -> Iterator[Store]:
    """Open the configured store; close it at the end and report write failures.

    Args:
        settings: location of the store.
        anywhere: if the store is not writable, use a new temporary folder and say so: a training must not fail because
            of its records.

    Raises:
        UserError: the store cannot be opened.
    """
    from babysit.store.db_errors import UnwritableError
    from babysit.store.store import Store

    try:
        store = Store(settings.store or None, megabytes=settings.max_run_size)
    except UnwritableError as refused:
        if not anywhere:
            raise
        folder = tempfile.mkdtemp(prefix="babysit-runs-")
        say_problem(f"{refused.what} ({refused.where}). Runs are saved to {folder}: babysit runs --store {folder}")
        store = Store(folder, megabytes=settings.max_run_size)
    process = os.getpid()
    try:
        yield store
    finally:
        store.close()
        for problem in store.problems if os.getpid() == process else ():  # not again in a forked child
            say_problem(problem)


def run_folder(settings: Settings, run_id: str) -> Path:
    """Return the folder of a run; UserError for an ID that escapes the folder, as a damaged store may contain."""
    from babysit.store.run_id import require_plain_id

    require_plain_id(run_id)
    return runs_folder(settings) / run_id


def runs_folder(settings: Settings) -> Path:
    """Return the folder for models, checkpoints and reports: that of the store, or ./babysit_runs for a server."""
    if not settings.store or "://" in settings.store:
        return Path(FOLDER)
    path = Path(settings.store).expanduser()
    return path.parent if path.suffix and not path.is_dir() else path
