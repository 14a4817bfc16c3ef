"""What a survey of data costs: megabytes a second on one core, and the most memory that was resident.

Each source is surveyed in a fresh process, so that its memory is its own. A generated stream of 2 GB is never in memory
as a whole; an archive of images is surveyed when it is there (`--images PATH`). Speed is CPU time of all processes:
other programs on the machine disturb it less than the clock.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from babysit.data.open_stream import open_stream
from babysit.data.stream import Batch, Stream
from babysit.data.streaming_profile import streaming_profile

GIGABYTE = 10**9
IMAGES = Path(__file__).parents[2] / "shared" / "data" / "cifar10-jpeg.tar.xz"


def generated(columns: int, size: int) -> Stream:
    """Rows of normal float32 values, drawn as they are read: 64 different batches in turn, labels in 10 classes."""
    rows = max(1, 2**20 // columns)
    generator = np.random.default_rng(0)
    block = generator.standard_normal((rows, columns), dtype=np.float32)
    labels = generator.integers(0, 10, rows)
    batches = max(1, size // block.nbytes)

    def opened() -> Iterator[Batch]:
        for number in range(batches):
            yield Batch(block + np.float32(number), labels)  # new rows: nothing is told by having been seen before

    return Stream(source="generated", open=opened, samples=rows * batches)


def table(columns: int) -> Callable[[int], tuple[Stream, int]]:
    return lambda size: (generated(columns, size), size)


def csv(size: int) -> tuple[Stream, int]:
    """A tenth of the size as text."""
    path = Path(tempfile.mkdtemp()) / "rows.csv"
    _elsewhere(write_csv, path, size)
    return open_stream(path), path.stat().st_size


def write_csv(path: Path, size: int) -> None:
    generator = np.random.default_rng(0)
    lines = [
        ",".join(f"{value:.4f}" for value in row) + f",{row[0] > 0:d}\n" for row in generator.normal(size=(20_000, 4))
    ]
    block = "".join(lines)
    with path.open("w") as file:
        file.write("a,b,c,d,y\n")
        for _ in range(max(1, size // 10 // len(block))):
            file.write(block)


def parquet(size: int) -> tuple[Stream, int]:
    """A tenth of the size, in row groups of a million values."""
    path = Path(tempfile.mkdtemp()) / "rows.parquet"
    _elsewhere(write_parquet, path, size)
    return open_stream(path), path.stat().st_size


def write_parquet(path: Path, size: int) -> None:
    import pyarrow as arrow
    from pyarrow.parquet import ParquetWriter

    generator = np.random.default_rng(0)
    names = [f"c{place}" for place in range(20)]
    with ParquetWriter(path, arrow.schema([(name, arrow.float32()) for name in names])) as writer:
        for _ in range(max(1, size // 10 // 4_000_000)):
            values = generator.standard_normal((20, 50_000), dtype=np.float32)
            writer.write_table(arrow.table(dict(zip(names, values, strict=True))))


def _elsewhere(write: Callable[[Path, int], None], path: Path, size: int) -> None:
    """Write a file in a process of its own, whose memory is not counted."""
    process = multiprocessing.get_context("fork").Process(target=write, args=(path, size))
    process.start()
    process.join()


def images(size: int) -> tuple[Stream, int]:
    return open_stream(IMAGES), IMAGES.stat().st_size


SOURCES: dict[str, Callable[[int], tuple[Stream, int]]] = {
    **{f"generated, {columns} columns": table(columns) for columns in (4, 10, 16, 64, 256, 3072)},
    "csv, 5 columns": csv,
    "parquet, 20 columns": parquet,
    "image archive": images,
}


def measure(name: str, size: int) -> None:
    stream, size_bytes = SOURCES[name](size)
    cpu, clock = _cpu_seconds(), time.perf_counter()
    found = streaming_profile(stream)
    cpu, clock = _cpu_seconds() - cpu, time.perf_counter() - clock
    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    samples = sum(split.samples for split in found.splits)
    print(
        f"  {name:25s} {size_bytes / 1e6:8.0f} MB {samples:>12,} samples {size_bytes / 1e6 / cpu:8.0f} MB/s a core"
        f" {clock:6.1f} s {resident:6.0f} MB resident{'' if not found.splits[0].estimated else ', counts estimated'}"
    )


def _cpu_seconds() -> float:
    uses = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(use.ru_utime + use.ru_stime for use in uses)


def main() -> None:
    global IMAGES
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--gigabytes", type=float, default=2.0)
    ask.add_argument("--images", type=Path, default=IMAGES)
    ask.add_argument("--only", default="", help="a part of a source's name")
    said = ask.parse_args()
    IMAGES = said.images
    print(f"Survey of data, {said.gigabytes:g} GB generated, a fresh process each:", flush=True)
    for name in SOURCES:
        if said.only in name and (name != "image archive" or IMAGES.exists()):
            process = multiprocessing.get_context("fork").Process(
                target=measure, args=(name, int(said.gigabytes * GIGABYTE))
            )
            process.start()
            process.join()


if __name__ == "__main__":
    main()
