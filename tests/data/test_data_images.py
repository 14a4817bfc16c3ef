"""Folders of images, in order and out of order."""

import sys

import numpy as np
import pytest

from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.records.errors import UserError

image_module = pytest.importorskip("PIL.Image")


def _image(path, *, mode="RGB", size=(6, 5), value=100, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    fill = value if mode in {"L", "I;16", "F", "P"} else (value,) * (4 if mode == "RGBA" else 3)
    image_module.new(mode, size, fill).save(path, **options)


def _zoo(folder, **options):
    for kind, value in (("cat", 10), ("dog", 200)):
        for number in range(3):
            _image(folder / kind / f"{number}.png", value=value + number, **options)
    return folder


def test_each_subfolder_is_a_class_and_pixels_stay_0_to_255(tmp_path):
    samples = load_data(_zoo(tmp_path))
    assert samples.kind == "image"
    assert samples.x.shape == (6, 3, 5, 6)
    assert samples.class_names == ("cat", "dog")
    assert samples.x[:, 0, 0, 0].tolist() == [10, 11, 12, 200, 201, 202]
    assert samples.y.tolist() == [0, 0, 0, 1, 1, 1]


def test_grayscale_images_have_one_channel(tmp_path):
    assert load_data(_zoo(tmp_path, mode="L")).input_shape == (1, 5, 6)


def test_jpeg_files_are_read_too(tmp_path):
    _image(tmp_path / "cat" / "a.jpg", value=50)
    _image(tmp_path / "dog" / "b.JPEG", value=150)
    assert load_data(tmp_path).x.mean(dim=(1, 2, 3)).round().tolist() == [50, 150]


def test_grayscale_among_colour_is_read_as_colour_and_said(tmp_path):
    _zoo(tmp_path)
    _image(tmp_path / "cat" / "gray.png", mode="L", value=7)
    samples = load_data(tmp_path)
    assert samples.x[3].unique().tolist() == [7]
    assert samples.notes == ("1 of 7 images are grayscale: converted to color",)


def test_other_files_are_skipped_and_counted(tmp_path):
    _zoo(tmp_path)
    (tmp_path / "cat" / "notes.txt").write_text("cats")
    (tmp_path / "cat" / ".DS_Store").write_text("")
    assert load_data(tmp_path).skipped == 1


def test_a_class_folder_without_images_is_said(tmp_path):
    _zoo(tmp_path)
    (tmp_path / "eel").mkdir()
    assert load_data(tmp_path).notes == ("no images in the folder eel",)


def test_a_test_folder_stays_the_test_set(tmp_path):
    for part, count in (("train", 10), ("test", 2)):
        for kind, value in (("cat", 10), ("dog", 200)):
            for number in range(count):
                _image(tmp_path / part / kind / f"{number}.png", value=value + number)
    samples = load_data(tmp_path)
    assert samples.class_names == ("cat", "dog")
    splits = split(samples)
    assert splits.test.x[:, 0, 0, 0].tolist() == [10, 11, 200, 201]
    assert len(splits.train) + len(splits.validation) == 20


def test_different_sizes_are_named_with_their_files(tmp_path):
    _zoo(tmp_path)
    _image(tmp_path / "dog" / "big.png", size=(7, 9))
    with pytest.raises(UserError, match=r"2 different sizes: most are 6 x 5, but dog/big.png: 7 x 9.*Resize"):
        load_data(tmp_path)


@pytest.mark.parametrize("damage", ["noise", "cut off", "empty", "text"])
def test_a_corrupt_image_is_named(damage, tmp_path):
    _zoo(tmp_path)
    path = tmp_path / "cat" / "1.png"
    content = path.read_bytes()
    broken = {"noise": b"\x89PNG\r\n\x1a\n" + b"\7" * 50, "cut off": content[:50], "empty": b"", "text": b"a cat"}
    path.write_bytes(broken[damage])
    with pytest.raises(UserError, match=r"cat/1\.png cannot be read"):
        load_data(tmp_path)


def test_sixteen_bit_images_are_refused_rather_than_clipped(tmp_path):
    _zoo(tmp_path, mode="L")
    image_module.fromarray(np.full((5, 6), 40_000, dtype=np.uint16)).save(tmp_path / "cat" / "deep.png")
    with pytest.raises(UserError, match=r"8 bits per channel: cat/deep\.png: I;16"):
        load_data(tmp_path)


@pytest.mark.parametrize("content", ["nothing", "loose", "one class"])
def test_a_folder_without_classes_is_refused_with_the_layout_that_is_meant(content, tmp_path):
    if content == "loose":
        _image(tmp_path / "1.png")
    elif content == "one class":
        _image(tmp_path / "cat" / "1.png")
    with pytest.raises(UserError, match="one class" if content == "one class" else "one folder for each class"):
        load_data(tmp_path)


def test_a_missing_package_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    _zoo(tmp_path)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserError, match=r"pip install 'babysit\[images\]'"):
        load_data(tmp_path)
