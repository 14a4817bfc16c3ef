"""Connection of the live page to a store, opened lazily and reopened after errors."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar, final

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from babysit.records.errors import UserError
from babysit.store.backend import DATABASE_NAME
from babysit.store.db_errors import UnreadableError
from babysit.store.spool_paths import RUNS_FOLDER
from babysit.store.store import Store

Result = TypeVar("Result")

NO_STORE: Final = "there are no runs here yet"


@final
class StoreSession:
    """Thread-safe access to one store; a missing store is not created."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._store: Store | None = None

    @property
    def label(self) -> str:
        """Return the location of the store, without a password."""
        if self._store is not None:
            return self._store.label
        file = _file(self._url)
        return str(file.absolute()) if file is not None else "the database"

    def with_store(self, query: Callable[[Store], Result]) -> Result:
        """Run a query on the store; raises UserError if it is missing, locked or damaged, or has no such run."""
        store = self._open()
        try:
            return query(store)
        except UnreadableError:
            raise  # the store is readable, one run in it is not
        except UserError:
            with self._lock:  # the store may have been moved: reopen it for the next query
                self._store = None
            raise

    def _open(self) -> Store:
        with self._lock:
            if self._store is None:
                file = _file(self._url)
                if file is not None and not file.exists():
                    raise UserError(
                        NO_STORE,
                        where=str(file.absolute()),
                        do="Start one: babysit run digits. This page shows it as soon as it starts",
                    )
                self._store = Store(self._url)
            return self._store


def _file(url: str | None) -> Path | None:
    """Return the file of a store on this machine; None for a database server."""
    if url and "://" in url:
        try:
            target = make_url(url)
        except ArgumentError:
            return None  # opening the store reports the error
        return Path(target.database) if target.get_backend_name() == "sqlite" and target.database else None
    path = Path(url or RUNS_FOLDER).expanduser()
    return path if path.suffix and not path.is_dir() else path / DATABASE_NAME
