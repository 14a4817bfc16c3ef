"""The store as the live page reads it: opened when it is there, opened anew when it went away."""

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

Answer = TypeVar("Answer")

NOT_BEGUN: Final = "no run has been kept here yet"


@final
class StoreSession:
    """One store, asked by many threads; nothing is made where no store is."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._store: Store | None = None

    @property
    def label(self) -> str:
        """Where the store is or would be, without a password."""
        if self._store is not None:
            return self._store.label
        file = _file(self._url)
        return str(file.absolute()) if file is not None else "the database"

    def ask(self, question: Callable[[Store], Answer]) -> Answer:
        """What the store answers; raises UserError when it is missing, locked or damaged, or knows no such run."""
        store = self._open()
        try:
            return question(store)
        except UnreadableError:
            raise  # the store is well, one run in it is not
        except UserError:
            with self._lock:  # its place may have gone: who asks next opens it anew
                self._store = None
            raise

    def _open(self) -> Store:
        with self._lock:
            if self._store is None:
                file = _file(self._url)
                if file is not None and not file.exists():
                    raise UserError(
                        NOT_BEGUN,
                        where=str(file.absolute()),
                        do="Begin one: babysit run digits. This page shows it as soon as it begins",
                    )
                self._store = Store(self._url)
            return self._store


def _file(url: str | None) -> Path | None:
    """The file of a store on this machine; None for a server's."""
    if url and "://" in url:
        try:
            target = make_url(url)
        except ArgumentError:
            return None  # the store says what is wrong with it
        return Path(target.database) if target.get_backend_name() == "sqlite" and target.database else None
    path = Path(url or RUNS_FOLDER).expanduser()
    return path if path.suffix and not path.is_dir() else path / DATABASE_NAME
