"""Background writer of one run, off the training thread."""

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

# Most that a killed process can lose; a live page polls four times a second at most.
COMMIT_SECONDS: Final = 0.25

# A busy store is waited for BUSY_SECONDS at most, then the spool takes over; the rest allows for a slow disk.
_END_SECONDS: Final = 6 * BUSY_SECONDS


# Limit of the queue before items are merged; one is about a kilobyte: 100 MB, and many seconds of logging.
MOST_WAITING: Final = 100_000


@final
class Flushed(threading.Event):
    """Event set once all items queued before it were written, or the attempt failed."""

    kept = False  # whether they are in the store or its spool


Queued = Item | Flushed | None


@final
class Writer:
    """Non-blocking, ordered writer for one run; never raises.

    Arrays are not copied: do not change one after passing it. Failed writes, and where their records are spooled, are
    listed in `problems`. In a forked child process the writer does nothing.
    """

    def __init__(self, backend: Backend, run: Run) -> None:
        self.run_id = run.id
        self._process = os.getpid()
        self._sink = DurableWriter(backend)
        self._builder = ChangeBuilder(run, self._sink, most_bytes=self._sink.most_bytes)
        self._queue: SimpleQueue[Queued] = SimpleQueue()
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
        """Problems while writing, each once."""
        return self._sink.problems

    @property
    def was_replaced(self) -> bool:
        """True if the store was removed or replaced since this writer began: it lacks earlier rows."""
        return self._sink.was_replaced

    @property
    def is_open(self) -> bool:
        """True if the writer accepts records."""
        return not self._closed and self._is_mine()

    def append(self, *, curves: Curves | None = None, layer_metrics: LayerMetrics | None = None) -> None:
        """Append rows to the run; a layer, statistic or curve may appear at any time."""
        self._put(Rows(curves, layer_metrics))

    def update(self, **run_fields: Any) -> None:
        """Replace fields of the run: `model_summary=`, `findings=`, `status=` and so on."""
        self._put(SetFields(run_fields))

    def rewind(self, step: int) -> None:
        """Discard the rows of all later steps: training was resumed here and will write them again."""
        self._put(Truncate(step))

    def flush(self, *, wait_seconds: float = _END_SECONDS) -> bool:
        """Wait until everything queued is in the store or its spool; return False on failure or timeout."""
        if not self._is_mine() or not self._thread.is_alive():
            return False
        done = Flushed()
        self._queue.put(done)
        self._hurry.set()
        return done.wait(wait_seconds) and done.kept

    def close(self) -> None:
        """Write pending records and stop the thread; called automatically at exit."""
        atexit.unregister(self.close)
        if not self._is_mine():
            return
        self._closed = True
        self._queue.put(None)
        self._hurry.set()
        self._thread.join(_END_SECONDS)
        if self._thread.is_alive():
            self._spill()

    def _spill(self) -> None:
        """Spool the queued items from this thread, since the writer thread hangs in the database."""
        items = [item for item in _drained(self._queue) if item is not None and not isinstance(item, Flushed)]
        self._queue.put(None)  # ends the thread if it resumes
        try:
            self._sink.spill(self._builder.changes(items))
        except Exception as problem:
            self._sink.report(f"the end of the run was not recorded: {type(problem).__name__}: {problem}")

    def _is_mine(self) -> bool:
        return os.getpid() == self._process

    def _put(self, item: Item) -> None:
        if self._closed:
            self._sink.report("something was recorded after the end of the run and is not saved")
        elif self._is_mine():
            with self._turn:
                self._queue.put(item)
                if self._queue.qsize() > self._most_waiting:
                    self._condense()

    def _condense(self) -> None:
        """Merge queued items within the size limit of a run, since the store is too slow or hangs."""
        for item in condensed(_drained(self._queue), most_bytes=self._sink.most_bytes):
            self._queue.put(item)
        self._most_waiting = 2 * self._queue.qsize() + MOST_WAITING

    def _work(self, run: Run) -> None:
        self._sink.follow(run.id)
        builder = self._builder
        self._write(partial(builder.beginning, run))
        collected: list[Queued] = []
        while None not in collected:
            collected = self._collect()
            items = [item for item in collected if item is not None and not isinstance(item, Flushed)]
            made = partial(builder.changes, items) if collected else builder.heartbeat
            self._write(made, last=None in collected)
            for item in collected:
                if isinstance(item, Flushed):
                    item.kept = self._sink.has_kept_all
                    item.set()
        self._sink.close()

    def _collect(self) -> list[Queued]:
        """Wait for an item and collect those of the next COMMIT_SECONDS; return none after HEARTBEAT_SECONDS."""
        collected: list[Queued] = []
        with suppress(Empty):
            collected.append(self._queue.get(timeout=HEARTBEAT_SECONDS))
            self._hurry.wait(COMMIT_SECONDS)
            self._hurry.clear()
            collected += _drained(self._queue)
        return collected

    def _write(self, made: Callable[[], Sequence[Change]], *, last: bool = False) -> None:
        try:
            self._sink.write(made(), last=last)
        except Exception as problem:  # an internal error may lose a record, but never affects the training
            self._sink.report(f"something was not recorded: {type(problem).__name__}: {problem}")


def _drained(queue: SimpleQueue[Queued]) -> list[Queued]:
    collected: list[Queued] = []
    with suppress(Empty):
        while True:
            collected.append(queue.get_nowait())
    return collected


def condensed(items: Iterable[Queued], *, most_bytes: float) -> list[Queued]:
    """Merge consecutive items: rows into one piece within the size limit, fields to their last value."""
    made: list[Queued] = []
    for kind, group in groupby(items, key=type):
        same: list[Any] = list(group)
        try:
            if kind is Rows:
                same = [_one_piece(same, most_bytes)]
            elif kind is SetFields:
                same = [SetFields({name: value for one in same for name, value in one.values.items()})]
        except Exception:  # an item is invalid: the change builder reports which
            made += same
        else:
            made += same
    return made


def _one_piece(rows: Sequence[Rows], most_bytes: float) -> Rows:
    curves = join_curves([one.curves for one in rows if one.curves is not None])
    layer_metrics = join_layer_metrics([one.layer_metrics for one in rows if one.layer_metrics is not None])
    return Rows(*downsample(curves, layer_metrics, marks=Marks(), most_bytes=most_bytes))
