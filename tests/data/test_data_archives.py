"""Arrays in .npz files, which never run code."""

import os
import pickle
import zipfile

import numpy as np
import pytest

from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.records.errors import UserError

X, Y = np.random.default_rng(0).normal(size=(40, 3)).astype("float32"), np.arange(40) % 2


@pytest.mark.parametrize("keys", [("x", "y"), ("X", "y"), ("data", "target"), ("x_train", "y_train")])
def test_the_usual_names_of_arrays_are_known(keys, tmp_path):
    np.savez(tmp_path / "data.npz", **dict(zip(keys, (X, Y), strict=True)))
    samples = load_data(tmp_path / "data.npz")
    assert np.array_equal(samples.x.numpy(), X)
    assert samples.y.tolist() == Y.tolist()


def test_a_test_set_that_comes_with_the_file_stays_the_test_set(tmp_path):
    np.savez_compressed(tmp_path / "data.npz", x_train=X[:30], y_train=Y[:30], x_test=X[30:], y_test=Y[30:])
    splits = split(load_data(tmp_path / "data.npz"))
    assert np.array_equal(splits.test.x.numpy(), X[30:])
    assert len(splits.train) + len(splits.validation) == 30


def test_unknown_names_are_listed_with_their_shapes(tmp_path):
    np.savez(tmp_path / "data.npz", pictures=X, answers=Y)
    with pytest.raises(UserError, match=r"pictures \(40, 3\), answers \(40,\)"):
        load_data(tmp_path / "data.npz")
    assert len(load_data(tmp_path / "data.npz", target="answers")) == 40
    with pytest.raises(UserError, match="no array is named 'replies'"):
        load_data(tmp_path / "data.npz", target="replies")


class _Bomb:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_object_arrays_are_refused_and_never_unpickled(tmp_path):
    trap = tmp_path / "sprung"
    np.savez(tmp_path / "data.npz", x=np.array([_Bomb(str(trap)), 1], dtype=object), y=np.array([0, 1]))
    with pytest.raises(UserError, match="'x' contains Python objects, which could run code"):
        load_data(tmp_path / "data.npz")
    assert not trap.exists()


def _junk(kind, path):
    if kind == "noise":
        path.write_bytes(os.urandom(500))
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(_Bomb(str(path.parent / "sprung"))))
    elif kind == "zip of text":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x", "no array")
            archive.writestr("y", "no array")
    elif kind == "cut off":
        np.savez(path, x=X, y=Y)
        path.write_bytes(path.read_bytes()[:300])
    elif kind == "damaged":
        np.savez_compressed(path, x=X, y=Y)
        content = bytearray(path.read_bytes())
        content[100:140] = b"\xff" * 40
        path.write_bytes(content)
    elif kind == "npy":
        with path.open("wb") as file:
            np.save(file, X)


def test_a_pickle_is_refused_without_the_advice_to_trust_it(tmp_path):
    _junk("pickle", tmp_path / "data.npz")
    with pytest.raises(UserError, match="this is a pickle, which could run code") as error:
        load_data(tmp_path / "data.npz")
    assert "allow_pickle" not in str(error.value)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("kind", ["noise", "zip of text", "cut off", "damaged", "npy"])
def test_a_file_that_is_no_archive_is_refused(kind, tmp_path):
    path = tmp_path / "data.npz"
    _junk(kind, path)
    with pytest.raises(UserError, match=r"data\.npz"):
        load_data(path)
    assert not (tmp_path / "sprung").exists()
