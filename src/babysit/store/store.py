"""A store of runs: in SQLite under `./babysit_runs/`, or wherever its address says."""

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

from babysit.records.errors import UserError
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
    """Runs, kept until they are deleted.

    Args:
        url: a folder or a file; or a SQLAlchemy address such as `sqlite:///runs.sqlite` or
            `postgresql+psycopg://user@host/name`; None is what the environment variable BABYSIT_STORE says, else
            `./babysit_runs/`.
        megabytes: what the curves and layer metrics of one run may take before rows are left out, dense early and
            spread by
            the logarithm late; 0 keeps all of them; None is what BABYSIT_MAX_RUN_SIZE says, else 64.

    A store that is there and cannot be written is opened to be read. Raises UserError when the place cannot be opened,
    is not a store, or is one of a newer babysit.
    """

    def __init__(self, url: str | None = None, *, megabytes: float | None = None) -> None:
        # Where the environment says it, it says so to the next command too.
        self._asked = bool(url) and url != os.environ.get(VARIABLE)
        self._place = open_backend(url, megabytes=megabytes)
        self._writers: dict[str, Writer] = {}
        self.problems: tuple[str, ...] = ()
        self._bring_in()

    @property
    def label(self) -> str:
        """Where the store is: a path, or an address without its password."""
        return self._place.label

    @property
    def option(self) -> str:
        """What a command needs to find this store again; "" for the usual place."""
        return f" --store {shlex.quote(self.label)}" if self._asked else ""

    def save(self, run: Run, *, imported: bool = False) -> None:
        """Keeps a whole run in place of what was kept under its id; problems are told in `problems`.

        Only a run that `open_writer` began goes on later as one of this user's own; one that is `imported`, or saved
        whole, is the record of another. Raises UserError for an id that cannot be one.
        """
        require_plain_id(run.id)
        writer = self._writers.get(run.id)
        if writer is not None and writer.is_open:
            writer.update(**{name: getattr(run, name) for name in Run.__struct_fields__})
            writer.flush()
            self._tell(writer.problems)
            return
        sink = DurableWriter(self._place)
        sink.follow(run.id)
        recorder = ChangeBuilder(run, sink, most_bytes=self._place.most_bytes)
        sink.write(recorder.beginning(run, how="imported" if imported else "saved"), last=True)
        sink.close()
        self._tell(sink.problems)

    def make_ready(self) -> None:
        """Makes the store again where it was removed: for a program that still records a run in it."""
        make_ready(self._place)

    def load(self, run_id: str) -> Run:
        """The run of that id, of a beginning that only one run has, or `latest`.

        A run whose process is gone without having ended it has the status interrupted. Raises UserError for an id
        that names no run or several.
        """
        with self._place.reading() as connection:
            row = dict(_find(connection, run_id))
            parts = _parts(connection, row["id"], PART_NAMES)
            in_order = sa.select(SEGMENTS.c.kind, SEGMENTS.c.payload).order_by(SEGMENTS.c.sequence)
            pieces = connection.execute(in_order.where(SEGMENTS.c.run_id == row["id"])).all()
        with decoding(id_in(row), self.label):
            run = assemble(_as_bytes(parts), ((kind, bytes(payload)) for kind, payload in pieces))
            return as_ended(run, status_now(row))

    def origin(self, run_id: str) -> tuple[Origin, bool]:
        """Where a run comes from, and whether the user of this process began it; see origin.py."""
        with self._place.reading() as connection:
            row = dict(_find(connection, run_id))
            parts = _parts(connection, row["id"], ("id", "kind", "config", ORIGIN))
        with decoding(id_in(row), self.label):
            fields = _as_bytes(parts)
            told = fields.pop(ORIGIN, None)
            origin = Origin() if told is None else from_bytes(told, Origin)
            return origin, origin.is_own(assemble(fields, ()))

    def list(self, *, limit: int | None = None) -> Summaries:
        """One line a run, the newest first; one that is damaged says so in `problem`."""
        with self._place.reading() as connection:
            rows = connection.execute(sa.select(RUNS).order_by(RUNS.c.kept.desc(), RUNS.c.id.desc()).limit(limit))
            return [from_any_row(dict(row), self.label) for row in rows.mappings()]

    def glance(self, run_id: str) -> tuple[RunSummary, int]:
        """One line about a run, and a number that rises with every change: who follows a run reads it when it does."""
        with self._place.reading() as connection:
            row = dict(_find(connection, run_id))
        with decoding(id_in(row), self.label):
            return from_row(row), int(row["sequence"])

    def line(self, run_id: str) -> RunSummary:
        """One line about a run as `list` gives it, also of one that is damaged."""
        with self._place.reading() as connection:
            return from_any_row(dict(_find(connection, run_id)), self.label)

    def annotate(self, run_id: str, *, tags: Iterable[str] | None = None, notes: str | None = None) -> None:
        """Sets the user's tags or notes of a run; what is None stays."""
        values: dict[str, Any] = {} if tags is None else {"tags": json.dumps(_plain_tags(tags))}
        if notes is not None:
            values["notes"] = storable(notes)
        with self._place.writing() as connection:
            found = _find(connection, run_id)["id"]
            if values:
                connection.execute(RUNS.update().where(RUNS.c.id == found).values(**values))

    def delete(self, run_id: str) -> None:
        """Removes a run and everything about it; what a program that goes on with it still says is not kept."""
        with self._place.writing() as connection:
            found = _find(connection, run_id)["id"]
            delete(connection, found)
        self._place.give_back()

    def open_writer(self, run: Run) -> Writer:
        """Begins a run, or goes on with one: the store holds `run` from now on, and what the writer adds to it.

        A run that was interrupted runs again. Raises UserError for an id that cannot be one.
        """
        require_plain_id(run.id)
        if run.status is Status.INTERRUPTED:
            run = msgspec.structs.replace(run, status=Status.RUNNING)
        before = self._writers.pop(run.id, None)
        if before is not None:
            before.close()
        writer = Writer(self._place, run)
        self._writers[run.id] = writer
        return writer

    def close(self) -> None:
        """Ends the writers that are still open and lets the store go."""
        for writer in self._writers.values():
            writer.close()
            self._tell(writer.problems)
        self._writers.clear()
        self._place.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _tell(self, problems: Iterable[str]) -> None:
        self.problems = tuple(dict.fromkeys((*self.problems, *problems)))

    def _bring_in(self) -> None:
        """Plays what earlier writers could not write; what still cannot be written goes on waiting."""
        for path in spool.waiting(self._place):
            try:
                with reading("a file of records that wait", path):
                    changes, unread = spool.read(path)
                with self._place.writing() as connection:
                    missing = apply(connection, changes)
                    if missing:
                        raise UserError(
                            f"run {', '.join(sorted(missing))}, of which they are, is not in this store",
                            do="Bring the store back in which it began, or remove the file",
                        )
                    for run_id in {change.run_id for change in changes}:
                        enforce_limit(connection, run_id, most_bytes=self._place.most_bytes)
                if unread:
                    self._tell([f"the last {unread} bytes of {path} were cut off in writing and cannot be read"])
                path.unlink(missing_ok=True)
            except FileNotFoundError:
                continue  # someone else, who opened the store at the same moment, has brought it in
            except (UserError, OSError) as problem:
                self._tell([f"records still wait in {path}: {problem}"])


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
            raise UserError(
                f"{shown!r} of {len(tag)} characters cannot be a tag",
                do=f"Use a word or a few, {LONGEST_TAG} characters at most; longer text is a note",
            )
    return list(dict.fromkeys(plain))


def _find(connection: Connection, run_id: str) -> RowMapping:
    newest = sa.select(RUNS).order_by(RUNS.c.kept.desc(), RUNS.c.id.desc())
    if run_id == LATEST:
        latest = connection.execute(newest.limit(1)).mappings().first()
        if latest is None:
            raise UserError("no run is kept here yet", do="Begin one: babysit run digits")
        return latest
    exact = connection.execute(newest.where(RUNS.c.id == run_id)).mappings().first()
    if exact is not None:
        return exact
    beginning = newest.where(RUNS.c.id.startswith(run_id, autoescape=True)).limit(6)
    near = connection.execute(beginning).mappings()
    found = [row for row in near if isinstance(row["id"], str) and row["id"].startswith(run_id)]
    if not run_id or not found:
        raise UserError(f"there is no run {run_id!r}", do="See what there is: babysit runs")
    if len(found) > 1:
        some = ", ".join(row["id"] for row in found[:5])
        raise UserError(f"several runs begin with {run_id!r}: {some}{', …' if len(found) > 5 else ''}", do="Write more")
    return found[0]
