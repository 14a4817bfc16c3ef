"""Writes one run as it goes on, off the training thread."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import groupby
from queue import Empty, SimpleQueue
from typing import Any, Final, final

from babysit.records.curves import Curves
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.store.backend import BUSY_SECONDS, Backend
from babysit.store.change_builder import ChangeBuilder, Item, Rows, SetFields, Truncate
from babysit.store.downsampling import Marks, downsample
from babysit.store.durable_writer import DurableWriter
from babysit.store.merge import join_curves, join_layer_metrics
from babysit.store.rows import Change
from babysit.store.summary import HEARTBEAT_SECONDS

# What a kill without warning can cost; a page that follows the run live looks four times a second at most.
COMMIT_SECONDS: Final = 0.25

# The store is busy for BUSY_SECONDS at most, then the spool takes over; the rest is for a slow disk.
_END_SECONDS: Final = 6 * BUSY_SECONDS


# Of items that wait; one is a microsecond's work and about a kilobyte: 100 MB, and many seconds of logging.
MOST_WAITING: Final = 100_000


@final
class Flushed(threading.Event):
    """Set when everything that was told before it was written, or tried to be."""

    kept = False  # whether it is in the store or its spool


Told = Item | Flushed | None


@final
class Writer:
    """The pen of one run: whatever it is told is kept, in order, without waiting and without raising.

    It hands over what it is given as it is: do not change an array after giving it. What could not be written, and
    where it waits meanwhile, is told in `problems`. A process forked from this one has no pen: there, nothing is kept.
    """

    def __init__(self, place: Backend, run: Run) -> None:
        self.run_id = run.id
        self._process = os.getpid()
        self._sink = DurableWriter(place)
        self._recorder = ChangeBuilder(run, self._sink, most_bytes=self._sink.most_bytes)
        self._queue: SimpleQueue[Told] = SimpleQueue()
        self._turn = threading.Lock()
        self._most_waiting = MOST_WAITING
        self._hurry = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._work, args=(run,), name=f"babysit-store-{run.id}", daemon=True)
        self._thread.start()
        atexit.register(self.close)
        self.flush(wait_seconds=BUSY_SECONDS)  # so that the run can be listed from now on

    @property
    def problems(self) -> tuple[str, ...]:
        """What went wrong while writing, each once; empty when all is well."""
        return self._sink.problems

    @property
    def was_replaced(self) -> bool:
        """Whether the store was removed or replaced since this writer began: earlier rows are not in the new one."""
        return self._sink.was_replaced

    @property
    def is_open(self) -> bool:
        """Whether what it is told is kept."""
        return not self._closed and self._is_mine()

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Adds new rows to the run; a layer, statistic or curve may appear at any time."""
        self._put(Rows(curves, layer_metrics))

    def update(self, **run_fields: Any) -> None:
        """Gives fields of the run a new value, the whole of it: `model summary=`, `findings=`, `status=` and so on."""
        self._put(SetFields(run_fields))

    def rewind(self, step: int) -> None:
        """Drops the rows of all steps after this one: training was resumed there and will write them again."""
        self._put(Truncate(step))

    def flush(self, *, wait_seconds: float = _END_SECONDS) -> bool:
        """Waits until everything given so far is in the store or its spool; False when it is not, or takes longer."""
        if not self._is_mine() or not self._thread.is_alive():
            return False
        done = Flushed()
        self._queue.put(done)
        self._hurry.set()
        return done.wait(wait_seconds) and done.kept

    def close(self) -> None:
        """Writes what is left and ends; happens by itself when the program ends."""
        atexit.unregister(self.close)
        if not self._is_mine():
            return
        self._closed = True
        self._queue.put(None)
        self._hurry.set()
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():
            self._rescue()

    def _rescue(self) -> None:
        """The thread hangs in the database: what it has not got to yet is put on disk from here."""
        items = [item for item in _drained(self._queue) if item is not None and not isinstance(item, Flushed)]
        self._queue.put(None)  # should it ever come back, it ends
        try:
            self._sink.rescue(self._recorder.changes(items))
        except Exception as problem:
            self._sink.tell(f"the end of the run was not recorded: {type(problem).__name__}: {problem}")

    def _is_mine(self) -> bool:
        return os.getpid() == self._process

    def _put(self, item: Item) -> None:
        if self._closed:
            self._sink.tell("something was recorded after the end of the run and is not kept")
        elif self._is_mine():
            with self._turn:
                self._queue.put(item)
                if self._queue.qsize() > self._most_waiting:
                    self._condense()

    def _condense(self) -> None:
        """The store is slower than what it is told, or hangs: what waits is joined, within the bound of a run."""
        for item in condensed(_drained(self._queue), most_bytes=self._sink.most_bytes):
            self._queue.put(item)
        self._most_waiting = 2 * self._queue.qsize() + MOST_WAITING

    def _work(self, run: Run) -> None:
        self._sink.follow(run.id)
        recorder = self._recorder
        self._write(partial(recorder.beginning, run))
        taken: list[Told] = []
        while None not in taken:
            taken = self._gather()
            items = [item for item in taken if item is not None and not isinstance(item, Flushed)]
            made = partial(recorder.changes, items) if taken else recorder.heartbeat
            self._write(made, last=None in taken)
            for item in taken:
                if isinstance(item, Flushed):
                    item.kept = self._sink.has_kept_all
                    item.set()
        self._sink.close()

    def _gather(self) -> list[Told]:
        """Waits for something to write and gathers what comes within a moment; nothing when nothing came for long."""
        taken: list[Told] = []
        with suppress(Empty):
            taken.append(self._queue.get(timeout=HEARTBEAT_SECONDS))
            self._hurry.wait(COMMIT_SECONDS)
            self._hurry.clear()
            taken += _drained(self._queue)
        return taken

    def _write(self, made: Callable[[], Sequence[Change]], *, last: bool = False) -> None:
        try:
            self._sink.write(made(), last=last)
        except Exception as problem:  # a fault of ours may cost a record, never the training
            self._sink.tell(f"something was not recorded: {type(problem).__name__}: {problem}")


def _drained(queue: SimpleQueue[Told]) -> list[Told]:
    taken: list[Told] = []
    with suppress(Empty):
        while True:
            taken.append(queue.get_nowait())
    return taken


def condensed(items: Iterable[Told], *, most_bytes: float) -> list[Told]:
    """The same items, neighbours joined: rows into one piece within the bound of a run, fields to their last value."""
    made: list[Told] = []
    for kind, group in groupby(items, key=type):
        same: list[Any] = list(group)
        try:
            if kind is Rows:
                same = [_one_piece(same, most_bytes)]
            elif kind is SetFields:
                same = [SetFields({name: value for one in same for name, value in one.values.items()})]
        except Exception:  # one of them is wrong in itself: the recorder says which
            made += same
        else:
            made += same
    return made


def _one_piece(rows: Sequence[Rows], most_bytes: float) -> Rows:
    curves = join_curves([one.curves for one in rows if one.curves is not None])
    layer_metrics = join_layer_metrics([one.layer_metrics for one in rows if one.layer_metrics is not None])
    return Rows(*downsample(curves, layer_metrics, marks=Marks(), most_bytes=most_bytes))
