"""The verdict and what it rests on, from made-up runs whose right values are plain arithmetic."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest

from babysit.analysis.learning import learning
from babysit.analysis.verdict import concluded
from babysit.records.curves import Curves
from babysit.records.events import Events
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.records.finding import Finding, Severity
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import Run, Status
from babysit.records.trial import Trial, TrialState
from babysit.records.verdict import Missing, Verdict
from babysit.rules.examples import classes, example_run, falling, flat, profile, regression

ALARM = Finding(code="O201", name="double-softmax", severity=Severity.WARNING)


def judged(run, **changes):
    known = concluded(msgspec.structs.replace(run, **changes))
    return known.verdict, known.missing


def test_a_run_that_learned_and_has_no_alarm_is_healthy():
    assert judged(example_run()) == (Verdict.HEALTHY, ())


def test_an_alarm_makes_problems_of_any_run_and_a_note_does_not():
    note = msgspec.structs.replace(ALARM, severity=Severity.INFO)
    assert judged(example_run(), findings=(ALARM,)) == (Verdict.PROBLEMS, ())
    assert judged(Run(id="x", status=Status.CRASHED), findings=(ALARM,)) == (Verdict.PROBLEMS, ())
    assert judged(example_run(), findings=(note,)) == (Verdict.HEALTHY, ())


@pytest.mark.parametrize("status", [Status.CRASHED, Status.INTERRUPTED])
def test_a_program_that_did_not_end_well_is_never_healthy_however_well_it_learned(status):
    assert judged(example_run(), status=status) == (Verdict.INCONCLUSIVE, (Missing.END,))
    assert judged(example_run(), status=status, findings=(ALARM,)) == (Verdict.PROBLEMS, ())


def test_a_run_in_which_nothing_was_seen_is_inconclusive():
    assert judged(Run(id="x", status=Status.FINISHED)) == (Verdict.INCONCLUSIVE, (Missing.ANYTHING,))


@pytest.mark.parametrize(("steps", "missing"), [(3, (Missing.STEPS,)), (19, (Missing.STEPS,)), (20, ())])
def test_fewer_steps_than_a_watch_looks_at_one_by_one_are_too_few(steps, missing):
    run = example_run(loss=falling(2.4, 0.1))
    series = msgspec.structs.replace(run.curves.get("train/loss"))
    short = type(series)(series.steps[-steps:] * 0 + np.arange(steps), series.values[-steps:])
    curves = Curves(series={"train/loss": short})
    assert judged(run, curves=curves, events=Events(steps=steps))[1] == missing


def test_a_loss_that_stays_at_that_of_guessing_is_not_learning():
    assert judged(example_run(loss=flat(math.log(10)))) == (Verdict.INCONCLUSIVE, (Missing.LEARNING,))


def test_validation_at_chance_is_not_healthy_where_training_is_perfect():
    curves = {"val/loss": flat(2.3, steps=30), "val/accuracy": flat(0.1, steps=30)}
    assert judged(example_run(curves=curves)) == (Verdict.INCONCLUSIVE, (Missing.GENERALIZATION,))


def test_an_accuracy_at_chance_beside_a_loss_near_zero_is_a_contradiction():
    run = example_run(curves={"train/accuracy": flat(0.1, steps=400)})
    assert judged(run) == (Verdict.INCONCLUSIVE, (Missing.AGREEMENT,))


def test_a_loss_whose_constant_prediction_is_not_known_measures_no_learning():
    run = example_run(objective=classes(loss="custom"))
    assert judged(run) == (Verdict.INCONCLUSIVE, (Missing.BASELINE,))
    seen = example_run(objective=classes(loss="custom"), curves={"val/accuracy": flat(0.8, steps=30)})
    assert judged(seen) == (Verdict.HEALTHY, ())


def test_steps_without_any_loss_measure_no_learning():
    assert judged(example_run(), curves=Curves()) == (Verdict.INCONCLUSIVE, (Missing.LOSS,))


def test_checks_alone_are_no_training_and_a_failed_one_is_said_first():
    passed = ExperimentResult(name="initial-loss", outcome=Outcome.PASS)
    failed = ExperimentResult(name="overfit-tiny", outcome=Outcome.FAIL)
    alone = Run(id="x", status=Status.FINISHED, experiments=(passed,))
    assert judged(alone) == (Verdict.INCONCLUSIVE, (Missing.TRAINING,))
    assert judged(alone, experiments=(passed, failed))[1] == (Missing.CHECKS, Missing.TRAINING)
    assert judged(example_run(experiments=(failed,)))[1] == (Missing.CHECKS,)


@pytest.mark.parametrize(("metric", "verdict"), [(0.12, Verdict.INCONCLUSIVE), (0.9, Verdict.HEALTHY)])
def test_a_search_is_judged_by_its_best_trial(metric, verdict):
    data = profile(class_counts=(50,) * 10)
    train = msgspec.structs.replace(data.splits[0], split="train")
    trials = tuple(
        Trial(number=number, stage="coarse", state=state, metric=value)
        for number, (state, value) in enumerate(
            [(TrialState.COMPLETE, metric), (TrialState.COMPLETE, 0.1), (TrialState.PRUNED, 0.99)]
        )
    )
    run = Run(
        id="x",
        kind="search",
        status=Status.FINISHED,
        trials=trials,
        data=msgspec.structs.replace(data, splits=(train,)),
    )
    assert judged(run)[0] is verdict


def test_learned_shares_are_those_of_the_constant_prediction():
    run = example_run(
        loss=flat(math.log(10) / 4, noise=0),
        curves={
            "val/loss": flat(math.log(10) / 2, steps=30, noise=0),
            "val/accuracy": flat(0.55, noise=0),
        },
    )
    known = learning(run)
    assert known.loss == pytest.approx(0.75)
    assert known.validation_loss == pytest.approx(0.5)
    assert (known.validation_accuracy, known.chance) == (pytest.approx(0.55), pytest.approx(0.1))
    assert known.train == pytest.approx(0.75)


def test_a_summed_cross_entropy_is_measured_by_its_numbers_whatever_its_reduction_says():
    """The curve of a sum that was divided by its count is that of a mean, and learned nothing is learned nothing."""
    stuck = flat(math.log(10), noise=0)
    divided = example_run(objective=classes(reduction="sum", scale=1.0), loss=stuck)
    summed = example_run(objective=classes(reduction="sum"), loss=64 * stuck)
    assert learning(divided).loss == pytest.approx(0, abs=1e-9)
    assert learning(summed).loss == pytest.approx(0, abs=1e-9)


def test_the_best_constant_prediction_of_a_regression_is_its_mean():
    assert learning(example_run(objective=regression(), loss=flat(0.25, noise=0))).loss == pytest.approx(0.75)


def test_a_loss_that_ended_as_nan_is_not_made_good_by_an_accuracy_from_before():
    broken = np.r_[falling(2.4, 0.1), np.full(50, np.nan)]
    run = example_run(loss=broken, curves={"train/accuracy": flat(0.95)})
    assert learning(run).train == -math.inf
    assert judged(run)[0] is not Verdict.HEALTHY


def test_a_result_on_test_data_counts_before_the_curve_of_validation():
    run = example_run(curves={"val/accuracy": flat(0.9, steps=30)})
    assert learning(msgspec.structs.replace(run, result={"test/accuracy": 0.2})).validation_accuracy == 0.2


def test_layer_metrics_alone_are_something_that_was_measured():
    run = Run(id="x", status=Status.FINISHED, layer_metrics=LayerMetrics(layers=("a",), steps=np.arange(30)))
    assert judged(run)[1] == (Missing.ANYTHING,)


def test_a_mean_cross_entropy_that_starts_far_too_high_is_no_sum():
    run = example_run(loss=np.r_[64 * math.log(10), flat(math.log(10), noise=0)])
    assert learning(run).loss == pytest.approx(0, abs=1e-9)
