import multiprocessing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from babysit.records.errors import UserError
from babysit.records.serialization import to_bytes
from babysit.records.upgrades import FIELDS
from babysit.store.migrations import MIGRATIONS
from babysit.store.schema import HISTORY, SCHEMA_VERSION, describe
from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run, losses, same

# The tables as the first version made them. Never to be changed: they stand for the stores that people have.
VERSION_1 = """
CREATE TABLE schema_version (version INTEGER NOT NULL, PRIMARY KEY (version));
CREATE TABLE runs (
    id TEXT NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, status TEXT NOT NULL, created TEXT NOT NULL,
    ended TEXT NOT NULL, verdict TEXT NOT NULL, diagnosis TEXT NOT NULL, steps BIGINT NOT NULL, metric {double},
    metric_name TEXT NOT NULL, tags TEXT NOT NULL, notes TEXT NOT NULL, kept BIGINT NOT NULL, sequence BIGINT NOT NULL,
    writer TEXT NOT NULL, machine TEXT NOT NULL, process BIGINT NOT NULL, started TEXT NOT NULL, seen {double} NOT NULL,
    PRIMARY KEY (id));
CREATE INDEX runs_by_time ON runs (kept);
CREATE TABLE parts (run_id TEXT NOT NULL, name TEXT NOT NULL, payload {bytes} NOT NULL, PRIMARY KEY (run_id, name));
CREATE TABLE segments (
    run_id TEXT NOT NULL, sequence BIGINT NOT NULL, kind TEXT NOT NULL, payload {bytes} NOT NULL,
    PRIMARY KEY (run_id, sequence));
INSERT INTO schema_version VALUES (1)
"""
TYPES = {
    "sqlite": {"double": "FLOAT", "bytes": "BLOB"},
    "postgresql": {"double": "FLOAT(53)", "bytes": "BYTEA"},
}
INSERT_OF_VERSION_1 = sa.text(
    "INSERT INTO runs VALUES (:id, 'before', 'fit', 'finished', '2026-01-01T00:00:00+00:00', '', 'sick', 'R301 x', 6, "
    "0.25, 'test/accuracy', '[\"paper\"]', 'a note', 7, 8, 'w', 'm', 1, '2', 3.0)"
)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def address(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/old.sqlite"
    else:
        yield request.getfixturevalue("server").empty_database()


def as_version_1(value: object) -> Any:
    """A record in plain values under the names of the first version."""
    if isinstance(value, dict):
        return {old_name(key): as_version_1(item) for key, item in value.items()}
    return [as_version_1(item) for item in value] if isinstance(value, list) else value


def old_name(name: str) -> str:
    split, _, metric = name.partition("/")
    if split in ("train", "val", "test") and metric:
        return f"{metric}/{split.replace('val', 'validation')}"
    return {new: old for old, new in FIELDS.items()}.get(name, name)


def make_version_1(address: str, runs: int) -> None:
    """A store of the first version with that many whole runs, written without any code of ours for tables."""
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        for statement in VERSION_1.format(**TYPES[engine.dialect.name]).split(";"):
            connection.exec_driver_sql(statement)
        for number in range(runs):
            run = full_run(f"run-{number}")
            plain = as_version_1(msgspec.msgpack.decode(to_bytes(run)))
            connection.execute(INSERT_OF_VERSION_1, {"id": run.id})
            for name in plain.keys() - {"curves", "vitals"}:
                row = {"run_id": run.id, "name": name, "payload": msgspec.msgpack.encode(plain[name])}
                connection.execute(sa.text("INSERT INTO parts VALUES (:run_id, :name, :payload)"), row)
            for sequence, kind in enumerate(("curves", "vitals"), start=5):
                row = {"id": run.id, "sequence": sequence, "kind": kind, "payload": msgspec.msgpack.encode(plain[kind])}
                connection.execute(sa.text("INSERT INTO segments VALUES (:id, :sequence, :kind, :payload)"), row)
    engine.dispose()


def tables_of(address: str) -> dict[str, object]:
    """Columns with type, emptiness and default, keys and indexes, as the database tells them."""
    engine = sa.create_engine(address)
    inspector = sa.inspect(engine)
    found: dict[str, object] = {}
    for table in sorted(inspector.get_table_names()):
        columns = {
            column["name"]: (str(column["type"]), column["nullable"], str(column["default"]).strip("'").split("'")[0])
            for column in inspector.get_columns(table)
        }
        indexes = sorted((index["name"], tuple(index["column_names"])) for index in inspector.get_indexes(table))
        found[table] = (columns, inspector.get_pk_constraint(table)["constrained_columns"], indexes)
    engine.dispose()
    return found


def test_a_store_of_the_first_version_opens_and_keeps_everything(address: str) -> None:
    make_version_1(address, 3)
    with Store(address) as store:
        assert sorted(line.id for line in store.list()) == ["run-0", "run-1", "run-2"]
        for number in range(3):
            assert same(store.load(f"run-{number}"), full_run(f"run-{number}"))
        line = store.list()[0]
        assert (line.name, line.tags, line.notes, line.metric, line.steps) == ("before", ("paper",), "a note", 0.25, 6)
        first = as_version_1(msgspec.msgpack.decode(to_bytes(full_run("x"))))
        assert line.bytes == sum(len(msgspec.msgpack.encode(first[name])) for name in ("curves", "vitals"))
        writer = store.open_writer(store.load("run-1"))
        writer.append(curves=losses(6, 9))
        writer.close()
        assert writer.problems == ()
    with Store(address) as store:
        assert {line.id: line.steps for line in store.list()} == {"run-0": 6, "run-1": 9, "run-2": 6}


def test_a_migrated_store_has_the_tables_of_a_new_one(address: str, request: pytest.FixtureRequest) -> None:
    make_version_1(address, 1)
    Store(address).close()
    if address.startswith("sqlite"):
        other = address.replace("old.sqlite", "new.sqlite")
    else:
        other = request.getfixturevalue("server").empty_database()
    Store(other).close()
    assert tables_of(address) == tables_of(other)


def test_a_migration_that_fails_leaves_the_store_as_it_was(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make_version_1(address, 1)
    before = tables_of(address)
    real = MIGRATIONS[2]

    def fails(operations: object) -> None:
        real(operations)  # type: ignore[arg-type]
        raise sa.exc.OperationalError("the power went", None, Exception("the power went"))

    with monkeypatch.context() as context:
        context.setitem(MIGRATIONS, 2, fails)
        with pytest.raises(UserError, match="the power went"):
            Store(address)
    assert tables_of(address) == before
    with Store(address) as store:
        assert same(store.load("run-0"), full_run("run-0"))


def _open(address: str, gate: object) -> None:
    gate.wait()  # type: ignore[attr-defined]
    with Store(address) as store:
        assert len(store.list()) == 2


def test_programs_that_open_an_old_store_at_once_migrate_it_once(address: str) -> None:
    make_version_1(address, 2)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["babysit.store.store", "alembic.operations", "psycopg"])
    gate = context.Barrier(6)
    programs = [context.Process(target=_open, args=(address, gate)) for _ in range(6)]
    for program in programs:
        program.start()
    for program in programs:
        program.join(60)
    assert [program.exitcode for program in programs] == [0] * 6


def test_a_program_that_knows_fewer_columns_goes_on_writing(address: str) -> None:
    make_version_1(address, 1)
    Store(address).close()
    engine = sa.create_engine(address)
    columns = (
        "id, name, kind, status, created, ended, verdict, root_cause, steps, metric, metric_name, tags, notes, kept, "
        "sequence, writer, machine, process, started, seen"
    )
    with engine.begin() as connection:
        said = INSERT_OF_VERSION_1.text.replace("INTO runs", f"INTO runs ({columns})")
        connection.execute(sa.text(said), {"id": "late"})
    engine.dispose()
    with Store(address) as store:
        assert [line.id for line in store.list(limit=1)] == ["run-0"]
        assert len(store.list()) == 2


def test_tables_of_a_newer_babysit_are_refused_in_one_line(address: str) -> None:
    Store(address).close()
    engine = sa.create_engine(address)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"UPDATE schema_version SET version = {SCHEMA_VERSION + 1}")
    engine.dispose()
    with pytest.raises(UserError, match=rf"newer babysit.*version {SCHEMA_VERSION + 1}.*Update babysit") as told:
        Store(address)
    assert "\n" not in str(told.value)


def test_every_version_has_its_migration_and_its_line_in_the_page() -> None:
    assert sorted(MIGRATIONS) == list(range(2, SCHEMA_VERSION + 1))
    assert all(f"| {version} | {change} |" in describe() for version, change in HISTORY.items())
