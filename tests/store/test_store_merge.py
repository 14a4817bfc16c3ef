from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from babysit.records.curves import Curves, Series
from babysit.records.run import Run
from babysit.records.serial import to_bytes
from babysit.records.vitals import Vitals
from babysit.store.changes import SegmentRow, assemble
from babysit.store.identity import new_run_id
from babysit.store.merge import join_curves, join_vitals
from babysit.store.place import open_place
from babysit.store.recorder import Item, Recorder, Rewind, Rows
from babysit.store.sink import Sink

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
SINGLES = st.floats(allow_nan=True, allow_infinity=True, width=32)


@st.composite
def curves(draw: st.DrawFn) -> Curves:
    found = {}
    for name in draw(st.lists(st.sampled_from(["loss/train", "rate", "accuracy/validation"]), unique=True, min_size=1)):
        rows = draw(st.integers(1, 12))
        steps = np.sort(draw(hnp.arrays("int64", rows, elements=st.integers(0, 10**12))))
        found[name] = Series(steps, draw(hnp.arrays("float64", rows, elements=FLOATS)))
    return Curves(series=found)


@st.composite
def vitals(draw: st.DrawFn) -> Vitals:
    rows, layers = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    tables = {
        name: draw(hnp.arrays("float32", (rows, layers), elements=SINGLES))
        for name in draw(st.lists(st.sampled_from(["zeros", "dead", "update_ratio"]), unique=True))
    }
    return Vitals(layers=tuple(f"layer{n}" for n in range(layers)), steps=np.arange(rows) * 3, values=tables)


def rows_of(series: Series, start: int, end: int) -> Series:
    return Series(series.steps[start:end], series.values[start:end])


def cut(whole_curves: Curves, whole_vitals: Vitals, cuts: list[int]) -> list[Rows]:
    """All rows, in pieces that end at the same row numbers everywhere."""
    edges = [0, *sorted(cuts), 1000]
    pieces = []
    for start, end in pairwise(edges):
        part = {name: rows_of(series, start, end) for name, series in whole_curves.series.items()}
        tables = {name: table[start:end] for name, table in whole_vitals.values.items()}
        piece = Vitals(layers=whole_vitals.layers, steps=whole_vitals.steps[start:end], values=tables)
        pieces.append(Rows(Curves(series=part), piece))
    return pieces


def test_numbers_only_are_kept() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        join_curves([Curves(series={"a": Series(np.arange(1), np.array([None], dtype=object))})])


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Sink:
    return Sink(open_place(str(tmp_path_factory.mktemp("store"))))


def kept(sink: Sink, batches: list[list[Item]]) -> Run:
    """What a run is after these batches of items, each written in one go."""
    run = Run(id=new_run_id())
    recorder = Recorder(run, sink)
    changes = [change for batch in batches for change in recorder.changes(batch)]
    segments = [(change.kind, change.payload) for change in changes if isinstance(change, SegmentRow)]
    return assemble({"id": to_bytes(run.id)}, segments)


@settings(deadline=None, max_examples=60)
@given(curves(), vitals(), st.lists(st.integers(1, 10), max_size=6), st.lists(st.booleans(), min_size=8, max_size=8))
def test_rows_split_in_any_way_load_back_equal_bit_for_bit(
    sink: Sink, whole_curves: Curves, whole_vitals: Vitals, cuts: list[int], breaks: list[bool]
) -> None:
    batches: list[list[Item]] = [[]]
    for piece, ends_batch in zip(cut(whole_curves, whole_vitals, cuts), breaks, strict=False):
        batches[-1].append(piece)
        if ends_batch:
            batches.append([])
    run = kept(sink, batches)
    assert sink.problems == ()
    assert to_bytes(run.curves) == to_bytes(whole_curves)
    assert to_bytes(run.vitals) == to_bytes(whole_vitals)


@settings(deadline=None, max_examples=30)
@given(curves(), vitals(), st.lists(st.integers(1, 10), max_size=4), st.integers(0, 40))
def test_a_rewind_drops_the_same_rows_however_they_were_split(
    sink: Sink, whole_curves: Curves, whole_vitals: Vitals, cuts: list[int], step: int
) -> None:
    pieces = cut(whole_curves, whole_vitals, cuts)
    run = kept(sink, [[piece] for piece in pieces] + [[Rewind(step)]])
    together = kept(sink, [[*pieces, Rewind(step)]])
    assert to_bytes(run.vitals) == to_bytes(together.vitals)
    assert run.vitals.steps.tolist() == [at for at in whole_vitals.steps.tolist() if at <= step]
    for name, series in whole_curves.series.items():
        assert run.curves.get(name).steps.tolist() == [at for at in series.steps.tolist() if at <= step]


def test_an_empty_piece_does_not_change_the_dtype() -> None:
    single = Series(np.array([1], dtype="int32"), np.array([2.0], dtype="float32"))
    joined = join_curves([Curves(series={"a": Series()}), Curves(series={"a": single})]).get("a")
    assert (joined.steps.dtype, joined.values.dtype) == (np.int32, np.float32)


def test_a_layer_seen_later_takes_its_place_after_the_known_ones() -> None:
    first = Vitals(layers=("a", "c"), steps=np.array([0]), values={"dead": np.array([[1, 3]], dtype="float32")})
    later = Vitals(layers=("b", "c", "a"), steps=np.array([1]), values={"dead": np.array([[2, 3, 1]], dtype="float32")})
    joined = join_vitals([first, later])
    assert joined.layers == ("a", "c", "b")
    assert np.array_equal(joined.values["dead"], [[1, 3, np.nan], [1, 3, 2]], equal_nan=True)


def test_rows_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"loss/train has steps of shape \(2,\), values of \(1,\)"):
        join_curves([Curves(series={"loss/train": Series(np.arange(2), np.zeros(1))})])
    with pytest.raises(ValueError, match=r"dead has shape \(2, 1\) for 2 steps and 2 layers"):
        join_vitals([Vitals(layers=("a", "b"), steps=np.arange(2), values={"dead": np.zeros((2, 1))})])


def test_whole_numbers_become_floats_only_where_there_is_a_gap() -> None:
    counts = Vitals(layers=("a",), steps=np.arange(2), values={"nonfinite": np.array([[1], [2]])})
    without = Vitals(layers=("a",), steps=np.array([2]))
    assert join_vitals([counts, counts]).values["nonfinite"].dtype == np.int64
    assert np.array_equal(join_vitals([counts, without]).values["nonfinite"], [[1], [2], [np.nan]], equal_nan=True)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(vitals(), st.permutations(["x", "y", "z", "w"])), min_size=2, max_size=5), st.integers(1, 4))
def test_joining_some_first_gives_the_same(pieces: list[tuple[Vitals, list[str]]], first: int) -> None:
    named = [
        Vitals(layers=tuple(names[: len(piece.layers)]), steps=piece.steps, values=piece.values)
        for piece, names in pieces
    ]
    some = join_vitals([join_vitals(named[:first]), *named[first:]])
    assert to_bytes(some) == to_bytes(join_vitals(named))
