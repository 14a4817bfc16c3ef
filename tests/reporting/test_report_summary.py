"""The verdict sentence, the tree of causes, and the facts around them."""

from __future__ import annotations

import msgspec
import pytest

from babysit.analysis.verdict import concluded
from babysit.records.experiment import Outcome
from babysit.records.finding import Finding, Severity
from babysit.records.run import Overhead, Run, Status
from babysit.reporting import run_metadata, summary
from babysit.reporting.text import text
from babysit.reporting.verdict import verdict
from babysit.testing import synthetic_runs


def finding(code, explained_by=None, severity=Severity.WARNING, **fields):
    return Finding(code=code, name=f"name-{code}", severity=severity, explained_by=explained_by, **fields)


def codes(trees):
    return [(tree.finding.code, codes(tree.symptoms)) for tree in trees]


def run_with(*findings):
    return concluded(msgspec.structs.replace(synthetic_runs.healthy_run(), findings=findings))


def test_symptoms_stand_beneath_their_cause_to_any_depth():
    run = run_with(finding("A"), finding("B", "A"), finding("C", "B"), finding("D"))
    assert codes(summary.causes(run, problems=True)) == [("A", [("B", [("C", [])])]), ("D", [])]


def test_findings_that_explain_each_other_are_each_shown_once():
    run = run_with(finding("A", "B"), finding("B", "A"), finding("C", "C"))
    shown = str(codes(summary.causes(run, problems=True)))
    assert [shown.count(f"'{code}'") for code in "ABC"] == [1, 1, 1]


def test_a_symptom_whose_cause_is_missing_or_only_worth_knowing_stands_on_its_own():
    run = run_with(finding("A", "Z"), finding("I", severity=Severity.INFO), finding("B", "I"))
    assert codes(summary.causes(run, problems=True)) == [("A", []), ("B", [])]
    assert codes(summary.causes(run, problems=False)) == [("I", [])]


def test_the_same_rule_found_twice_is_shown_twice_and_its_symptom_once():
    run = run_with(finding("A", layers=("a",)), finding("A", layers=("b",)), finding("B", "A"))
    assert codes(summary.causes(run, problems=True)) == [("A", [("B", [])]), ("A", [])]


def test_the_verdict_names_the_diagnosis_and_counts_other_causes():
    run = run_with(finding("A", layers=("x",), first_step=7), finding("B"), finding("C", "A"))
    assert verdict(run).sentence == "Problem found: name A (A) in x, since step 7, and 1 other cause."


def test_a_run_without_measurements_is_not_called_healthy():
    said = verdict(concluded(Run(id="x", status=Status.CRASHED)))
    assert (said.word, said.title) == ("inconclusive", "CRASHED · INCONCLUSIVE")
    assert said.sentence.startswith("The program crashed before its first optimizer step.")


def test_a_failed_experiment_is_not_called_healthy():
    run = synthetic_runs.healthy_run()
    failed = msgspec.structs.replace(
        run.experiments[2], outcome=Outcome.FAIL, message="twenty samples were not learned"
    )
    said = verdict(concluded(msgspec.structs.replace(run, experiments=(failed,))))
    assert said.word == "inconclusive"
    assert "1 check failed: overfit-tiny. twenty samples were not learned" in said.sentence


def test_a_healthy_run_that_still_runs_is_healthy_so_far():
    run = msgspec.structs.replace(synthetic_runs.healthy_run(), status=Status.RUNNING)
    assert verdict(concluded(run)).sentence.startswith("No problems found so far in ")


def test_the_cost_names_share_budget_seconds_and_sampling():
    spent = Overhead(budget=0.01, share=0.004, seconds=1.5, sampled_steps=60, steps=1000, every=22)
    assert run_metadata.overhead(Run(id="x", overhead=spent)) == (
        "Monitoring overhead: 1.5 seconds, 0.40 % of the step time (budget 1 %); "
        "60 of 1,000 steps sampled, every 22nd at the end."
    )


@pytest.mark.parametrize(
    ("value", "words"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (11, "11th"), (112, "112th"), (23, "23rd")]
)
def test_ordinals(value, words):
    assert run_metadata.ordinal(value) == words


def test_search_figures_are_only_missed_where_a_search_was_to_be_expected():
    titles = [title for title, _ in summary.missing(Run(id="x", kind="watch"), ())]
    assert "Search" not in titles
    assert "Search" in [title for title, _ in summary.missing(Run(id="x", kind="pipeline"), ())]


def test_a_training_that_was_hardly_measured_says_what_is_missing_and_why():
    run = synthetic_runs.overfit_run()
    blind = msgspec.structs.replace(run, layer_metrics=type(run.layer_metrics)())
    assert summary.unmeasured(run) == []
    assert [title for title, _ in summary.unmeasured(blind)] == ["Update-to-weight ratio", "Layer statistics"]
    assert "Layer statistics: no layer was measured" in text(blind)
