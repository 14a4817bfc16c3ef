"""How records show in a session and in a notebook."""

from __future__ import annotations

from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Finding, Severity
from babysit.records.run import Run, Status
from babysit.testing.synthetic_runs import diverging_run

FOUND = Finding(code="U601", name="lr-too-high", severity=Severity.ERROR, message="<b>41 %</b> per step")


def test_a_run_shows_in_one_line_whatever_it_holds() -> None:
    run = diverging_run()
    assert repr(run) == (
        f"Run({run.id}: watch, finished, {run.events.steps:,} steps, "
        + ", ".join(f"{one.code} {one.name}" for one in run.problems)
        + ")"
    )
    assert repr(Run(id="x", status=Status.CRASHED)) == "Run(x: watch, crashed, 0 steps, inconclusive)"


def test_a_run_shows_in_a_notebook_with_its_findings_as_text() -> None:
    shown = Run(id="x", name="<script>", findings=(FOUND,), result={"test/accuracy": 0.75})._repr_html_()
    assert "ERROR U601" in shown
    assert "0.75" in shown
    assert "<script>" not in shown
    assert "&lt;b&gt;41 %" in shown


def test_findings_and_experiments_show_what_was_seen() -> None:
    assert repr(FOUND) == "Finding(U601 lr-too-high, ERROR: <b>41 %</b> per step)"
    assert "&lt;b&gt;41 %" in FOUND._repr_html_()
    result = ExperimentResult(name="initial-loss", outcome=Outcome.PASS, message="as expected", measured={"loss": 2.3})
    assert repr(result) == "ExperimentResult(initial-loss, pass: as expected)"
    assert "measured loss" in result._repr_html_()
