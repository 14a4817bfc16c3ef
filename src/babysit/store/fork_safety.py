"""Keeps a database whole when the process forks, as workers that load data do.

SQLite must not be inside a call when a process forks (a lock held then is held in the child for ever), and a child must
neither use nor close what it inherited: https://www.sqlite.org/howtocorrupt.html, section 2.6.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakSet

from sqlalchemy import Connection

# A fork waits for a transaction at most this long: one takes milliseconds, and a locked database may not stop training.
_WAIT_SECONDS = 1.0

_lock = threading.RLock()
_waited: list[bool] = []
_open: WeakSet[Connection] = WeakSet()


# Another thread's transaction is waited for at most this long: one takes a second at worst, and a database that hangs
# may not take the whole program with it.
_TURN_SECONDS = 10.0


@contextmanager
def no_fork() -> Iterator[None]:
    """No fork happens within this block; raises TimeoutError when another thread's block does not end."""
    lock = _lock
    if not lock.acquire(timeout=_TURN_SECONDS):
        raise TimeoutError(f"the store has not answered for {_TURN_SECONDS:.0f} seconds")
    try:
        yield
    finally:
        lock.release()


def guard(connection: Connection) -> None:
    """This connection is to stay untouched in forked children for as long as it is open here."""
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
        # Collecting it would close it; a count that never falls to zero keeps it open until the process ends.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
