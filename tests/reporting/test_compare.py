"""Runs side by side: who is ahead, what differs, and what cannot be compared."""

from __future__ import annotations

import json
import re

import msgspec
import pytest

from babysit.analysis.extent import steps
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.reporting.compare import compare
from babysit.reporting.compare_html import compare_html
from babysit.reporting.compare_json import compare_json
from babysit.reporting.compare_text import compare_text
from babysit.reporting.diff import NOTHING, changes, words_of
from babysit.testing import synthetic_runs


def changed(run, **fields):
    return msgspec.structs.replace(run, **fields)


def twin(run, **fields):
    return changed(run, id="20260302-000000-twin", **fields)


def of(comparison, part):
    return next(change for change in comparison.changes if change.part == part)


def without_scripts(page):
    return re.sub(r"<script.*?</script>", "", page, flags=re.S)


HEALTHY = synthetic_runs.healthy_run()


def test_the_run_with_the_better_test_accuracy_is_ahead_and_named_first():
    better = twin(HEALTHY, result={**HEALTHY.result, "test/accuracy": 0.99})
    comparison = compare([HEALTHY, better])
    assert comparison.sentence.startswith("B has the best test accuracy: 99 % (A 97.8 %). No run has problems.")
    row = next(row for row in comparison.results if row.name == "Test accuracy")
    assert row.best == 1


def test_of_losses_the_lower_is_ahead_and_equal_ones_rank_nobody():
    lower = twin(HEALTHY, result={"test/loss": 0.1, "epochs": 5.0})
    higher = changed(HEALTHY, result={"test/loss": 0.2, "epochs": 9.0})
    rows = {row.name: row.best for row in compare([higher, lower]).results}
    assert rows["Test loss"] == 1
    assert rows["Epochs"] is None
    same = compare([higher, twin(higher)])
    assert "All have the same test loss, 0.2." in same.sentence
    assert {row.best for row in same.results} == {None}


def test_a_result_that_is_not_a_number_is_never_ahead():
    broken = changed(HEALTHY, result={"test/loss": float("nan")})
    fine = [changed(HEALTHY, id=name, result={"test/loss": value}) for name, value in (("x", 3.0), ("y", 2.0))]
    row = next(row for row in compare([broken, *fine]).results if row.name == "Test loss")
    assert row.best == 2
    assert row.values[0] == "NaN"


def test_settings_that_differ_are_listed_and_the_others_are_not():
    other = twin(HEALTHY, config={**HEALTHY.config, "lr": 0.1, "new": True})
    rows = {row.name: row.values for row in of(compare([HEALTHY, other]), "settings").rows}
    assert rows == {"lr": ("0.001", "0.1"), "new": (NOTHING, "yes")}


def test_values_that_would_read_the_same_are_written_out():
    assert words_of((0.0012341, 0.0012342)) == ("0.0012341", "0.0012342")
    assert words_of((0.001, 0.1)) == ("0.001", "0.1")


def test_the_same_run_under_another_id_differs_in_nothing():
    comparison = compare([HEALTHY, twin(HEALTHY)])
    assert [change.rows for change in comparison.changes] == [()] * 5
    assert "No recorded difference." in comparison.sentence


def test_every_part_tells_its_own_change():
    data = msgspec.structs.replace(HEALTHY.data, preprocessing="none")
    layers = (
        msgspec.structs.replace(HEALTHY.model_summary.layers[0], activation="tanh"),
        *HEALTHY.model_summary.layers[1:],
    )
    model_summary = msgspec.structs.replace(HEALTHY.model_summary, layers=layers)
    place = msgspec.structs.replace(HEALTHY.environment, torch="2.0")
    other = twin(HEALTHY, data=data, model_summary=model_summary, environment=place, command="python other.py")
    found = {change.part: [row.name for row in change.rows] for change in changes([HEALTHY, other])}
    assert found == {
        "settings": [],
        "data": ["preprocessing"],
        "code": ["command"],
        "model": ["layer hidden.0"],
        "environment": ["torch"],
    }


def test_runs_of_different_data_are_not_ranked_and_it_says_why():
    one = changed(HEALTHY, data=msgspec.structs.replace(HEALTHY.data, fingerprint="aaa"))
    other = twin(HEALTHY, data=msgspec.structs.replace(HEALTHY.data, fingerprint="bbb"), result={"test/accuracy": 0.1})
    comparison = compare([one, other])
    assert "different data, so their results are not ranked" in comparison.sentence
    assert {row.best for row in comparison.results} == {None}
    assert comparison.cautions[0].startswith("The datasets differ")


