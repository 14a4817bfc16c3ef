from __future__ import annotations

import argparse
import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples" / "lecture"
SHARED = Path(os.environ.get("BABYSIT_SHARED", ROOT.parent / "shared"))
sys.path.insert(0, str(FOLDER))

import lecture  # noqa: E402  it lies beside the programs, as for a reader who runs them
from pictures import pictures  # noqa: E402

SECTIONS = ("*The lecture:*", "![", "| --- |")


@pytest.mark.slow
@pytest.mark.parametrize("name", lecture.EXPERIMENTS)
def test_an_experiment_runs_and_leaves_figure_table_and_words(name: str, tmp_path: Path) -> None:
    options = argparse.Namespace(data=None, quick=True, out=tmp_path)
    threads = torch.get_num_threads()
    try:
        text = lecture.carry_out(lecture.experiment_named(name), name, options)
    finally:
        torch.set_num_threads(threads)
    figure = (tmp_path / f"{name}.png").read_bytes()
    assert figure.startswith(b"\x89PNG")
    assert 5_000 < len(figure) <= lecture.MOST_BYTES
    assert all(section in text for section in SECTIONS)
    assert (tmp_path / f"{name}.md").read_text(encoding="utf-8") == text
    assert "babysit about" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) >= 4  # the names, the line below them, and two cases to compare


def test_every_program_in_the_folder_is_on_the_page() -> None:
    programs = {path.stem for path in FOLDER.glob("*.py") if "def experiment(" in path.read_text(encoding="utf-8")}
    assert programs == set(lecture.EXPERIMENTS)


def test_the_page_in_the_documents_shows_every_experiment() -> None:
    page = (ROOT / "docs" / "lecture.md").read_text(encoding="utf-8")
    for name in lecture.EXPERIMENTS:
        assert f"(lecture/{name}.png)" in page
        assert (ROOT / "docs" / "lecture" / f"{name}.png").stat().st_size <= lecture.MOST_BYTES
    assert page.count("babysit about") >= len(lecture.EXPERIMENTS)


def test_data_that_are_not_there_are_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, str(FOLDER / "zigzag.py"), "--data", "/nowhere/at/all"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("there is no /nowhere/at/all")
    assert "Traceback" not in done.stderr


def test_digits_are_split_and_keep_their_pixels() -> None:
    data = pictures(None, train=300, validation=100)
    assert data.x.shape == (300, 1, 8, 8)
    assert len(data.x_validation) == 100
    assert data.x.max() == 16.0
    flat = data.flat()
    assert torch.allclose(flat.x.mean(0), torch.zeros(64), atol=1e-5)
    assert float(flat.x.square().mean()) == pytest.approx(1.0, rel=1e-4)


def test_the_binary_format_of_cifar_is_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 256, size=(30, 3073), dtype=np.uint8)
    rows[:, 0] = np.arange(30) % 10
    rows[:20].tofile(tmp_path / "data_batch_1.bin")
    rows[20:].tofile(tmp_path / "test_batch.bin")
    data = pictures(tmp_path, train=15, validation=5)
    assert data.y.tolist() == [i % 10 for i in range(15)]
    assert np.array_equal(data.x[3].numpy(), rows[3, 1:].reshape(3, 32, 32).astype("float32"))
    assert len(data.x_validation) == 5


def test_a_tar_of_images_is_read_without_unpacking_it(tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "pictures.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for split, count in (("train", 6), ("test", 3)):
            for label in ("cat", "dög"):
                for number in range(count):
                    buffer = io.BytesIO()
                    Image.new("RGB", (4, 4), (number, 10, 200)).save(buffer, "PNG")
                    member = tarfile.TarInfo(f"{split}/{label}/{number}.png")
                    member.size = buffer.tell()
                    buffer.seek(0)
                    archive.addfile(member, buffer)
    data = pictures(path, train=40, validation=20)  # four and two of each class
    assert data.x.shape == (8, 3, 4, 4)
    assert sorted(data.y.tolist()) == [0] * 4 + [1] * 4
    assert data.x_validation.shape == (4, 3, 4, 4)
    assert data.x[:, 2].unique().tolist() == [200.0]


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "data/cifar10-jpeg.tar.xz").exists(), reason="no copy of CIFAR-10 here")
def test_cifar_is_read_from_its_tar() -> None:
    data = pictures(SHARED / "data/cifar10-jpeg.tar.xz", train=100, validation=50)
    assert data.x.shape == (100, 3, 32, 32)
    assert data.y.bincount().tolist() == [10] * 10
    assert data.y_validation.bincount().tolist() == [5] * 10
