"""Prints what keeping a run costs: on the training thread, on disk, and when it is read again."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from babysit.records.curves import Curves, Series
from babysit.records.run import Run
from babysit.store.identity import new_run_id
from babysit.store.store import Store
from babysit.store.writer import Writer

STEPS = 20_000
STEP_SECONDS = 0.001  # a quick step: the writer works beside it, as in a training


def row(step: int) -> Curves:
    """Three scalars of one step."""
    at = np.array([step])
    return Curves(series={name: Series(at, np.array([1.0 / (step + 1)])) for name in ("loss/train", "rate", "norm")})


def append_costs(writer: Writer, rows: list[Curves]) -> list[float]:
    costs = []
    for one in rows:
        begin = time.perf_counter()
        writer.append(curves=one)
        costs.append((time.perf_counter() - begin) * 1e6)
        time.sleep(STEP_SECONDS)
    return costs


def busy_seconds(*, writer: Writer | None, rows: list[Curves]) -> float:
    """Time for a loop of pure Python work with or without writing: what the writer's thread takes away."""
    begin = time.perf_counter()
    for one in rows:
        if writer is not None:
            writer.append(curves=one)
        sum(range(20_000))
    return time.perf_counter() - begin


def main() -> None:
    rows = [row(step) for step in range(STEPS)]
    with tempfile.TemporaryDirectory() as folder, Store(folder) as store:
        writer = store.open_writer(Run(id=new_run_id()))
        costs = append_costs(writer, rows[:5000])
        print(
            f"append on the calling thread: median {statistics.median(costs):.2f} µs, mean {statistics.mean(costs):.2f}"
        )
        print(f"  99th percentile {sorted(costs)[len(costs) * 99 // 100]:.1f} µs, worst {max(costs):.1f} µs")
        with_writing, without = [], []
        for block in range(15):  # each block is compared with its neighbours: the machine's mood changes slowly
            part = rows[block * 1000 : (block + 1) * 1000]
            before = busy_seconds(writer=None, rows=part)
            written = busy_seconds(writer=writer, rows=part)
            writer.flush()
            between = busy_seconds(writer=None, rows=part)
            after = busy_seconds(writer=None, rows=part)
            with_writing.append(2 * written / (before + between) - 1)
            without.append(2 * between / (before + after) - 1)
        print(f"share of a busy loop of {between * 1000:.0f} µs a step: {statistics.median(with_writing):+.2%}", end="")
        print(f" (the same without writing: {statistics.median(without):+.2%})")
        begin = time.perf_counter()
        writer.close()
        print(f"close: {(time.perf_counter() - begin) * 1e3:.1f} ms")
        begin = time.perf_counter()
        run = store.load("latest")
        rows_kept = sum(len(series) for series in run.curves.series.values())
        print(f"load of {rows_kept} values: {(time.perf_counter() - begin) * 1e3:.1f} ms")
        store.close()
        print(f"on disk: {sum(path.stat().st_size for path in Path(folder).iterdir()) / rows_kept:.1f} bytes a value")


if __name__ == "__main__":
    main()
