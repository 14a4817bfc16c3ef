import json
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from babysit.records.arrays import Array
from babysit.records.curves import Curves, Series
from babysit.records.errors import UserError
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.store.run_file import FORMATS, RunFile, read_run, write_run
from babysit.testing.store_contract_hard import HOSTILE
from babysit.testing.synthetic_runs import diverging_run, full_run, losses, same


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("run", [full_run("full"), diverging_run(), Run(id="empty")], ids=lambda run: run.id)
def test_a_run_comes_back_bit_for_bit(run: Run, format: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"run.{format}"
    write_run(RunFile(run=run, tags=("best", "paper"), notes="two\nlines"), path)
    kept = read_run(path)
    assert same(kept.run, run)
    assert (kept.tags, kept.notes) == (("best", "paper"), "two\nlines")
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
def test_hostile_names_come_back_as_they_are(format: str, tmp_path: Path) -> None:
    names = (*HOSTILE, "", "=cmd()", "a,b;c\"d'")
    values = np.arange(2 * len(names), dtype="float32").reshape(2, len(names))
    run = Run(
        id="hostile",
        name="".join(HOSTILE[:-2]),
        config=dict.fromkeys(names, "x"),
        curves=Curves(series={name: Series(np.arange(2), np.array([1.0, np.nan])) for name in names}),
        layer_metrics=LayerMetrics(layers=names, steps=np.array([0, 5]), values=dict.fromkeys(names[:4], values)),
    )
    path = tmp_path / f"run.{format}"
    write_run(RunFile(run=run, notes=HOSTILE[7]), path)
    assert same(read_run(path).run, run)
    assert read_run(path).notes == HOSTILE[7]


DTYPES = st.sampled_from(["float32", "float64", "float16", "int64", "int32", "uint8", "bool"])


@settings(deadline=None, max_examples=40)
@given(
    DTYPES.flatmap(lambda name: hnp.arrays(name, st.integers(0, 30), elements=None)),
    st.sampled_from(FORMATS),
    st.booleans(),
)
def test_every_dtype_and_value_survives(values: Array, format: str, wide: bool) -> None:
    path = Path("run").with_suffix(f".{format}")
    exact = values.astype("int32") if format == "parquet" and values.dtype == np.int64 else values
    series = Series(np.arange(len(exact), dtype="int64" if wide else "int32"), exact)
    run = Run(id="a", curves=Curves(series={"x": series}))
    write_run(RunFile(run=run), path)
    kept = read_run(path).run.curves.get("x")
    assert (kept.values.dtype, kept.steps.dtype) == (exact.dtype, series.steps.dtype)
    assert np.array_equal(kept.values, exact, equal_nan=exact.dtype.kind == "f")
    assert np.array_equal(kept.steps, series.steps)


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_table_has_one_row_a_value_that_others_can_read(tmp_path: Path) -> None:
    import csv

    from pyarrow import parquet

    write_run(RunFile(run=full_run("a")), tmp_path / "a.csv")
    write_run(RunFile(run=full_run("a")), tmp_path / "a.parquet")
    with (tmp_path / "a.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))[1:]
    assert rows[0] == {"part": "curves", "name": "train/loss", "layer": "", "step": "0", "value": "2.3"}
    table = parquet.read_table(tmp_path / "a.parquet").to_pylist()
    assert len(table) == len(rows) == 10
    assert table[4] == {"part": "layer_metrics", "name": "zeros", "layer": "first", "step": 0, "value": 0.5}


def test_whole_numbers_that_a_float_cannot_hold_are_not_rounded_in_silence(tmp_path: Path) -> None:
    run = Run(id="a", curves=Curves(series={"x": Series(np.arange(1), np.array([2**60 + 1]))}))
    with pytest.raises(UserError, match="Export the run as json"):
        write_run(RunFile(run=run), tmp_path / "a.parquet")
    for format in ("csv", "json"):
        write_run(RunFile(run=run), tmp_path / f"a.{format}")
        assert same(read_run(tmp_path / f"a.{format}").run, run)
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_that_is_no_run_is_told_in_one_line(format: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{format}"
    for content in (b"", b"shopping list\n", b"{}", b"\x00\xff" * 50, b"part,name,layer,step,value\n", b'{"format":1}'):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a run exported by babysit") as told:
            read_run(path)
        assert "\n" not in str(told.value)
        assert str(path) in str(told.value)


def test_a_table_that_was_sorted_or_cut_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_run(RunFile(run=full_run("a")), path)
    lines = path.read_text().splitlines(keepends=True)
    for changed in ([*lines[:2], *lines[3:]], [*lines[:2], *reversed(lines[2:])], [*lines[:-2], lines[-1], lines[-2]]):
        path.write_text("".join(changed))
        with pytest.raises(UserError, match="not a run exported by babysit"):
            read_run(path)


def test_a_file_of_a_newer_babysit_is_refused_kindly(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_run(RunFile(run=full_run("a")), path)
    head = json.loads(path.read_text())
    path.write_text(json.dumps(head | {"version": 99}))
    with pytest.raises(UserError, match=r"newer babysit.*Update"):
        read_run(path)


def test_arrays_of_objects_are_never_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_run(RunFile(run=Run(id="a", curves=losses(0, 2))), path)
    path.write_text(path.read_text().replace("<f8", "|O"))
    with pytest.raises(UserError, match="numbers"):
        read_run(path)


def test_the_ending_says_the_format_and_another_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"parquet, csv, json.*Name it run\.json"):
        write_run(RunFile(run=full_run("a")), tmp_path / "run.xlsx")


def test_a_place_that_cannot_be_written_is_told_and_the_old_file_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(UserError, match="cannot be written"):
        write_run(RunFile(run=full_run("a")), tmp_path / "file" / "run.json")
    assert (tmp_path / "file").read_text() == "here"


def test_parquet_without_pyarrow_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"babysit\[tables\]"):
        write_run(RunFile(run=full_run("a")), tmp_path / "run.parquet")
