"""Parallel decoding of image files, in order, with only a few groups in memory at a time."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import chain, islice
from pathlib import Path
from typing import Final

from babysit.data.decode import DecodedImage, decode_all, pillow
from babysit.data.image_files import ImageFile
from babysit.records.errors import UserError

Group = tuple[Sequence[ImageFile], Sequence[DecodedImage]]

_GROUP: Final = 256  # files passed to a worker at a time: enough to make the overhead negligible
# …and this many bytes: photographs are about ten times larger when decoded, which is 20 MB per group.
_GROUP_BYTES: Final = 2**21
# With fewer files, starting a process takes longer than decoding them (0.1 ms for a small JPEG).
_WORTH_A_PROCESS: Final = 2000
_MOST_WORKERS: Final = 8


def decoded(files: Iterable[ImageFile], *, workers: int | None = None) -> Iterator[Group]:
    """Yield groups of files and their decoded images, in the order of the files.

    `workers` is the number of processes; 0 decodes in this process. Default: the number of cores, and none for few
    files.
    """
    pillow()  # report a missing package here, not in a worker
    groups = _grouped(files)
    if workers is None:
        begin = list(islice(groups, -(-_WORTH_A_PROCESS // _GROUP)))
        workers = _cores() if sum(map(len, begin)) >= _WORTH_A_PROCESS else 0
        groups = chain(begin, groups)
    if workers == 0:
        for group in groups:
            yield group, decode_all([file.content for file in group])
        return
    with ProcessPoolExecutor(workers, mp_context=_context()) as pool:
        try:
            yield from _in_order(groups, pool, waiting_most=2 * workers)
        except BrokenProcessPool as problem:
            raise UserError(
                "a process that decodes images ended unexpectedly", do="If memory is short, use fewer workers"
            ) from problem
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _in_order(groups: Iterator[list[ImageFile]], pool: Executor, *, waiting_most: int) -> Iterator[Group]:
    waiting: deque[tuple[list[ImageFile], Future[list[DecodedImage]]]] = deque()
    for group in groups:
        waiting.append((group, pool.submit(decode_all, [file.content for file in group])))
        if len(waiting) > waiting_most:
            first, future = waiting.popleft()
            yield first, future.result()
    for first, future in waiting:
        yield first, future.result()


def _grouped(files: Iterable[ImageFile]) -> Iterator[list[ImageFile]]:
    group: list[ImageFile] = []
    size = 0
    for file in files:
        group.append(file)
        size += len(file.content) if isinstance(file.content, bytes) else _size(file.content)
        if len(group) == _GROUP or size >= _GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0  # reported when the file is read


def _cores() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(_MOST_WORKERS, cores)


def _context() -> multiprocessing.context.BaseContext:
    """Fork on Linux, like torch's DataLoader: scripts then need no `if __name__ == "__main__"`.

    The children only decode; they use no lock that a thread of this process may hold.
    """
    return multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
