import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from babysit.store.schema import TABLES
from babysit.testing.store_contract import STORE_CONTRACT
from tools.postgres_server import PostgresServer

# Another database to hold to the contract, for example postgresql+psycopg://user@host/empty_database.
OTHER = os.environ.get("BABYSIT_TEST_STORE", "")


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.server),
        pytest.param("other", marks=pytest.mark.skipif(not OTHER, reason="BABYSIT_TEST_STORE names none")),
    ]
)
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/kept/{secrets.token_hex(2)}.sqlite"
        return
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("server")
        yield server.empty_database()
        return
    engine = sa.create_engine(OTHER)
    TABLES.drop_all(engine)
    yield OTHER
    TABLES.drop_all(engine)
    engine.dispose()


SLOW = {"processes_may_open_and_write_at_once", "a_kill_without_warning_loses_nothing_that_was_flushed"}


@pytest.mark.parametrize(
    "check",
    [
        pytest.param(check, id=check.__name__, marks=[pytest.mark.slow] if check.__name__ in SLOW else [])
        for check in STORE_CONTRACT
    ],
)
def test_the_store_keeps_the_contract(check: Callable[[str], None], address: str) -> None:
    check(address)
