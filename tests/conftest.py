"""What holds for every test."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest
from hypothesis import settings

# Before torch is imported: two threads on a busy machine of two cores were measured 60 times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell that starts its jobs in the background lets them ignore Ctrl-C, and so would every program started here: the
# tests of interrupts need it heard, however the suite itself was started.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says nothing on a busy machine.
settings.register_profile("babysit", deadline=None)
settings.load_profile("babysit")


@pytest.fixture(autouse=True, scope="session")
def _own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What belongs to the user who runs babysit, such as the key of their runs, is kept here while tests run."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    os.environ.pop("XDG_STATE_HOME")
    if before is not None:
        os.environ["XDG_STATE_HOME"] = before
