"""What users get wrong: one clear line on standard error, exit code 2, no traceback, nothing lost."""

import os
import subprocess

import numpy as np
import pytest

from babysit.cli.app import main
from babysit.store.store import Store


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.fixture
def refused(capsys):
    def call(*words):
        with pytest.raises(SystemExit) as caught:
            main(list(words))
        out, err = capsys.readouterr()
        assert caught.value.code == 2, err
        assert out == ""
        assert err.startswith("babysit: ")
        assert err.count("\n") == 1, err
        assert "Traceback" not in err
        assert "bug in babysit" not in err
        return err

    return call


def table(name, rows, header="a,b,y"):
    with open(name, "w", encoding="utf-8") as file:
        file.write("\n".join([header, *rows]) + "\n")


def good_rows(count=60, label=lambda i: i % 2):
    random = np.random.default_rng(0)
    return [f"{random.normal():.4f},{random.normal():.4f},{label(i)}" for i in range(count)]


# Every command that reads data is asked; `check` is the quickest, so it is asked everything.
@pytest.mark.parametrize("command", ["run", "check", "fit", "search"])
def test_a_missing_file_is_named(refused, command):
    assert "nowhere.csv" in refused(command, "nowhere.csv", "--target", "y")


def test_an_empty_file_is_told(refused, folder):
    (folder / "empty.csv").write_text("")
    assert "empty" in refused("check", "empty.csv", "--target", "y")


def test_a_table_of_only_a_header_is_told(refused):
    table("header.csv", [])
    assert "no rows" in refused("check", "header.csv", "--target", "y")


def test_an_unknown_target_is_answered_with_the_columns(refused):
    table("t.csv", good_rows())
    err = refused("check", "t.csv", "--target", "price")
    assert "price" in err
    assert "'a', 'b', 'y'" in err


def test_missing_values_are_counted_by_column(refused):
    rows = good_rows()
    rows[3] = ",1.0,1"
    table("t.csv", rows)
    err = refused("check", "t.csv", "--target", "y")
    assert "1 missing" in err
    assert "'a'" in err


def test_one_class_only_is_nothing_to_learn(refused):
    table("t.csv", good_rows(label=lambda i: "yes"))
    assert "one class" in refused("check", "t.csv", "--target", "y")


def test_images_of_different_sizes_are_named(refused, folder):
    image = pytest.importorskip("PIL.Image")
    for name in ("cat", "dog"):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(6):
            size = (9, 8) if (name, i) == ("dog", 4) else (8, 8)
            image.new("L", size, color=i * 20).save(folder / "pictures" / name / f"{i}.png")
    err = refused("check", "pictures")
    assert "dog/4.png" in err.replace("\\", "/")


def test_arrays_of_objects_are_never_unpickled(refused):
    class Trap:
        def __reduce__(self):
            return os.mkdir, ("trapped",)

    np.savez("objects.npz", x=np.array([[Trap()], [Trap()]], dtype=object), y=np.array([0, 1]))
    assert "objects" in refused("check", "objects.npz")
    assert not os.path.exists("trapped")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("nowhere.at_all:build", "nowhere"),
        ("own_model:missing", "missing"),
        ("own_model:broken", "out of order"),
        ("own_model:wide", "shape"),
        ("own_model:number", "not a model"),
        ("own_model", "package.module:factory"),
    ],
)
def test_a_model_that_cannot_be_used_is_told(refused, folder, model, said):
    (folder / "own_model.py").write_text(
        "from torch import nn\n"
        "def broken(): raise RuntimeError('out of order')\n"
        "def wide(inputs): return nn.Linear(inputs, 13)\n"
        "def number(): return 3\n"
    )
    assert said in refused("check", "digits", "--model", model)


def test_a_file_where_the_runs_should_be_is_told(refused, folder):
    (folder / "taken").write_text("")
    assert "taken" in refused("run", "digits", "--store", "taken/runs")


