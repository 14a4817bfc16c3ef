"""Prints what keeping runs costs and holds: on the thread that trains, on disk, when read, when killed, when shared.

Parts can be named: python -m benchmarks.store logging long kills crowd
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.store.run_id import new_run_id
from babysit.store.store import Store
from babysit.testing.store_contract_hard import (
    PROCESSES,
    killed_at_random_moments,
    processes_may_open_and_write_at_once,
)
from tools.postgres_server import postgres_programs, postgres_server

NAMES = ("val/loss", "val/accuracy", "temperature")
BLOCKS = 300
KILLS = 50
LONG_STEPS = 1_000_000
LONG_MEGABYTES = 16.0


@contextmanager
def stores(count: int = 1) -> Iterator[dict[str, list[str]]]:
    """Addresses of empty stores in each database there is."""
    with tempfile.TemporaryDirectory() as folder:
        found = {"SQLite": [f"{folder}/{number}" for number in range(count)]}
        if postgres_programs() is None:
            print("PostgreSQL is not installed: SQLite only")
            yield found
            return
        with postgres_server() as server:
            yield found | {"PostgreSQL": [server.empty_database() for _ in range(count)]}


def logging() -> None:
    """What three scalars of `w.log` cost a step, what hands them to the writer every 64 steps included."""
    import babysit

    with stores() as addresses:
        for name, (address,) in addresses.items():
            with Store(address) as store:
                writer = store.open_writer(Run(id=new_run_id()))
                watch = babysit.watch(writer=writer).start()
                recorder = watch._loop.recorder  # a loop hands over every 64 steps, and twice a second at most
                costs, controls = [], []
                for block in range(BLOCKS):
                    begin = time.thread_time()  # of this thread alone: what others do on the machine does not count
                    for step in range(64 * block, 64 * block + 64):
                        for scalar in NAMES:
                            watch.log(scalar, 0.5, step=step)
                    recorder.settle()
                    recorder.send(writer, [])
                    middle = time.thread_time()
                    for _ in range(64 * block, 64 * block + 64):
                        for _ in NAMES:
                            pass
                    costs.append((middle - begin) / 64 * 1e6)
                    controls.append((time.thread_time() - middle) / 64 * 1e6)
                    time.sleep(0.01)
                watch.close()
            print(
                f"{name}: {statistics.median(costs):.1f} µs a step (quartiles {np.percentile(costs, 25):.1f} to "
                f"{np.percentile(costs, 75):.1f}, 99 % below {np.percentile(costs, 99):.1f}; {BLOCKS} blocks of 64 "
                f"steps); the empty loop {statistics.median(controls):.1f} µs"
            )


def appending() -> None:
    """What giving one step's rows to the writer costs the thread that gives them."""
    rows = [
        Curves(series={name: Series(np.array([step]), np.array([1.0 / (step + 1)])) for name in NAMES})
        for step in range(5000)
    ]
    with stores() as addresses:
        for name, (address,) in addresses.items():
            with Store(address) as store:
                writer = store.open_writer(Run(id=new_run_id()))
                costs = []
                for row in rows:
                    start = time.perf_counter()
                    writer.append(curves=row)
                    costs.append((time.perf_counter() - start) * 1e6)
                    time.sleep(0.0005)
                begin = time.perf_counter()
                writer.close()
                print(
                    f"{name}: append: median {statistics.median(costs):.2f} µs, mean {statistics.mean(costs):.2f}, "
                    f"99 % below {np.percentile(costs, 99):.1f}; close {(time.perf_counter() - begin) * 1e3:.0f} ms"
                )


def long() -> None:
    """A million steps of three curves, with layer metrics of twenty layers every fifty steps, in sixteen megabytes."""
    random = np.random.default_rng(0)
    layers = tuple(f"layer{number}" for number in range(20))
    with stores() as addresses:
        for name, (address,) in addresses.items():
            with Store(address, megabytes=LONG_MEGABYTES) as store:
                writer = store.open_writer(Run(id="long"))
                begin = time.perf_counter()
                for first in range(0, LONG_STEPS, 500):
                    steps = np.arange(first, first + 500)
                    table = random.random((10, 20)).astype("float32")
                    writer.append(
                        curves=Curves(series={one: Series(steps, random.normal(size=500)) for one in NAMES}),
                        layer_metrics=LayerMetrics(
                            layers=layers, steps=steps[::50], values={f"s{n}": table for n in range(18)}
                        ),
                    )
                    if first % 10_000 == 0:
                        writer.flush()
                writer.close()
                wrote = time.perf_counter() - begin
            with Store(address, megabytes=LONG_MEGABYTES) as store:
                begin = time.perf_counter()
                run = store.load("long")
                read = time.perf_counter() - begin
                size = store.list()[0].bytes / 1e6
            rows = sum(len(series) for series in run.curves.series.values())
            print(
                f"{name}: written in {wrote:.1f} s, opened in {read:.2f} s; rows {size:.1f} MB, in all "
                f"{bytes_of(address) / 1e6:.1f} MB of {LONG_MEGABYTES:.0f}; {rows:,} points of curves and "
                f"{len(run.layer_metrics.steps):,} sampled steps are left of {3 * LONG_STEPS:,} and "
                f"{LONG_STEPS // 50:,}"
            )


def bytes_of(address: str) -> int:
    if "://" not in address:
        return sum(path.stat().st_size for path in Path(address).iterdir())
    engine = sa.create_engine(address)
    with engine.connect() as connection:
        size = connection.scalar(
            sa.text("SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relname='segments'")
        )
    engine.dispose()
    return int(size or 0)


def kills() -> None:
    """Fifty programs killed at random moments, one after the other; every row that was flushed has to be there."""
    with stores() as addresses:
        for name, (address,) in addresses.items():
            begin = time.perf_counter()
            rows = killed_at_random_moments(address, kills=KILLS, seed=1)
            seconds = time.perf_counter() - begin
            print(
                f"{name}: {KILLS} programs killed, {rows:,} rows found, none that was flushed missing ({seconds:.0f} s)"
            )


def crowd() -> None:
    """Sixteen programs that make one new store together and write two runs each, five times over."""
    with stores(5) as addresses:
        for name, several in addresses.items():
            times = []
            for address in several:
                begin = time.perf_counter()
                processes_may_open_and_write_at_once(address)
                times.append(time.perf_counter() - begin)
            print(
                f"{name}: {len(several)} times {PROCESSES} programs at once, no row lost, no problem told; "
                f"{min(times):.1f} to {max(times):.1f} s each"
            )


PARTS = {part.__name__: part for part in (logging, appending, long, kills, crowd)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", default=list(PARTS), help=f"some of {', '.join(PARTS)} [all]")
    for part in parser.parse_args().parts:
        print(f"-- {part}: {PARTS[part].__doc__}")
        PARTS[part]()


if __name__ == "__main__":
    main()
