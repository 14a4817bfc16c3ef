"""What cannot be used: named and refused, or left out and counted with skip_invalid."""

import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from babysit.data.open_stream import open_stream
from babysit.data.sources import load_data
from babysit.data.streaming_profile import streaming_profile
from babysit.records.errors import UserError

image_module = pytest.importorskip("PIL.Image")
pytest.importorskip("pyarrow")


def _png(size=(6, 5), value=100, mode="RGB"):
    buffer = io.BytesIO()
    fill = value if mode in {"L", "I;16"} else (value,) * len(mode)
    image_module.new(mode, size, fill).save(buffer, "png")
    return buffer.getvalue()


def _contents(per_class=4):
    return {
        f"{part}/{kind}/{number}.png": _png(value=value + number)
        for part in ("train", "test")
        for kind, value in (("chat", 10), ("été", 200))
        for number in range(per_class if part == "train" else 1)
    }


def _folder(root, contents):
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    return root


def _archive(path, contents):
    with tarfile.open(path, "w:" + ("xz" if path.suffix == ".xz" else "")) as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


BAD = {
    "cut off": (_png()[:40], r"chat/bad\.png cannot be read", "1 image that cannot be read"),
    "another size": (_png((9, 9)), r"different sizes: most are 6 x 5, but chat/bad\.png: 9 x 9", "another size"),
    "sixteen bits": (_png(value=40_000, mode="I;16"), r"8 bits per channel: chat/bad\.png", "without 8 bits"),
}


@pytest.mark.parametrize("damage", BAD)
@pytest.mark.parametrize("kind", ["folder", "archive"])
def test_a_bad_image_is_named_or_left_out_and_counted(damage, kind, tmp_path):
    content, refusal, reason = BAD[damage]
    contents = {**_contents(), "train/chat/bad.png": content}
    source = _folder(tmp_path, contents) if kind == "folder" else _archive(tmp_path / "zoo.tar.xz", contents)
    for read in (load_data, lambda path: streaming_profile(open_stream(path))):
        with pytest.raises(UserError, match=refusal):
            read(source)
    samples = load_data(source, skip_invalid=True)
    found = streaming_profile(open_stream(source, skip_invalid=True))
    assert samples.skipped == found.skipped == 1
    assert len(samples) == 10
    assert [part.samples for part in found.splits] == [8, 2]
    for notes in (samples.notes, found.notes):
        assert any(reason in note for note in notes)
        assert "left out are chat/bad.png" in notes


def test_an_archive_is_read_like_the_folder_it_was_made_of(tmp_path):
    contents = {**_contents(), "train/chat/._1.png": b"junk", "train/chat/notes.txt": b"cats"}
    folder, archive = _folder(tmp_path / "zoo", contents), _archive(tmp_path / "zoo.tar", contents)
    one, other = load_data(folder), load_data(archive)
    assert one.class_names == other.class_names == ("chat", "été")
    assert one.given_test == other.given_test == 2
    assert one.skipped == other.skipped == 1
    assert bool((one.x == other.x).all())
    assert one.y.tolist() == other.y.tolist()
    assert streaming_profile(open_stream(folder)).fingerprint == streaming_profile(open_stream(archive)).fingerprint


def test_class_names_written_in_two_unicode_forms_are_one_class(tmp_path):
    contents = {"train/\u00e9t\u00e9/1.png": _png(), "train/a/1.png": _png(), "test/e\u0301te\u0301/1.png": _png()}
    assert load_data(_archive(tmp_path / "zoo.tar", contents)).class_names == ("a", "été")


def test_colour_among_grayscale_is_named_in_a_stream(tmp_path):
    contents = {f"{kind}/{n}.png": _png(mode="L") for kind in "ab" for n in range(200)} | {"c/1.png": _png()}
    path = _archive(tmp_path / "zoo.tar", contents)
    with pytest.raises(UserError, match=r"in color after grayscale ones: c/1\.png"):
        streaming_profile(open_stream(path))
    assert streaming_profile(open_stream(path, skip_invalid=True)).skipped == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_processes_give_the_same_as_none(workers, tmp_path):
    path = _archive(tmp_path / "zoo.tar", _contents(per_class=300))
    one, other = streaming_profile(open_stream(path, workers=0)), streaming_profile(open_stream(path, workers=workers))
    assert one.fingerprint == other.fingerprint
    np.testing.assert_allclose(other.splits[0].feature_mean, one.splits[0].feature_mean, rtol=1e-12)


def test_an_archive_without_classes_is_refused_with_the_layout_that_is_meant(tmp_path):
    with pytest.raises(UserError, match=r"one folder for each class: zoo/cat/1\.png"):
        load_data(_archive(tmp_path / "zoo.tar", {"1.png": _png()}))


ROWS = "a,b,colour,label\n" + "".join(f"{n % 7},{n / 3:.2f},{'rg'[n % 2]},{'xy'[n % 2]}\n" for n in range(40))


