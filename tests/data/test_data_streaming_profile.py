"""One pass over data of any size gives what the whole gives, and says what is wrong with it."""

import gzip
import io
import tarfile

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from babysit.data.duplicate_sketch import DuplicateSketch
from babysit.data.hashing import keys
from babysit.data.moments import cross_products, merged, merged_cross_products, moments, moments_and_cross_products
from babysit.data.open_stream import open_stream
from babysit.data.profile import profile
from babysit.data.reservoir import Reservoir
from babysit.data.sources import load_data
from babysit.data.splits import Splits, split
from babysit.data.stream import Batch, Stream
from babysit.data.streaming_profile import streaming_profile
from babysit.records.errors import UserError

TABLES = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 60), st.integers(1, 5)),
    elements=st.one_of(st.floats(-1e4, 1e4, width=32, allow_subnormal=False), st.just(float("nan"))),
)
SIZES = st.lists(st.integers(1, 20), min_size=1, max_size=6)


def _cut(sizes, *parts):
    start = number = 0
    while start < len(parts[0]):
        stop = start + sizes[number % len(sizes)]
        yield tuple(part[start:stop] for part in parts)
        start, number = stop, number + 1


def _stream(x, y, sizes=(7,), split="train"):
    return Stream(source="test", open=lambda: (Batch(a, b, split) for a, b in _cut(sizes, x, y)))


@given(TABLES, SIZES)
def test_any_cutting_gives_the_moments_of_numpy_in_float64_without_what_is_missing(x, sizes):
    found = None
    for (piece,) in _cut(sizes, x):
        found = merged(found, moments(piece))
    wide = np.where(np.isfinite(x), x, np.nan).astype(np.float64)
    for place in range(x.shape[1]):
        column = wide[:, place][~np.isnan(wide[:, place])]
        assert found.count[place] == len(column)
        assert found.missing[place] == len(x) - len(column)
        if len(column):
            scale = np.abs(column).max() + 1e-30
            np.testing.assert_allclose(found.mean[place], column.mean(), rtol=1e-6, atol=1e-12 * scale)
            np.testing.assert_allclose(found.std[place], column.std(), rtol=1e-6, atol=1e-9 * scale)
            assert (found.low[place], found.high[place]) == (column.min(), column.max())


@given(TABLES, SIZES)
def test_any_cutting_gives_the_covariance_of_the_complete_samples(x, sizes):
    found = None
    for (piece,) in _cut(sizes, x):
        found = merged_cross_products(found, cross_products(piece))
        alone, (found_moments, together) = moments(piece), moments_and_cross_products(piece)
        np.testing.assert_allclose(found_moments.squares, alone.squares, rtol=1e-9)
        np.testing.assert_array_equal(found_moments.mean, alone.mean)
        np.testing.assert_array_equal(together.products, cross_products(piece).products)
    whole = x[np.isfinite(x).all(axis=1)].astype(np.float64)
    assert found.count == len(whole)
    if len(whole):
        expected = np.atleast_2d(np.cov(whole.T, bias=True)) * len(whole)
        np.testing.assert_allclose(found.products, expected, rtol=1e-6, atol=1e-6 * (np.abs(expected).max() + 1e-9))


@settings(max_examples=30, deadline=None)
@given(SIZES, st.integers(0, 5))
def test_the_whole_profile_is_the_same_however_the_stream_is_cut(sizes, seed):
    generator = np.random.default_rng(seed)
    x = generator.integers(0, 3, (80, 4)).astype("float32")
    y = generator.integers(0, 3, 80)
    one, other = streaming_profile(_stream(x, y, [80])), streaming_profile(_stream(x, y, sizes))
    assert one.fingerprint == other.fingerprint
    for name in ("samples", "class_counts", "duplicates", "constant_features", "low", "high"):
        assert getattr(one.splits[0], name) == getattr(other.splits[0], name)
    np.testing.assert_allclose(other.splits[0].feature_mean, one.splits[0].feature_mean, rtol=1e-6)
    np.testing.assert_allclose(other.splits[0].feature_std, one.splits[0].feature_std, rtol=1e-6)
    np.testing.assert_allclose(other.explained, one.explained, rtol=1e-6)