def test_losses_of_different_kinds_are_not_ranked_but_accuracies_are():
    objective = msgspec.structs.replace(HEALTHY.model_summary.objectives[0], loss="mse_loss")
    model_summary = msgspec.structs.replace(HEALTHY.model_summary, objectives=(objective,))
    other = twin(
        HEALTHY, model_summary=model_summary, result={**HEALTHY.result, "test/accuracy": 0.5, "test/loss": 0.0}
    )
    comparison = compare([HEALTHY, other])
    rows = {row.name: row.best for row in comparison.results}
    assert (rows["Test accuracy"], rows["Test loss"], rows["Lowest validation loss"]) == (0, None, None)
    assert any("A cross_entropy, B mse_loss" in caution for caution in comparison.cautions)


def test_a_run_without_measurements_and_one_that_still_runs_are_said_to_be_so():
    comparison = compare([Run(id="empty"), twin(HEALTHY, status=Status.RUNNING)])
    assert "A has no measurements: only its settings can be compared." in comparison.cautions
    assert "B is running: its values are those recorded so far." in comparison.cautions


def test_networks_without_a_layer_in_common_are_told():
    cautions = compare([HEALTHY, synthetic_runs.hundred_layers_run()]).cautions
    assert any("they have no layer in common" in caution for caution in cautions)


def test_what_one_side_did_not_record_is_no_difference():
    watched = msgspec.structs.replace(HEALTHY.data, fingerprint="", class_names=(), preprocessing="", splits=())
    other = twin(HEALTHY, data=watched, environment=msgspec.structs.replace(HEALTHY.environment, commit=""))
    comparison = compare([HEALTHY, other])
    assert of(comparison, "data").rows == ()
    assert "No recorded difference" in comparison.sentence
    (told,) = [sentence for sentence in comparison.unrecorded if ": data (" in sentence]
    assert told.startswith("Not recorded for B: data (")
    assert "preprocessing" in told
    assert told in " ".join(compare_text(comparison, width=400).split())
    assert json.loads(compare_json(comparison))["unrecorded"] == list(comparison.unrecorded)
    assert "Not recorded for B: data" in without_scripts(compare_html(comparison))


def test_steps_are_told_of_runs_that_say_nothing_of_them_in_their_result():
    said = twin(HEALTHY, result={"steps": 580.0})
    row = next(row for row in compare([changed(HEALTHY, result={}), said]).results if row.name == "Steps")
    assert row.values[0] == f"{steps(HEALTHY):,}"
    assert row.values[1] == "580"


def test_too_few_too_many_and_the_same_run_twice_are_refused():
    with pytest.raises(UserError, match="at least two runs"):
        compare([HEALTHY])
    with pytest.raises(UserError, match="7 runs are too many"):
        compare([changed(HEALTHY, id=str(number)) for number in range(7)])
    with pytest.raises(UserError, match="cannot be compared with itself"):
        compare([HEALTHY, HEALTHY])


def test_the_text_stays_within_its_width_and_says_what_is_the_same():
    written = compare_text(compare([HEALTHY, synthetic_runs.diverging_run()]), width=80)
    assert max(map(len, written.splitlines())) <= 80
    assert "Identical: settings, environment." in written
    assert "Not recorded for every run: data." in written
    assert "U601 learning rate too high" in " ".join(written.split())


def test_the_json_holds_runs_rows_and_cautions_by_letter():
    told = json.loads(compare_json(compare([HEALTHY, synthetic_runs.diverging_run()])))
    assert told["runs"]["B"]["verdict"] == "problems"
    assert told["runs"]["B"]["problems"] == ["U601", "F906", "G502"]
    assert told["changes"]["settings"] == {"known": True, "differs": [], "left_out": 0}
    assert {row["name"] for row in told["changes"]["model"]["differs"]} >= {"optimizer lr"}
    assert told["cautions"]


def test_hostile_names_do_no_harm_in_text_page_and_json():
    hostile = synthetic_runs.hostile_names_run()
    comparison = compare(
        [hostile, changed(hostile, id=synthetic_runs.HOSTILE_NAMES[0], config={synthetic_runs.HOSTILE_NAMES[1]: 1})]
    )
    page = compare_html(comparison)
    visible = without_scripts(page)
    assert "<script>alert" not in page
    assert "<img" not in visible
    assert "x" * 3_000 not in page
    for written in (visible, compare_text(comparison)):
        assert not set(written) & {"\x1b", "\x07", "\x00", "\u202e"}
        written.encode()
    json.loads(compare_json(comparison))


def test_the_page_carries_its_figures_and_reaches_for_nothing():
    page = compare_html(compare([HEALTHY, synthetic_runs.diverging_run()]))
    assert {"compared_losses", "difference"} <= set(re.findall(r'id="panel-(\w+)"', page))
    assert "Accuracies:" in page  # one of the two recorded none: it is said
    assert not re.search("https?:", without_scripts(page))
