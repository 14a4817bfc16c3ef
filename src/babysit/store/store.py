"""Store of runs: SQLite under `./babysit_runs/` by default, or any database URL."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final, TypeAlias, final

import msgspec
import sqlalchemy as sa
from sqlalchemy import Connection, RowMapping

from babysit.records.errors import InvalidRequestError, NotFoundError, UserError
from babysit.records.reading import reading
from babysit.records.run import Run, Status
from babysit.records.serialization import from_bytes
from babysit.store import spool
from babysit.store.backend import VARIABLE, make_ready, open_backend
from babysit.store.change_builder import ChangeBuilder, storable
from babysit.store.compaction import enforce_limit
from babysit.store.db_errors import decoding
from babysit.store.durable_writer import DurableWriter
from babysit.store.origin import PART as ORIGIN
from babysit.store.origin import Origin
from babysit.store.rows import PART_NAMES, apply, as_ended, assemble, delete
from babysit.store.run_id import require_plain_id
from babysit.store.schema import PARTS, RUNS, SEGMENTS
from babysit.store.summary import RunSummary, from_any_row, from_row, id_in, status_now
from babysit.store.writer import Writer

LATEST: Final = "latest"

LONGEST_TAG: Final = 100

Summaries: TypeAlias = list[RunSummary]
Rows: TypeAlias = list[tuple[Any, ...]]


@final
class Store:
    """Persistent store of runs.

    Args:
        url: a folder, a file, or a SQLAlchemy URL such as `sqlite:///runs.sqlite` or
            `postgresql+psycopg://user@host/name`; None for the environment variable BABYSIT_STORE, else
            `./babysit_runs/`.
        megabytes: limit for the curves and layer metrics of one run; beyond it rows are downsampled, dense early and
            logarithmically spaced late. 0 for no limit; None for BABYSIT_MAX_RUN_SIZE, else 64.

    An existing store that cannot be written is opened read-only. Raises UserError if the store cannot be opened, is
    not a store, or was made by a newer babysit.
    """

    def __init__(self, url: str | None = None, *, megabytes: float | None = None) -> None:
        # A URL from the environment applies to the next command too.
        self._explicit = bool(url) and url != os.environ.get(VARIABLE)
        self._backend = open_backend(url, megabytes=megabytes)
        self._writers: dict[str, Writer] = {}
        self.problems: tuple[str, ...] = ()
        self._import_spools()

    @property
    def label(self) -> str:
        """Location of the store: a path, or a URL without its password."""
        return self._backend.label

    @property
    def option(self) -> str:
        """Command-line option that selects this store; "" for the default one."""
        return f" --store {shlex.quote(self.label)}" if self._explicit else ""

    def save(self, run: Run, *, imported: bool = False) -> None:
        """Save a whole run in place of any under its ID; failures are listed in `problems`.

        Only a run that `open_writer` began counts as this user's own when it is resumed, not one that is saved whole
        or `imported`. Raises UserError for an invalid ID.
        """
        require_plain_id(run.id)
        writer = self._writers.get(run.id)
        if writer is not None and writer.is_open:
            writer.update(**{name: getattr(run, name) for name in Run.__struct_fields__})
            writer.flush()
            self._report(writer.problems)
            return
        sink = DurableWriter(self._backend)
        sink.follow(run.id)
        builder = ChangeBuilder(run, sink, most_bytes=self._backend.most_bytes)
        sink.write(builder.beginning(run, how="imported" if imported else "saved"), last=True)
        sink.close()
        self._report(sink.problems)

    def make_ready(self) -> None:
        """Create the store again after it was removed, for a program that is still recording a run."""
        make_ready(self._backend)

    def load(self, run_id: str) -> Run:
        """Load a run by ID, by a unique prefix of one, or `latest`.

        A running run whose process is gone has the status interrupted. Raises UserError if no run or several match.
        """
        with self._backend.reading() as connection:
            row = dict(_find(connection, run_id))
            parts = _parts(connection, row["id"], PART_NAMES)
            in_order = sa.select(SEGMENTS.c.kind, SEGMENTS.c.payload).order_by(SEGMENTS.c.sequence)
            pieces = connection.execute(in_order.where(SEGMENTS.c.run_id == row["id"])).all()
        with decoding(id_in(row), self.label):
            run = assemble(_as_bytes(parts), ((kind, bytes(payload)) for kind, payload in pieces))
            return as_ended(run, status_now(row))

    def origin(self, run_id: str) -> tuple[Origin, bool]:
        """Return the origin of a run and whether the user of this process began it; see origin.py."""
        with self._backend.reading() as connection:
            row = dict(_find(connection, run_id))
            parts = _parts(connection, row["id"], ("id", "kind", "config", ORIGIN))
        with decoding(id_in(row), self.label):
            fields = _as_bytes(parts)
            payload = fields.pop(ORIGIN, None)
            origin = Origin() if payload is None else from_bytes(payload, Origin)
            return origin, origin.is_own(assemble(fields, ()))

    def list(self, *, limit: int | None = None) -> Summaries:
        """Return summaries of the runs, newest first; a damaged one has its `problem` set."""
        with self._backend.reading() as connection:
            rows = connection.execute(sa.select(RUNS).order_by(RUNS.c.kept.desc(), RUNS.c.id.desc()).limit(limit))
            return [from_any_row(dict(row), self.label) for row in rows.mappings()]

    def glance(self, run_id: str) -> tuple[RunSummary, int]:
        """Return the summary of a run and a number that increases with every change, for polling."""
        with self._backend.reading() as connection:
            row = dict(_find(connection, run_id))
        with decoding(id_in(row), self.label):
            return from_row(row), int(row["sequence"])

    def line(self, run_id: str) -> RunSummary:
        """Return the summary of a run as in `list`, also of a damaged one."""
        with self._backend.reading() as connection:
            return from_any_row(dict(_find(connection, run_id)), self.label)

    def annotate(self, run_id: str, *, tags: Iterable[str] | None = None, notes: str | None = None) -> None:
        """Set the user's tags or notes of a run; None leaves them unchanged."""
        values: dict[str, Any] = {} if tags is None else {"tags": json.dumps(_plain_tags(tags))}
        if notes is not None:
            values["notes"] = storable(notes)
        with self._backend.writing() as connection:
            found = _find(connection, run_id)["id"]
            if values:
                connection.execute(RUNS.update().where(RUNS.c.id == found).values(**values))

    def delete(self, run_id: str) -> None:
        """Delete a run; later changes of a program that is still writing it are ignored."""
        with self._backend.writing() as connection:
            found = _find(connection, run_id)["id"]
            delete(connection, found)
        self._backend.vacuum()

    def open_writer(self, run: Run) -> Writer:
        """Save `run` and return a writer that adds to it.

        An interrupted run becomes running again. Raises UserError for an invalid ID.
        """
        require_plain_id(run.id)
        if run.status is Status.INTERRUPTED:
            run = msgspec.structs.replace(run, status=Status.RUNNING)
        before = self._writers.pop(run.id, None)
        if before is not None:
            before.close()
        writer = Writer(self._backend, run)
        self._writers[run.id] = writer
        return writer

    def close(self) -> None:
        """Close all open writers and the store."""
        for writer in self._writers.values():
            writer.close()
            self._report(writer.problems)
        self._writers.clear()
        self._backend.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _report(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys((*self.problems, *problems)))

    def _import_spools(self) -> None:
        """Import the spools of earlier writers; those that still cannot be written stay on disk."""
        for path in spool.pending(self._backend):
            try:
                with reading("a spool file", path):
                    changes, unread = spool.read(path)
                with self._backend.writing() as connection:
                    missing = apply(connection, changes)
                    if missing:
                        raise UserError(
                            f"their run {', '.join(sorted(missing))} is not in this store",
                            do="Restore the store in which it began, or remove the file",
                        )
                    for run_id in {change.run_id for change in changes}:
                        enforce_limit(connection, run_id, most_bytes=self._backend.most_bytes)
                if unread:
                    self._report([f"the last {unread} bytes of {path} are incomplete and cannot be read"])
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # another process that opened the store at the same time has imported it
            except (UserError, OSError) as problem:
                self._report([f"records could not be imported from {path}: {problem}"])