def test_a_stream_and_the_samples_in_memory_are_described_alike(tmp_path):
    x = np.random.default_rng(0).normal(size=(300, 3))
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{'rgb'[n % 3]},{'yes' if a > 0 else 'no'}" for n, (a, b, c) in enumerate(x)]
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c,colour,label\n" + "\n".join(lines) + "\n")
    samples = load_data(path)
    memory = profile(Splits(train=samples, validation=samples.take([]), test=samples.take([])))
    stream = streaming_profile(open_stream(path))
    assert stream.fingerprint == memory.fingerprint
    assert stream.class_names == memory.class_names == ("no", "yes")
    assert stream.feature_names == memory.feature_names == ("a", "b", "c", "colour=b", "colour=g", "colour=r")
    np.testing.assert_allclose(stream.splits[0].feature_mean, memory.splits[0].feature_mean, rtol=1e-12)


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".npz"])
def test_every_kind_of_file_streams_to_the_same_numbers(ending, tmp_path):
    x = np.random.default_rng(0).normal(size=(5000, 3)).astype("float32")
    y = (x[:, 0] > 0).astype(int)
    path = tmp_path / f"data{ending}"
    if ending == ".npz":
        np.savez_compressed(path, x=x, y=y)
    else:
        arrow, csv = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.csv")
        table = arrow.table({"a": x[:, 0], "b": x[:, 1], "c": x[:, 2], "y": y})
        if ending == ".csv":
            csv.write_csv(table, path)
        else:
            pytest.importorskip("pyarrow.parquet").write_table(table, path, row_group_size=700)
    found = streaming_profile(open_stream(path)).splits[0]
    np.testing.assert_allclose(found.feature_mean, x.astype(np.float64).mean(0), rtol=1e-9)
    assert found.class_counts == tuple(np.bincount(y))
    assert streaming_profile(open_stream(path)).fingerprint == streaming_profile(open_stream((x, y))).fingerprint


def test_loaders_datasets_and_splits_are_surveyed_without_touching_the_random_state():
    x, y = torch.randn(100, 3), torch.randint(0, 2, (100,))
    dataset = torch.utils.data.TensorDataset(x, y)
    shuffled = torch.utils.data.DataLoader(dataset, batch_size=9, shuffle=True)
    state = torch.get_rng_state()
    marks = {
        streaming_profile(open_stream(source)).fingerprint for source in (dataset, shuffled, (x, y), iter([(x, y)]))
    }
    assert len(marks) == 1
    assert torch.equal(torch.get_rng_state(), state)
    samples = load_data((x, y))
    assert streaming_profile(open_stream(split(samples))).fingerprint in marks


def test_missing_constant_and_equal_features_are_counted_by_column():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 5))
    x[:, 1], x[:, 3] = 4.0, x[:, 0]
    x[5:9, 2] = np.nan
    x[7, 4] = np.inf
    found = streaming_profile(_stream(x, generator.integers(0, 2, 200)))
    train = found.splits[0]
    assert train.feature_nonfinite.tolist() == [0, 0, 4, 0, 1]
    assert train.nonfinite == 5
    assert train.constant_features == 1
    assert found.duplicate_features == (("0", "3"),)


def test_principal_directions_of_correlated_features_explain_more():
    x = np.random.default_rng(0).normal(size=(1000, 2)) @ np.random.default_rng(1).normal(size=(2, 6))
    found = streaming_profile(_stream(x, np.arange(1000) % 2))
    expected = np.linalg.eigvalsh(np.corrcoef(x.astype("float32").T))[::-1] / 6
    np.testing.assert_allclose(found.explained, expected, atol=1e-6)
    assert found.explained[:2].sum() == pytest.approx(1, abs=1e-6)


def test_samples_that_leak_from_training_and_duplicates_are_counted():
    x = np.arange(20.0)[:, None]
    y = np.arange(20) % 2
    parts = {"train": (x[[0, 1, 2, 2, 2, 3]], y[[0, 1, 2, 2, 2, 3]]), "test": (x[[4, 4, 1, 3]], y[[4, 4, 1, 3]])}
    found = streaming_profile(open_stream(parts))
    assert [part.duplicates for part in found.splits] == [2, 1]
    assert [part.leaked for part in found.splits] == [0, 2]
    assert found.shared == 2


@pytest.mark.parametrize("capacity", [64, 1024, 10**6])
def test_counts_stay_right_on_average_when_memory_does_not_suffice(capacity):
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**63, 40_000, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    hashes = np.concatenate((hashes, hashes[:20_000])) ^ generator.integers(0, 2**62, 1, dtype=np.uint64)
    hashes = hashes ^ (hashes >> np.uint64(31))
    train, test = DuplicateSketch(capacity), DuplicateSketch(capacity)
    for piece in np.array_split(hashes, 50):
        train.add(piece)
    for piece in np.array_split(np.concatenate((hashes[:10_000], generator.integers(0, 2**63, 10_000, np.uint64))), 7):
        test.add(piece)
    found, other = train.counted(), test.counted()
    exact = capacity > 40_000
    assert found.exact is exact
    tolerance = 0 if exact else 5 / np.sqrt(capacity)
    assert found.duplicates == pytest.approx(20_000, rel=tolerance)
    assert other.found_in(found) == pytest.approx(10_000, rel=tolerance)
    assert len(found.hashes) <= max(capacity, 40_000 if exact else 0)


