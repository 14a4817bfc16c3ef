"""A PostgreSQL for the tests of the store: one server for all of them, an empty database for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.postgres_server import PostgresServer, postgres_programs, postgres_server


@pytest.fixture(autouse=True)
def _state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits for a server's database waits here, and not in the home of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(scope="session")
def _server() -> Iterator[PostgresServer]:
    if postgres_programs() is None:
        pytest.skip("PostgreSQL is not installed (on Debian: apt-get install postgresql)")
    with postgres_server() as server:
        yield server


@pytest.fixture
def server(_server: PostgresServer) -> Iterator[PostgresServer]:
    """A PostgreSQL that runs; a test may stop it."""
    yield _server
    _server.start_if_stopped()