def test_a_damaged_store_is_told_and_left_as_it_is(refused, folder):
    (folder / "runs").mkdir()
    (folder / "runs" / "babysit.sqlite").write_bytes(b"this is no database " * 100)
    refused("run", "digits", "--store", "runs")
    assert (folder / "runs" / "babysit.sqlite").read_bytes() == b"this is no database " * 100


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_for_the_report_is_told(refused, folder):
    from babysit.testing.synthetic_runs import diverging_run

    with Store("babysit_runs") as store:
        store.save(diverging_run())
    assert "No space left" in refused("report", "latest", "--output", "/dev/full")


def test_a_full_disk_in_the_middle_of_a_run_loses_nothing(capsys, folder):
    """The store goes on in the temporary folder, and is complete again once there is room."""
    (folder / "small").mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder / "small")], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small disk is not permitted here")
    try:
        table("t.csv", good_rows(120))
        with pytest.raises(SystemExit) as caught:
            main(["run", "t.csv", "--target", "y", "--epochs", "2", "--store", str(folder / "small")])
        err = capsys.readouterr().err
        assert caught.value.code == 2
        assert "No space left" in err
        assert "Traceback" not in err
        subprocess.run(["mount", "-o", "remount,size=20m", str(folder / "small")], check=True)
        with Store(str(folder / "small")) as store:
            kept = store.load("latest")
        assert kept.status == "crashed"
        assert kept.config["stage"] in ("searched", "trained")
        assert len(kept.experiments) >= 4
        assert len(kept.trials) >= 24
        with pytest.raises(SystemExit) as caught:
            main(["run", "--resume", kept.id, "--store", str(folder / "small"), "--exit-zero"])
        assert caught.value.code == 0
    finally:
        subprocess.run(["umount", str(folder / "small")], check=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run",), "babysit run digits"),
        (("run", "digits", "--resume"), "that you started here"),
        (("run", "--resume"), "no interrupted run"),
        (("run", "--resume", "2020"), "no run"),
        (("runs", "2020"), "no run"),
        (("report", "2020"), "no run"),
        (("fix",), "no run"),
        (("fix", "--seeds", "2"), "too few to distinguish"),
        (("watch", "nowhere.py"), "nowhere.py"),
        (("watch", "--json", "/proc/nothing/here.json", "t.py"), "cannot be written"),
        (("explain", "dubble-softmax"), "double-softmax"),
        (("rules", "Q9"), "Q9"),
        (("check", "digits", "--select", "no-such-rule"), "no-such-rule"),
        (("check", "digits", "--seed", "-3"), "seed"),
        (("fit", "digits", "--lr", "0"), "learning rate"),
        (("fit", "digits", "--optimizer", "magic"), "magic"),
        (("search", "digits", "lr=1.."), "lr=1.."),
        (("search", "digits", "unheard=1..2"), "unheard"),
        (("check", "digits", "--fail-on", "DOOM"), "DOOM"),
        (("check", "digits", "--store", "mysql+nothing://x"), "mysql"),
    ],
)
def test_a_wrong_word_is_answered_with_what_to_do(refused, words, said):
    assert said in refused(*words)


def test_a_misspelt_setting_is_told_by_every_command_that_judges(refused, folder):
    (folder / "pyproject.toml").write_text("[tool.babysit]\nignroe = ['F9']\n")
    assert "`ignore`" in refused("check", "digits")


def test_a_limit_that_does_not_exist_is_told_before_training(refused, folder):
    (folder / "babysit.toml").write_text("[limits.O201]\nno_such_limit = 3\n")
    assert "no_such_limit" in refused("run", "digits")


def test_labels_in_words_are_encoded_not_refused(capsys):
    table("t.csv", good_rows(90, label=lambda i: ("yes", "no")[i % 2]))
    with pytest.raises(SystemExit) as caught:
        main(["check", "t.csv", "--target", "y", "--exit-zero"])
    assert caught.value.code == 0
    assert "2 classes" in capsys.readouterr().out