@given(SIZES)
def test_the_rows_that_are_drawn_do_not_depend_on_the_cutting(sizes):
    rows = np.arange(300, dtype=np.float32)[:, None]
    whole, cut = Reservoir(20), Reservoir(20)
    whole.add(rows, keys(0, 300))
    for piece, places in _cut(sizes, rows, keys(0, 300)):
        cut.add(piece, places)
    assert sorted(whole.rows()[:, 0]) == sorted(cut.rows()[:, 0])
    assert len(set(cut.rows()[:, 0])) == 20


def test_rows_are_drawn_from_everywhere():
    drawn = Reservoir(500)
    for place in range(100):
        drawn.add(np.full((100, 1), place, dtype=np.float32), keys(100 * place, 100))
    assert drawn.rows().mean() == pytest.approx(49.5, abs=6)


def test_a_feature_that_moved_and_classes_that_shifted_are_named():
    generator = np.random.default_rng(0)
    x, other = generator.normal(size=(2000, 3)), generator.normal(size=(1000, 3))
    other[:, 1] += 0.7
    y, other_y = np.arange(2000) % 2, (np.arange(1000) % 5 == 0).astype(int)
    found = streaming_profile(open_stream({"train": (x, y), "validation": (other, other_y)}))
    drift = {one.feature: one for one in found.drift}
    assert set(drift) == {"1", "target"}
    assert drift["1"].distance == pytest.approx(0.27, abs=0.05)  # 2 Phi(0.35) - 1
    assert drift["target"].distance == pytest.approx(0.3, abs=0.01)


def test_splits_of_one_distribution_show_no_drift():
    for seed in range(20):
        generator = np.random.default_rng(seed)
        parts = {
            name: (generator.exponential(size=(rows, 10)), generator.integers(0, 10, rows))
            for name, rows in (("train", 1500), ("validation", 300), ("test", 40))
        }
        assert streaming_profile(open_stream(parts)).drift == ()


def test_a_regression_target_has_moments_and_missing_ones_are_counted():
    y = np.random.default_rng(0).normal(5, 2, 400)
    y[3] = np.nan
    train = streaming_profile(_stream(np.arange(400.0)[:, None], y)).splits[0]
    assert train.target_mean == pytest.approx(np.nanmean(y))
    assert train.target_variance == pytest.approx(np.nanvar(y))
    assert train.unlabelled == 1
    assert train.class_counts == ()


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"train": (np.zeros((3, 2)), [0, 1, 0]), "test": (np.zeros((3, 4)), [0, 1, 0])}, "different shapes"),
        ({"train": [np.zeros((3, 2)), np.zeros((3, 2)), np.zeros((3, 5))]}, "different shapes"),
        ({"train": []}, "no samples"),
        ({"training": (np.zeros((3, 2)), [0, 1, 0])}, "invalid splits: training"),
        ({"train": [("a", "b")]}, "a batch must be a pair"),
    ],
)
def test_what_cannot_be_surveyed_is_refused_in_words(parts, words):
    with pytest.raises(UserError, match=words):
        streaming_profile(open_stream(parts))


def test_a_damaged_archive_of_arrays_is_told(tmp_path):
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.random.default_rng(0).normal(size=(3000, 20)), y=np.arange(3000) % 2)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"readable"):
        streaming_profile(open_stream(path))


def test_an_archive_that_is_cut_off_is_told(tmp_path):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("cat/1.png")
        member.size = 5000
        archive.addfile(member, io.BytesIO(np.random.default_rng(0).bytes(5000)))
    path = tmp_path / "cut.tar.gz"
    path.write_bytes(gzip.compress(buffer.getvalue())[:3000])
    with pytest.raises(UserError, match="cannot be read to its end"):
        streaming_profile(open_stream(path))


def test_rows_that_differ_in_one_small_whole_number_have_different_hashes():
    rows = np.stack(np.meshgrid(*[np.arange(9.0)] * 5), -1).reshape(-1, 5)
    found = streaming_profile(_stream(rows, np.arange(len(rows)) % 2, [10_000]))
    assert found.splits[0].duplicates == 0
