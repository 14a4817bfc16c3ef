"""Protection of database connections when the process forks, as data-loading workers do.

SQLite must not be inside a call when a process forks (a lock held then is never released in the child), and a child
must neither use nor close an inherited connection: https://www.sqlite.org/howtocorrupt.html, section 2.6.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from sqlalchemy import Connection

# Longest wait of a fork for a transaction: one takes milliseconds, and a locked database must not stop training.
_WAIT_SECONDS = 1.0

_lock = threading.RLock()
_waited: list[bool] = []
_open: WeakSet[Connection] = WeakSet()


# Longest wait for another thread's transaction: one takes a second at worst, and a database that hangs must not block
# the program.
_TURN_SECONDS = 10.0


@contextmanager
def no_fork() -> Iterator[None]:
    """Block forks within the context. Raises TimeoutError if another thread does not leave its own context."""
    lock = _lock
    if not lock.acquire(timeout=_TURN_SECONDS):
        raise TimeoutError(f"the store has not responded for {_TURN_SECONDS:.0f} seconds")
    try:
        yield
    finally:
        lock.release()


def guard(connection: Connection) -> None:
    """Leave this connection untouched in forked children while it is open here."""
    _open.add(connection)


def _before() -> None:
    _waited.append(_lock.acquire(timeout=_WAIT_SECONDS))


def _in_parent() -> None:
    if _waited.pop():
        _lock.release()


def _in_child() -> None:
    global _lock
    _lock = threading.RLock()
    _waited.clear()
    for connection in _open:
        # Garbage collection would close it; an extra reference keeps it open until the process ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
