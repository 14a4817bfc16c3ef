"""Where runs are kept, as the settings say."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from babysit.cli.settings import Settings

if TYPE_CHECKING:
    from babysit.store.store import Store

FOLDER: Final = "babysit_runs"


def open_store(settings: Settings) -> Store:
    """The store of the settings, to be used as a context. Raises UserError when it cannot be opened."""
    from babysit.store.store import Store

    return Store(settings.store or None)


def runs_folder(settings: Settings) -> Path:
    """The folder of models, checkpoints and reports: beside the store, or ./babysit_runs for a server's database."""
    if not settings.store or "://" in settings.store:
        return Path(FOLDER)
    path = Path(settings.store).expanduser()
    return path.parent if path.suffix and not path.is_dir() else path
