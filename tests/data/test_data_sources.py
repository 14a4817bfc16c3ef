"""Reading data from a name, arrays, or a path that may be anything."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from babysit.data.sources import load_data
from babysit.records.errors import UserError
from babysit.records.model_summary import Task


def test_the_digits_are_a_table_of_64_features_with_10_classes():
    samples = load_data("digits")
    assert samples.x.shape == (1797, 64)
    assert samples.x.dtype == torch.float32
    assert (samples.x.min().item(), samples.x.max().item()) == (0, 16)
    assert samples.y.dtype == torch.int64
    assert (samples.kind, samples.task, samples.outputs) == ("table", Task.CLASSES, 10)
    assert samples.class_names == tuple("0123456789")
    assert len(samples.feature_names) == 64


def test_arrays_and_tensors_give_the_same_samples():
    x, y = np.arange(12.0).reshape(6, 2), np.array([0, 1, 0, 1, 0, 1])
    left, right = load_data((x, y)), load_data((torch.from_numpy(x), torch.from_numpy(y)))
    assert torch.equal(left.x, right.x)
    assert torch.equal(left.y, right.y)


def test_the_samples_do_not_share_memory_with_the_arrays_they_came_from():
    x = np.zeros((4, 2), dtype="float32")
    samples = load_data((x, [0, 1, 0, 1]))
    x[:] = 7
    assert samples.x.max() == 0


@pytest.mark.parametrize(
    ("shape", "expected"), [((8, 5, 6), (1, 5, 6)), ((8, 3, 5, 6), (3, 5, 6)), ((8, 5, 6, 3), (3, 5, 6))]
)
def test_image_arrays_get_their_channels_on_the_second_axis(shape, expected):
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    samples = load_data((x, [0, 1] * 4))
    assert samples.kind == "image"
    assert samples.input_shape == expected
    assert samples.x.sum() == x.sum()  # raw pixels, 0 to 255


def test_pixels_keep_their_place_when_channels_come_last():
    x = np.random.default_rng(0).integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    samples = load_data((x, [0, 1, 0, 1]))
    assert samples.x[2, 1, 3, 4] == x[2, 3, 4, 1]


def test_taking_samples_keeps_what_they_mean():
    taken = load_data("digits").take([5, 3])
    assert taken.y.tolist() == [5, 3]
    assert taken.outputs == 10


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (np.zeros((3, 2)), [0, 1], "one row per sample"),
        (np.zeros((0, 2)), [], "no samples"),
        (np.zeros(4), [0, 1, 0, 1], "x[:, None]"),
        (np.zeros((4, 0)), [0, 1, 0, 1], "shape (4, 0)"),
        (np.zeros((4, 2, 2, 2, 2)), [0, 1, 0, 1], "images"),
        ([[1, 2], [3]], [0, 1], "regular"),
        (np.array([["a", "b"], ["c", "d"]]), [0, 1], "not real numbers"),
        (np.zeros((2, 2), dtype=complex), [0, 1], "not real numbers"),
        (np.array([[1, None], [2, 3]], dtype=object), [0, 1], "Python objects"),
    ],
)
def test_arrays_that_cannot_be_trained_on_are_refused_in_words(x, y, words):
    with pytest.raises(UserError) as error:
        load_data((x, y))
    assert words in str(error.value)


def test_a_nan_feature_is_named_with_its_column_and_count():
    x = np.zeros((5, 3))
    x[1, 2] = x[3, 2] = np.nan
    with pytest.raises(UserError, match=r"2 missing \(NaN\) values, in 2 of 5 samples \(column 2: 2 of arrays\)"):
        load_data((x, [0, 1, 0, 1, 0]))


def test_infinite_values_and_those_beyond_float32_are_refused():
    x = np.zeros((4, 2))
    x[0, 0], x[1, 1] = np.inf, 1e300
    with pytest.raises(UserError, match=r"2 infinite or larger than 3\.4e38"):
        load_data((x, [0, 1, 0, 1]))


def test_a_source_of_another_kind_is_refused_with_what_can_be_read():
    with pytest.raises(UserError, match=r"from a int.*torch Dataset"):
        load_data(3)


def test_an_unknown_task_is_refused():
    with pytest.raises(UserError, match="classes, regression, multilabel"):
        load_data("digits", task="poetry")


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(UserError, match="Did you mean 'digits'"):
        load_data("digit")


def test_a_missing_file_is_answered_with_a_neighbour(tmp_path):
    (tmp_path / "flowers.csv").write_text("a,target\n1,x\n")
    with pytest.raises(UserError, match=r"Did you mean 'flowers.csv'"):
        load_data(tmp_path / "flower.csv")


def _special(kind: str, folder: Path) -> Path:
    path = folder / f"data{'.csv' if kind != 'suffix' else '.xlsx'}"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.touch()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "suffix":
        path.write_bytes(b"PK\3\4")
    elif kind == "pickle":
        path = folder / "data.pkl"
        path.write_bytes(b"\x80\x04.")
    elif kind == "null":
        path = Path("a\0b.csv")
    elif kind == "long":
        path = folder / ("x" * 5000 + ".csv")
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("folder", "this is a folder, not a .csv file"),
        ("empty", "this file is empty"),
        ("pipe", "neither a file nor a folder"),
        ("loop", ""),
        ("suffix", "'.xlsx' are not supported"),
        ("pickle", "could run code"),
        ("null", "no such file"),
        ("long", "cannot be read"),
    ],
)
def test_a_hostile_path_is_one_clear_line(kind, words, tmp_path):
    with pytest.raises(UserError) as error:
        load_data(_special(kind, tmp_path))
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 600


def test_a_file_without_permission_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "data.csv"
    path.write_text("a,y\n1,2\n")

    def refuse(*_args, **_keywords):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(UserError, match="Permission denied"):
        load_data(path)


@pytest.mark.parametrize("source", ["digits", (np.zeros((2, 1)), [0, 1])])
def test_a_target_column_for_what_has_none_is_refused(source):
    with pytest.raises(UserError, match=r"requires a table or \.npz file"):
        load_data(source, target="label")


@pytest.mark.slow
def test_optional_packages_are_imported_only_when_they_are_used():
    code = (
        "import sys, babysit.data.sources as s; s.load_data(([[0.0], [1.0]] * 9, [0, 1] * 9));"
        "print([m for m in ('pyarrow', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
