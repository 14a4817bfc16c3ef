"""CSV and Parquet tables, clean and not."""

import os
import sys

import numpy as np
import pytest

from babysit.data.sources import load_data
from babysit.records.errors import UserError
from babysit.records.model_summary import Task

pyarrow = pytest.importorskip("pyarrow")


def _csv(folder, text, name="data.csv"):
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


FLOWERS = "length,width,kind\n" + "".join(f"{n}.5,{n % 3},{'rose' if n % 2 else 'iris'}\n" for n in range(8))


def test_a_table_gives_features_and_encoded_text_labels(tmp_path):
    samples = load_data(_csv(tmp_path, FLOWERS), target="kind")
    assert samples.feature_names == ("length", "width")
    assert samples.class_names == ("iris", "rose")
    assert samples.x[3].tolist() == [3.5, 0]
    assert samples.y.tolist() == [0, 1] * 4


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_other_delimiters_are_noticed(delimiter, tmp_path):
    samples = load_data(_csv(tmp_path, FLOWERS.replace(",", delimiter)), target="kind")
    assert samples.feature_names == ("length", "width")


def test_a_parquet_file_gives_the_same_as_the_csv(tmp_path):
    from pyarrow import csv, parquet

    path = _csv(tmp_path, FLOWERS)
    table = csv.read_csv(path)
    table = table.set_column(2, "kind", table["kind"].dictionary_encode())
    parquet.write_table(table, tmp_path / "data.parquet")
    left, right = load_data(path, target="kind"), load_data(tmp_path / "data.parquet", target="kind")
    assert left.x.tolist() == right.x.tolist()
    assert left.class_names == right.class_names


def test_text_columns_with_few_values_become_one_hot_columns(tmp_path):
    text = "colour,size,price\n" + "".join(f"{('red', 'blue')[n % 2]},{n},{n * 1.1 + 0.05}\n" for n in range(30))
    samples = load_data(_csv(tmp_path, text), target="price")
    assert samples.feature_names == ("colour=blue", "colour=red", "size")
    assert samples.x[1].tolist() == [1, 0, 1]
    assert samples.task is Task.REGRESSION
    assert any("colour" in note for note in samples.notes)


def test_truth_values_become_zero_and_one(tmp_path):
    samples = load_data(_csv(tmp_path, "wet,y\ntrue,a\nfalse,b\ntrue,a\n"), target="y")
    assert samples.x.flatten().tolist() == [1, 0, 1]


def test_a_column_whose_first_thousands_of_rows_are_whole_is_still_read(tmp_path):
    rows = "".join(f"{n},{n % 2}\n" for n in range(200_000)) + "0.5,1\n"
    samples = load_data(_csv(tmp_path, "a,y\n" + rows), target="y")
    assert samples.x[-1].item() == 0.5


def test_a_column_called_target_is_found_and_this_is_said(tmp_path):
    samples = load_data(_csv(tmp_path, "a,target\n1,x\n2,y\n"))
    assert "predicts the column 'target'" in samples.notes


def test_a_missing_target_column_is_answered_with_the_nearest_and_all_columns(tmp_path):
    with pytest.raises(UserError, match=r"no column 'Kinds' .*Did you mean 'kind'\? .*'length', 'width', 'kind'"):
        load_data(_csv(tmp_path, FLOWERS), target="Kinds")
    with pytest.raises(UserError, match=r"no target column is given.*'length', 'width', 'kind'"):
        load_data(_csv(tmp_path, FLOWERS))


def test_missing_numbers_are_named_with_column_and_count(tmp_path):
    text = "age,height,y\n1,,a\n,,b\n3,4,a\n?,5,b\n"
    with pytest.raises(UserError, match=r"4 missing .* in 3 of 4 samples \(columns 'age': 2, 'height': 2 of .*median"):
        load_data(_csv(tmp_path, text), target="y")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,y\n", "2 columns and no rows"),
        ("a,y\n1,x\n2,x\n", "one class"),
        ("a,y\n1,x\n2,\n3,z\n", "'y' has no value in 1 of 3 rows"),
        ("c,y\nred,x\n,y\n", "'c' has no value in 1 of 2 rows"),
        ("a,a,y\n1,2,x\n3,4,z\n", "same name: 'a'"),
        ("y\n1\n2\n", "no column except the target"),
        ("5.1,3.5,1.4\n4.9,3.0,1.4\n", "instead of column names"),
        ("a,y\n1,x\n2,z,9\n", "not a readable table"),
        ("when,y\n2020-01-01,x\n2020-01-02,z\n", "'when' contains values of type date"),
        ("name,y\n" + "".join(f"n{n},{n % 2}\n" for n in range(50)), "50 distinct values \\('n0', 'n1', 'n10', …\\)"),
        (b"a,y\n1,\xff\xfe\xfa\n2,b\n", "bytes that are not UTF-8"),
        (b"a,\x89b,y\n1,2,x\n2,3,z\n", "not a readable table"),
        (b"\0\1\2\3", "not a text file"),
    ],
)
def test_a_table_that_cannot_be_trained_on_is_refused_in_words(text, words, tmp_path):
    with pytest.raises(UserError, match=words) as error:
        load_data(_csv(tmp_path, text), target=None if "5.1" in str(text) else "y")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".tsv"])
@pytest.mark.parametrize("seed", range(5))
def test_random_bytes_are_refused_without_a_traceback(ending, seed, tmp_path):
    noise = np.random.default_rng(seed).bytes(3000)
    if seed % 2:
        noise = noise.replace(b"\0", b",")
    with pytest.raises(UserError) as error:
        load_data(_csv(tmp_path, noise, f"data{ending}"), target="y")
    assert len(str(error.value)) < 2500


def test_a_cut_off_parquet_file_is_refused(tmp_path):
    from pyarrow import parquet

    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"a": [1.0, 2.0], "y": [0, 1]}), path)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(UserError, match="not a readable Parquet file"):
        load_data(path, target="y")


@pytest.mark.parametrize(
    "column",
    [pyarrow.array([[1], [2]]), pyarrow.array([1, 2], pyarrow.timestamp("s")), pyarrow.array([{"a": 1}, {"a": 2}])],
)
def test_columns_of_other_types_are_refused(column, tmp_path):
    from pyarrow import parquet

    path = tmp_path / "data.parquet"
    parquet.write_table(pyarrow.table({"odd": column, "y": ["a", "b"]}), path)
    with pytest.raises(UserError, match="'odd' contains values of type"):
        load_data(path, target="y")


def test_a_column_without_any_value_is_named(tmp_path):
    with pytest.raises(UserError, match="'void': 2"):
        load_data(_csv(tmp_path, "void,a,y\n,1,x\n,2,z\n"), target="y")


def test_a_missing_package_is_named_with_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"pip install 'babysit\[tables\]'"):
        load_data(_csv(tmp_path, FLOWERS), target="kind")
