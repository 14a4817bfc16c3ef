"""The JSON report keeps its promised shape."""

from __future__ import annotations

import json

import pytest

from babysit.records.errors import UserError
from babysit.records.run import Run
from babysit.reporting.report import report, write_report
from babysit.testing import synthetic_runs

PROMISED = (
    "code", "name", "severity", "rank", "explained_by",
    "layers", "first_step", "last_step", "evidence", "message", "recommendation",
)  # fmt: skip


def parsed(run):
    def refuse(word):
        raise AssertionError(f"{word} is not JSON")

    return json.loads(report(run, format="json"), parse_constant=refuse)


def test_verdict_and_findings_have_the_promised_fields_in_rank_order():
    written = parsed(synthetic_runs.diverging_run())
    assert written["verdict"] == "problems"
    assert [finding["code"] for finding in written["findings"]] == ["U601", "F906", "G502"]
    assert [finding["explained_by"] for finding in written["findings"]] == [None, "U601", "F906"]
    for finding in written["findings"]:
        assert tuple(finding)[: len(PROMISED)] == PROMISED


def test_infinite_evidence_is_written_as_a_word():
    assert parsed(synthetic_runs.diverging_run())["findings"][1]["evidence"]["largest"] == "inf"


def test_a_healthy_run_has_no_findings_and_an_empty_one_says_that_nothing_was_measured():
    healthy, empty = parsed(synthetic_runs.healthy_run()), parsed(Run(id="x"))
    assert (healthy["verdict"], healthy["findings"], healthy["measured"]) == ("healthy", [], True)
    assert (empty["verdict"], empty["findings"], empty["measured"]) == ("inconclusive", [], False)


def test_the_facts_of_the_run_are_there():
    facts = parsed(synthetic_runs.healthy_run())["run"]
    assert facts["result"]["test/accuracy"] == 0.9778
    assert facts["experiments"][0]["name"] == "initial-loss"
    assert len(facts["trials"]) == 24
    assert facts["overhead"]["budget"] == 0.01
    assert facts["steps"] == 1200


def test_hostile_names_come_back_as_they_were_but_for_half_characters():
    layers = parsed(synthetic_runs.hostile_names_run())["findings"][0]["layers"]
    expected = [name.replace("\ud800", "\\ud800") for name in synthetic_runs.HOSTILE_NAMES]
    assert layers == expected


def test_an_unknown_format_and_an_unknown_ending_are_refused_with_what_works(tmp_path):
    with pytest.raises(UserError, match="html, text, json, md, sarif"):
        report(Run(id="x"), format="pdf")
    with pytest.raises(UserError, match=r"\.html, \.txt, \.json, \.md or \.sarif"):
        write_report(Run(id="x"), tmp_path / "report.pdf")


def test_a_report_is_written_whole_with_the_usual_permissions_and_leaves_nothing_beside_it(tmp_path):
    path = write_report(Run(id="x"), tmp_path / "deep" / "report.json")
    other = tmp_path / "other"
    other.write_text("")
    assert json.loads(path.read_text())["verdict"] == "inconclusive"
    assert [file.name for file in path.parent.iterdir()] == ["report.json"]
    assert path.stat().st_mode == other.stat().st_mode


def test_a_place_that_cannot_be_written_is_one_clear_line_and_the_old_report_stays(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_report(Run(id="x"), tmp_path / "file" / "report.json")