def _parts(connection: Connection, run_id: object, names: Iterable[str]) -> Rows:
    wanted = sa.and_(PARTS.c.run_id == run_id, PARTS.c.name.in_(tuple(names)))
    return [tuple(row) for row in connection.execute(sa.select(PARTS.c.name, PARTS.c.payload).where(wanted))]


def _as_bytes(parts: Rows) -> dict[str, bytes]:
    return {name: bytes(payload) for name, payload in parts}


def _plain_tags(tags: Iterable[str]) -> list[str]:
    plain = [" ".join(storable(tag).split()) for tag in tags]
    for tag in plain:
        if not 0 < len(tag) <= LONGEST_TAG or not tag.isprintable():
            shown = tag[:20].encode("ascii", "backslashreplace").decode()
            raise InvalidRequestError(
                f"{shown!r} ({len(tag)} characters) is not a valid tag",
                do=f"Use at most {LONGEST_TAG} characters; longer text belongs in a note",
            )
    return list(dict.fromkeys(plain))


def _find(connection: Connection, run_id: str) -> RowMapping:
    newest = sa.select(RUNS).order_by(RUNS.c.kept.desc(), RUNS.c.id.desc())
    if run_id == LATEST:
        latest = connection.execute(newest.limit(1)).mappings().first()
        if latest is None:
            raise UserError("this store has no runs yet", do="Start one: babysit run digits")
        return latest
    exact = connection.execute(newest.where(RUNS.c.id == run_id)).mappings().first()
    if exact is not None:
        return exact
    matching = newest.where(RUNS.c.id.startswith(run_id, autoescape=True)).limit(6)
    candidates = connection.execute(matching).mappings()
    found = [row for row in candidates if isinstance(row["id"], str) and row["id"].startswith(run_id)]
    if not run_id or not found:
        raise NotFoundError(f"there is no run {run_id!r}", do="List the runs: babysit runs")
    if len(found) > 1:
        some = ", ".join(row["id"] for row in found[:5])
        more = ", …" if len(found) > 5 else ""
        raise InvalidRequestError(f"several runs begin with {run_id!r}: {some}{more}", do="Use a longer prefix")
    return found[0]
