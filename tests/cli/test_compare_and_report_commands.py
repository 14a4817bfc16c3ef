"""`babysit compare` and the forms of `babysit report`."""

from __future__ import annotations

import json

import pytest

from babysit.store.store import Store
from babysit.testing.synthetic_runs import diverging_run, healthy_run, overfit_run


@pytest.fixture(autouse=True)
def kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = healthy_run(), diverging_run(), overfit_run()
    with Store() as store:
        for run in runs:
            store.save(run)
    return [run.id for run in runs]


def test_two_runs_are_compared_as_text_on_standard_output(call, kept):
    code, out, err = call("compare", kept[0], kept[1])
    assert (code, err) == (0, "")
    assert out.startswith("B has problems.")
    assert "Differences: model" in out


def test_beginnings_of_ids_and_latest_name_runs(call, kept):
    code, out, _ = call("compare", kept[0][:12], "latest")
    assert code == 0
    assert kept[2] in out


def test_json_is_nothing_but_json(call, kept):
    code, out, err = call("compare", *kept, "--json")
    assert (code, err) == (0, "")
    assert list(json.loads(out)["runs"]) == ["A", "B", "C"]


def test_the_page_is_written_beside_the_runs_or_where_it_is_asked_for(call, kept, tmp_path):
    code, out, _ = call("compare", kept[0], kept[1], "--format", "html")
    assert code == 0
    assert (tmp_path / out.strip()).read_text().startswith("<!doctype html>")
    code, out, _ = call("compare", kept[0], kept[1], "--output", "sides.txt")
    assert (code, out) == (0, "sides.txt\n")
    assert "Results" in (tmp_path / "sides.txt").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "at least two runs"),
        (("latest",), "at least two runs"),
        (("latest", "nowhere"), "there is no run 'nowhere'"),
    ],
)
def test_runs_that_cannot_be_compared_are_one_line_and_exit_code_two(call, words, said):
    code, out, err = call("compare", *words)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) == 1


def test_the_same_run_twice_is_refused(call, kept):
    code, _, err = call("compare", kept[2], "latest")
    assert code == 2
    assert "cannot be compared with itself" in err


def test_markdown_and_sarif_go_to_standard_output_and_to_files(call, kept, tmp_path):
    assert call("report", kept[1], "--format", "md")[1].startswith(
        "# ❌ Problems\n\n**Problem found: learning rate too high (U601)"
    )
    assert json.loads(call("report", kept[1], "--format", "sarif")[1])["version"] == "2.1.0"
    code, out, _ = call("report", kept[1], "--format", "sarif", "--output", "b.sarif")
    assert (code, out) == (0, "b.sarif\n")
    assert json.loads((tmp_path / "b.sarif").read_text())["runs"][0]["results"][0]["ruleId"] == "U601"
