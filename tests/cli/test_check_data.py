"""`babysit check --data-only`: what data are, whatever their size and their faults."""

import json

import numpy as np
import pytest

from babysit.cli.app import main

pytest.importorskip("pyarrow")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(0)
    for name, rows, shift in (("train", 400, 0.0), ("test", 200, 3.0)):
        lines = [
            f"{a + shift:.2f},{'' if n % 40 == 0 else round(b, 2)},{a + shift:.2f},{'xy'[n % 2]}"
            for n, (a, b) in enumerate(generator.normal(size=(rows, 2)))
        ]
        (tmp_path / f"{name}.csv").write_text("age,height,twin,label\n" + "\n".join(lines) + "\n")


def _run(capsys, *words):
    with pytest.raises(SystemExit) as end:
        main(["check", *words])
    said = capsys.readouterr()
    return end.value.code, said.out, said.err


def test_faults_are_named_with_their_columns_and_make_the_exit_code_1(capsys):
    code, out, _ = _run(capsys, "train.csv", "--data-only", "--test", "test.csv")
    assert code == 1
    for words in (
        "missing or infinite values in height 10",
        "always equal: age, twin",
        "test: age: distribution differs from training",
        "D103",
    ):
        assert words in out


def test_bad_rows_are_left_out_and_counted(capsys):
    code, out, _ = _run(capsys, "train.csv", "--data-only", "--skip-invalid")
    assert code == 0
    assert "left out: 10 samples with missing values" in out
    assert "390" in out


def test_json_holds_the_whole_profile(capsys):
    _, out, _ = _run(capsys, "train.csv", "--data-only", "--json")
    data = json.loads(out)["data"]
    assert data["duplicate_features"] == [["age", "twin"]]
    assert data["splits"][0]["feature_nonfinite"] == [0, 10, 0]


def test_data_that_cannot_be_trained_on_are_refused_in_one_line_and_described_on_request(capsys):
    code, out, err = _run(capsys, "train.csv")
    assert (code, out) == (2, "")
    assert err.startswith("babysit: the features contain 10 missing (NaN) values")
    assert err.count("\n") == 1
    code, out, _ = _run(capsys, "train.csv", "--data-only")
    assert "height 10" in out


def test_options_for_data_alone_are_not_ignored_in_silence(capsys):
    code, _, err = _run(capsys, "train.csv", "--test", "test.csv")
    assert code == 2
    assert "--data-only" in err


def test_a_training_on_what_is_left_counts_what_was_left_out(capsys):
    code, out, _ = _run(capsys, "train.csv", "--skip-invalid", "--exit-zero")
    assert code == 0
    assert "left out: 10 rows with missing" in out
    assert "overfit 20 samples" in out