@pytest.mark.parametrize(
    ("row", "refusal", "reason"),
    [
        ("1,,r,x", None, "missing"),
        ("nan,1,r,x", None, "missing"),
        ("1,2,,x", None, "missing"),
        ("1,2,r,", None, "missing"),
        ("1,2,r", "not a readable table", "few values"),
        ("1,2,r,x,9", "not a readable table", "few values"),
    ],
)
def test_a_bad_row_is_described_or_refused_and_left_out_with_skip_invalid(row, refusal, reason, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(ROWS + row + "\n")
    if refusal is None:
        train = streaming_profile(open_stream(path)).splits[0]
        assert train.nonfinite + train.unlabelled > 0
    else:
        with pytest.raises(UserError, match=refusal):
            streaming_profile(open_stream(path))
    with pytest.raises(UserError):
        load_data(path)
    found, samples = streaming_profile(open_stream(path, skip_invalid=True)), load_data(path, skip_invalid=True)
    assert found.splits[0].samples == len(samples) == 40
    assert found.skipped == samples.skipped == 1
    assert any(reason in note for note in found.notes)
    assert found.splits[0].nonfinite == 0


def test_text_far_down_in_a_column_of_numbers_is_named_or_left_out(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n" + "1,2.5,0\n2,3.5,1\n" * 400_000 + "three,4,1\n")
    with pytest.raises(UserError, match="in the column 'a'"):
        streaming_profile(open_stream(path))


def test_text_in_a_column_of_numbers_is_left_out_with_skip_invalid(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n" + "1,2.5,0\n 2 ,-3.5e2,1\n" * 300_000 + "three,4,1\n")
    found = streaming_profile(open_stream(path, skip_invalid=True))
    assert found.splits[0].samples == 600_000
    assert found.notes[-1] == "left out: 1 row with text in a numeric column"
    np.testing.assert_allclose(found.splits[0].feature_mean, [1.5, (2.5 - 350) / 2])


def _typed_wrong(path, kind):
    """Two columns of numbers, a word in the first row but one of one of them."""
    texts = ["1.5", "n.a.?", *(f"{n}.25" for n in range(60))]
    if kind == ".csv":
        path.write_text("a,b,y\n" + "".join(f"{text},{n},{n % 2}\n" for n, text in enumerate(texts)))
    else:
        arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        count = len(texts)
        parquet.write_table(arrow.table({"a": texts, "b": range(count), "y": [n % 2 for n in range(count)]}), path)


@pytest.mark.parametrize("kind", [".csv", ".parquet"])
def test_a_word_in_a_column_of_numbers_is_shown_or_its_row_is_left_out(kind, tmp_path):
    path = tmp_path / f"rows{kind}"
    _typed_wrong(path, kind)
    for read in (load_data, lambda path: streaming_profile(open_stream(path))):
        with pytest.raises(UserError, match=r"column 'a' contains numbers, but also 'n\.a\.\?'.*--skip-invalid"):
            read(path)
    samples, found = load_data(path, skip_invalid=True), streaming_profile(open_stream(path, skip_invalid=True))
    assert len(samples) == found.splits[0].samples == 61
    assert samples.skipped == found.skipped == 1
    assert samples.feature_names == found.feature_names == ("a", "b")
    np.testing.assert_allclose(found.splits[0].feature_mean, samples.x.double().mean(0))


def test_a_target_that_is_not_in_utf_8_is_refused(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(("a,y\n" + "1,oui\n2,é\n" * 9).encode("latin-1"))
    for read in (load_data, lambda path: streaming_profile(open_stream(path))):
        with pytest.raises(UserError, match="UTF-8"):
            read(path)


def test_a_table_without_a_target_is_described_and_long_text_is_left_out(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,name\n" + "".join(f"{n},person {n}\n" for n in range(50)))
    found = streaming_profile(open_stream(path))
    assert found.feature_names == ("a",)
    assert found.class_names == ()
    assert found.notes == (
        "no target given: only the features are described",
        "left out, text with more than 20 distinct values: name",
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,y\n", "no rows"),
        ("", "empty"),
        ("a,a,y\n1,2,0\n", "same name"),
        ("name,label\n" + "".join(f"p{n},x\n" for n in range(30)), "no usable features"),
    ],
)
def test_a_table_that_cannot_be_described_is_refused(text, words, tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        streaming_profile(open_stream(path))


def test_splits_with_different_columns_are_told_by_name(tmp_path):
    (tmp_path / "train.csv").write_text("a,b,y\n1,2,0\n2,3,1\n")
    (tmp_path / "test.csv").write_text("a,c,y\n1,2,0\n2,3,1\n")
    with pytest.raises(UserError, match="do not have the same features: b, c"):
        open_stream({"train": tmp_path / "train.csv", "test": tmp_path / "test.csv"})


def test_missing_values_in_arrays_are_left_out_with_the_test_set_counted_right(tmp_path):
    x, y = np.arange(30.0)[:, None] * np.ones(3), np.arange(30) % 2
    x[3, 1], x[25, 0] = np.nan, np.inf
    np.savez(tmp_path / "data.npz", x_train=x[:20], y_train=y[:20], x_test=x[20:], y_test=y[20:])
    samples = load_data(tmp_path / "data.npz", skip_invalid=True)
    assert (len(samples), samples.given_test, samples.skipped) == (28, 9, 2)
    assert samples.notes[-1] == "left out: 2 samples with missing values"
    found = streaming_profile(open_stream(tmp_path / "data.npz", skip_invalid=True))
    assert [part.samples for part in found.splits] == [19, 9]
    with pytest.raises(UserError, match="all 2 samples have missing"):
        load_data((np.full((2, 2), np.nan), [0, 1]), skip_invalid=True)


def _cifar():
    root = Path(os.environ.get("BABYSIT_SHARED", Path(__file__).parents[3] / "shared"))
    return root / "data" / "cifar10-jpeg.tar.xz"


@pytest.mark.slow
@pytest.mark.skipif(not _cifar().exists(), reason="the images are not here")
def test_sixty_thousand_images_in_an_archive_are_surveyed():
    found = streaming_profile(open_stream(_cifar()))
    assert [part.samples for part in found.splits] == [50_000, 10_000]
    assert found.splits[0].class_counts == (5000,) * 10
    # CIFAR-10's channel means, as everybody who normalizes it writes them: 0.4914, 0.4822, 0.4465.
    np.testing.assert_allclose(found.splits[0].feature_mean / 255, [0.4914, 0.4822, 0.4465], atol=2e-3)
    assert found.drift == ()
