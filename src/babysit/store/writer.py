"""Writes one run as it goes on, off the training thread."""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final, final

from babysit.records.curves import Curves
from babysit.records.run import Run
from babysit.records.vitals import Vitals
from babysit.store.changes import Change
from babysit.store.place import BUSY_SECONDS, Place
from babysit.store.recorder import Fields, Item, Recorder, Rewind, Rows
from babysit.store.sink import Sink
from babysit.store.summary import HEARTBEAT_SECONDS

# What a kill without warning can cost; a page that follows the run live looks four times a second at most.
COMMIT_SECONDS: Final = 0.25

# The store is busy for BUSY_SECONDS at most, then the spool takes over; the rest is for a slow disk.
_END_SECONDS: Final = 6 * BUSY_SECONDS


@final
class Writer:
    """The pen of one run: whatever it is told is kept, in order, without waiting and without raising.

    It hands over what it is given as it is: do not change an array after giving it. What could not be written, and
    where it waits meanwhile, is told in `problems`. A process forked from this one has no pen: there, nothing is kept.
    """

    def __init__(self, place: Place, run: Run) -> None:
        self.run_id = run.id
        self._process = os.getpid()
        self._sink = Sink(place)
        self._queue: SimpleQueue[Item | threading.Event | None] = SimpleQueue()
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
    def is_open(self) -> bool:
        """Whether what it is told is kept."""
        return not self._closed and self._is_mine()

    def append(self, *, curves: Curves | None = None, vitals: Vitals | None = None) -> None:
        """Adds new rows to the run; a layer, statistic or curve may appear at any time."""
        self._put(Rows(curves, vitals))

    def update(self, **run_fields: Any) -> None:
        """Gives fields of the run a new value, the whole of it: `anatomy=`, `findings=`, `status=` and so on."""
        self._put(Fields(run_fields))

    def rewind(self, step: int) -> None:
        """Drops the rows of all steps after this one: training was resumed there and will write them again."""
        self._put(Rewind(step))

    def flush(self, *, wait_seconds: float = _END_SECONDS) -> bool:
        """Waits until everything given so far is in the store or its spool; False when that takes longer."""
        if not self._is_mine() or not self._thread.is_alive():
            return False
        done = threading.Event()
        self._queue.put(done)
        self._hurry.set()
        return done.wait(wait_seconds)

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
            self._sink.tell(
                f"the store did not answer for {_END_SECONDS:.0f} seconds; the end of the run may be missing"
            )

    def _is_mine(self) -> bool:
        return os.getpid() == self._process

    def _put(self, item: Item) -> None:
        if self._closed:
            self._sink.tell("something was recorded after the end of the run and is not kept")
        elif self._is_mine():
            self._queue.put(item)

    def _work(self, run: Run) -> None:
        self._sink.follow(run.id)
        recorder = Recorder(run, self._sink, most_bytes=self._sink.most_bytes)
        self._write(partial(recorder.beginning, run))
        taken: list[Item | threading.Event | None] = []
        while None not in taken:
            taken = self._gather()
            items = [item for item in taken if item is not None and not isinstance(item, threading.Event)]
            made = partial(recorder.changes, items) if taken else recorder.heartbeat
            self._write(made, last=None in taken)
            for item in taken:
                if isinstance(item, threading.Event):
                    item.set()
        self._sink.close()

    def _gather(self) -> list[Item | threading.Event | None]:
        """Waits for something to write and gathers what comes within a moment; nothing when nothing came for long."""
        taken: list[Item | threading.Event | None] = []
        with suppress(Empty):
            taken.append(self._queue.get(timeout=HEARTBEAT_SECONDS))
            self._hurry.wait(COMMIT_SECONDS)
            self._hurry.clear()
            while True:
                taken.append(self._queue.get_nowait())
        return taken

    def _write(self, made: Callable[[], Sequence[Change]], *, last: bool = False) -> None:
        try:
            self._sink.write(made(), last=last)
        except Exception as problem:  # a fault of ours may cost a record, never the training
            self._sink.tell(f"something was not recorded: {type(problem).__name__}: {problem}")
