"""Puts changes into the store or, while that is impossible, into a spool: they are never lost and nothing is raised."""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import final

import sqlalchemy as sa
from sqlalchemy import Connection

from babysit.records.errors import UserError
from babysit.store import fork_safety
from babysit.store.backend import Backend
from babysit.store.compaction import enforce_limit, merge_segments, shrink
from babysit.store.db_errors import is_busy, reason
from babysit.store.rows import Change, PartRow, RunRow, SegmentRow, apply
from babysit.store.schema import DELETED, RUNS
from babysit.store.spool import Spool

# So many small segments are joined into one: measured, a run of 50,000 commits reads in 0.6 s instead of 5.5 s.
_GATHER_SEGMENTS = 512

# After a failure the spool is used for this long before the store is tried again: a locked database costs a wait.
_PAUSE_SECONDS = 5.0


# Records that had to wait beside the store for less than this, because others were writing, are not worth a word.
_TELL_SECONDS = 30.0

# How often the last records try a store in which others write; each try waits BUSY_SECONDS.
_LAST_TRIES = 4


@final
class DurableWriter:
    """The way of one writer into the store; it belongs to one thread."""

    def __init__(self, place: Backend) -> None:
        self.writer = secrets.token_hex(8)
        self.problems: tuple[str, ...] = ()
        self.most_bytes = place.most_bytes
        self._place = place
        self._spool = Spool(place)
        self._memory: list[Change] = []  # what not even the spool could take
        self._connection: Connection | None = None
        self._file: tuple[int, int] | None = None  # which file the connection writes to
        self._removed = False
        self.was_replaced = False  # whether what was written before is in another file than what comes now
        self._begun: dict[tuple[str, str], Change] = {}  # what makes each run anew: its row, and its parts as last said
        self._sequence = 0
        self._pause_until = 0.0
        self._failure = ""  # why the store could not be written
        self._failed_at = 0.0
        self._busy = False
        self._small: Counter[str] = Counter()  # segments of each run since they were last gathered
        self._gathered: dict[str, int] = {}  # up to which sequence that was

    def follow(self, run_id: str) -> None:
        """Makes the next sequence rise above what is kept of a run, even where the clock was set back."""
        with suppress(UserError), self._place.reading() as connection:
            kept = connection.scalar(sa.select(RUNS.c.sequence).where(RUNS.c.id == run_id))
            gone = connection.scalar(sa.select(DELETED.c.sequence).where(DELETED.c.run_id == run_id))
            # SQLite keeps any value in any column: a damaged one is passed over.
            self._sequence = max(self._sequence, 0, *(one for one in (kept, gone) if isinstance(one, int)))

    def next_sequence(self) -> int:
        """A number that rises with each call, and from one writer of a run to its next: nanoseconds since 1970."""
        self._sequence = max(self._sequence + 1, time.time_ns())
        return self._sequence

    @property
    def has_kept_all(self) -> bool:
        """Whether everything written so far is in the store or on disk beside it."""
        return not self._memory

    def tell(self, problem: str) -> None:
        """Keeps a problem, once."""
        if problem not in self.problems:
            self.problems = (*self.problems, problem)

    def write(self, changes: Sequence[Change], *, last: bool = False) -> None:
        """Writes changes, after those that still wait; the last ones try the store whatever happened before."""
        self._memory += changes
        for change in changes:
            if isinstance(change, PartRow) or (isinstance(change, RunRow) and change.create):
                self._begun[change.run_id, change.name if isinstance(change, PartRow) else ""] = change
        if not self._memory and not self._spool.paths:
            return
        if (last or time.monotonic() >= self._pause_until) and self._into_store():
            return
        if last and any(self._busy and self._into_store() for _ in range(1, _LAST_TRIES)):
            return
        self._into_spool()

    def _into_store(self) -> bool:
        try:
            with fork_safety.no_fork():
                connection = self._connect()
                with connection.begin():
                    waited = [*self._spool.changes(), *self._memory]
                    missing = apply(connection, waited)
                    apply(connection, [*self._beginnings(missing), *(c for c in waited if c.run_id in missing)])
        except Exception as problem:
            self._disconnect()
            self._pause_until = time.monotonic() + _PAUSE_SECONDS
            self._busy = is_busy(problem)
            if not self._failure:  # the first reason tells most, and is told once
                self._failure, self._failed_at = reason(problem), time.monotonic()
            return False
        self._failure = ""
        if missing:
            self._tell_of_another()
        self._tidy(connection)
        self._memory.clear()
        with suppress(OSError):  # played again later, it changes nothing
            self._spool.discard()
        return True

    def _beginnings(self, run_ids: Collection[str]) -> list[Change]:
        return [change for (run_id, _), change in self._begun.items() if run_id in run_ids]

    def _connect(self) -> Connection:
        try:
            there = self._place.which_file()
        except FileNotFoundError:
            self._removed = True
            raise
        if self._removed or self._file not in (None, there):
            self._tell_of_another()
            self._disconnect()
            self._removed = False
        if self._connection is None:
            self._file = there
            self._connection = self._place.connect_for_writing()
            fork_safety.guard(self._connection)
        return self._connection

    def _tidy(self, connection: Connection) -> None:
        grown = Counter(change.run_id for change in self._memory if isinstance(change, SegmentRow))
        self._small.update(grown)
        try:
            with fork_safety.no_fork(), connection.begin():
                thinned = [self._tidy_run(connection, run_id) for run_id in grown]
        except Exception:  # nothing depends on it; the next time takes these along
            self._disconnect()
            return
        if any(thinned):
            self._place.give_back()

    def _tidy_run(self, connection: Connection, run_id: str) -> bool:
        """Joins or thins what has grown; whether it was thinned."""
        thinned = last = enforce_limit(connection, run_id, writer=self.writer, most_bytes=self.most_bytes)
        if last is None and self._small[run_id] >= _GATHER_SEGMENTS:
            last = merge_segments(connection, run_id, writer=self.writer, after=self._gathered.get(run_id, 0))
        if last is not None:
            self._gathered[run_id] = last
            del self._small[run_id]
        return thinned is not None

    def _into_spool(self) -> None:
        if not self._memory:
            return
        try:
            # Whoever brings it in may find another database than the one the run began in.
            begun = [] if self._spool.paths else self._beginnings({change.run_id for change in self._memory})
            self._spool.append([*begun, *self._memory])
            self._memory.clear()
            if time.monotonic() - self._failed_at > _TELL_SECONDS:
                self._tell_of_spool()
        except Exception as problem:
            self._memory = shrink(self._memory, most_bytes=self.most_bytes)
            self.tell(
                f"the store {self._place.label} cannot be written ({self._failure}), nor can records wait on disk "
                f"({reason(problem)}); they wait in memory until this program ends"
            )

    def _tell_of_spool(self) -> None:
        for folder in dict.fromkeys(path.parent for path in self._spool.paths):
            self.tell(
                f"the store {self._place.label} cannot be written ({self._failure}); records wait in {folder} "
                "and go in as soon as they can, at the latest when the store is next opened"
            )

    def _tell_of_another(self) -> None:
        self.was_replaced = True
        self.tell(
            f"the store {self._place.label} was removed or replaced while a run was recorded: what comes now is kept "
            "in the new one, what had been recorded stands in the one that was there before"
        )

    def rescue(self, changes: Sequence[Change]) -> None:
        """Puts what is being written, and these changes, on disk: for the thread that does not wait any longer.

        If they arrive after all, the spool changes nothing.
        """
        spool = Spool(self._place)
        try:
            runs = {change.run_id for change in (*self._memory, *changes)}
            folder = spool.append([*self._beginnings(runs), *self._memory, *changes]).parent
            spool.close()
            self.tell(
                f"the store {self._place.label} does not answer; the end of the run waits in {folder} and goes in when "
                "the store is next opened"
            )
        except Exception as problem:
            self.tell(f"the store {self._place.label} does not answer; the end of the run is lost ({reason(problem)})")

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()

    def close(self) -> None:
        """Ends the connection; what waits is for the next who opens the store."""
        with suppress(TimeoutError), fork_safety.no_fork():
            self._disconnect()
        self._tell_of_spool()
        try:
            self._spool.close()
        except OSError as problem:
            self.tell(f"records wait beside the store ({problem}); they go in when it is next opened")
        if self._memory:
            self.tell(f"{len(self._memory)} records could not be kept anywhere and are lost")
