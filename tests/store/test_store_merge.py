from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from babysit.records.curves import Curves, Series
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run
from babysit.records.serialization import to_bytes
from babysit.store.backend import open_backend
from babysit.store.change_builder import ChangeBuilder, Item, Rows, Truncate
from babysit.store.durable_writer import DurableWriter
from babysit.store.merge import join_curves, join_layer_metrics
from babysit.store.rows import SegmentRow, assemble
from babysit.store.run_id import new_run_id

FLOATS = st.floats(allow_nan=True, allow_infinity=True)
SINGLES = st.floats(allow_nan=True, allow_infinity=True, width=32)


@st.composite
def curves(draw: st.DrawFn) -> Curves:
    found = {}
    for name in draw(st.lists(st.sampled_from(["train/loss", "lr", "val/accuracy"]), unique=True, min_size=1)):
        rows = draw(st.integers(1, 12))
        steps = np.sort(draw(hnp.arrays("int64", rows, elements=st.integers(0, 10**12))))
        found[name] = Series(steps, draw(hnp.arrays("float64", rows, elements=FLOATS)))
    return Curves(series=found)


@st.composite
def layer_metrics(draw: st.DrawFn) -> LayerMetrics:
    rows, layers = draw(st.integers(1, 8)), draw(st.integers(1, 4))
    tables = {
        name: draw(hnp.arrays("float32", (rows, layers), elements=SINGLES))
        for name in draw(st.lists(st.sampled_from(["zeros", "dead", "update_ratio"]), unique=True))
    }
    return LayerMetrics(layers=tuple(f"layer{n}" for n in range(layers)), steps=np.arange(rows) * 3, values=tables)


def rows_of(series: Series, start: int, end: int) -> Series:
    return Series(series.steps[start:end], series.values[start:end])


def cut(whole_curves: Curves, whole_layer_metrics: LayerMetrics, cuts: list[int]) -> list[Rows]:
    """All rows, in pieces that end at the same row numbers everywhere."""
    edges = [0, *sorted(cuts), 1000]
    pieces = []
    for start, end in pairwise(edges):
        part = {name: rows_of(series, start, end) for name, series in whole_curves.series.items()}
        tables = {name: table[start:end] for name, table in whole_layer_metrics.values.items()}
        piece = LayerMetrics(
            layers=whole_layer_metrics.layers, steps=whole_layer_metrics.steps[start:end], values=tables
        )
        pieces.append(Rows(Curves(series=part), piece))
    return pieces


def test_numbers_only_are_kept() -> None:
    with pytest.raises(ValueError, match="not numbers"):
        join_curves([Curves(series={"a": Series(np.arange(1), np.array([None], dtype=object))})])


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> DurableWriter:
    return DurableWriter(open_backend(str(tmp_path_factory.mktemp("store"))))


def kept(sink: DurableWriter, batches: list[list[Item]]) -> Run:
    """What a run is after these batches of items, each written in one go."""
    run = Run(id=new_run_id())
    recorder = ChangeBuilder(run, sink)
    changes = [change for batch in batches for change in recorder.changes(batch)]
    segments = [(change.kind, change.payload) for change in changes if isinstance(change, SegmentRow)]
    return assemble({"id": to_bytes(run.id)}, segments)


@settings(deadline=None, max_examples=60)
@given(
    curves(), layer_metrics(), st.lists(st.integers(1, 10), max_size=6), st.lists(st.booleans(), min_size=8, max_size=8)
)
def test_rows_split_in_any_way_load_back_equal_bit_for_bit(
    sink: DurableWriter, whole_curves: Curves, whole_layer_metrics: LayerMetrics, cuts: list[int], breaks: list[bool]
) -> None:
    batches: list[list[Item]] = [[]]
    for piece, ends_batch in zip(cut(whole_curves, whole_layer_metrics, cuts), breaks, strict=False):
        batches[-1].append(piece)
        if ends_batch:
            batches.append([])
    run = kept(sink, batches)
    assert sink.problems == ()
    assert to_bytes(run.curves) == to_bytes(whole_curves)
    assert to_bytes(run.layer_metrics) == to_bytes(whole_layer_metrics)


@settings(deadline=None, max_examples=30)
@given(curves(), layer_metrics(), st.lists(st.integers(1, 10), max_size=4), st.integers(0, 40))
def test_a_rewind_drops_the_same_rows_however_they_were_split(
    sink: DurableWriter, whole_curves: Curves, whole_layer_metrics: LayerMetrics, cuts: list[int], step: int
) -> None:
    pieces = cut(whole_curves, whole_layer_metrics, cuts)
    run = kept(sink, [[piece] for piece in pieces] + [[Truncate(step)]])
    together = kept(sink, [[*pieces, Truncate(step)]])
    assert to_bytes(run.layer_metrics) == to_bytes(together.layer_metrics)
    assert run.layer_metrics.steps.tolist() == [at for at in whole_layer_metrics.steps.tolist() if at <= step]
    for name, series in whole_curves.series.items():
        assert run.curves.get(name).steps.tolist() == [at for at in series.steps.tolist() if at <= step]


def test_an_empty_piece_does_not_change_the_dtype() -> None:
    single = Series(np.array([1], dtype="int32"), np.array([2.0], dtype="float32"))
    joined = join_curves([Curves(series={"a": Series()}), Curves(series={"a": single})]).get("a")
    assert (joined.steps.dtype, joined.values.dtype) == (np.int32, np.float32)


def test_a_layer_seen_later_takes_its_place_after_the_known_ones() -> None:
    first = LayerMetrics(layers=("a", "c"), steps=np.array([0]), values={"dead": np.array([[1, 3]], dtype="float32")})
    later = LayerMetrics(
        layers=("b", "c", "a"), steps=np.array([1]), values={"dead": np.array([[2, 3, 1]], dtype="float32")}
    )
    joined = join_layer_metrics([first, later])
    assert joined.layers == ("a", "c", "b")
    assert np.array_equal(joined.values["dead"], [[1, 3, np.nan], [1, 3, 2]], equal_nan=True)


def test_rows_that_do_not_fit_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match=r"train/loss has steps of shape \(2,\), values of \(1,\)"):
        join_curves([Curves(series={"train/loss": Series(np.arange(2), np.zeros(1))})])
    with pytest.raises(ValueError, match=r"dead has shape \(2, 1\) for 2 steps and 2 layers"):
        join_layer_metrics([LayerMetrics(layers=("a", "b"), steps=np.arange(2), values={"dead": np.zeros((2, 1))})])


def test_whole_numbers_become_floats_only_where_there_is_a_gap() -> None:
    counts = LayerMetrics(layers=("a",), steps=np.arange(2), values={"nonfinite": np.array([[1], [2]])})
    without = LayerMetrics(layers=("a",), steps=np.array([2]))
    assert join_layer_metrics([counts, counts]).values["nonfinite"].dtype == np.int64
    assert np.array_equal(
        join_layer_metrics([counts, without]).values["nonfinite"], [[1], [2], [np.nan]], equal_nan=True
    )


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.tuples(layer_metrics(), st.permutations(["x", "y", "z", "w"])), min_size=2, max_size=5),
    st.integers(1, 4),
)
def test_joining_some_first_gives_the_same(pieces: list[tuple[LayerMetrics, list[str]]], first: int) -> None:
    named = [
        LayerMetrics(layers=tuple(names[: len(piece.layers)]), steps=piece.steps, values=piece.values)
        for piece, names in pieces
    ]
    some = join_layer_metrics([join_layer_metrics(named[:first]), *named[first:]])
    assert to_bytes(some) == to_bytes(join_layer_metrics(named))
