"""What is read from curves, losses and layer metrics, against plain definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.analysis.baseline import entropy, prior_error, prior_loss
from babysit.analysis.layer_metrics import first, last_window, onset
from babysit.analysis.learning import explained_share, is_underperforming
from babysit.analysis.learning import falling as is_falling
from babysit.analysis.loss_curve import levels, noise_of, share_of_fall, trend
from babysit.analysis.verdict import concluded
from babysit.records.curves import Curves, Series
from babysit.records.model_summary import TargetKind, Term, ValueSummary
from babysit.records.run import Run, Status
from babysit.records.verdict import Missing
from babysit.rules.data.unshuffled_batches import expected_majority
from babysit.rules.engine import judged
from babysit.rules.examples import (
    BATCH,
    binary,
    classes,
    example_run,
    falling,
    flat,
    healthy,
    optimizer,
    profile,
    regression,
)
from babysit.rules.objective.broadcast_loss import broadcast_shape


def codes(run: Run) -> list[str]:
    return [finding.code for finding in judged(run).findings]


@given(st.floats(0.01, 100), st.floats(-5, 5))
def test_noise_is_that_of_the_values_whatever_their_slope(size: float, slope: float) -> None:
    values = slope * np.arange(2000) + size * np.random.default_rng(0).standard_normal(2000)
    assert noise_of(values) == pytest.approx(size, rel=0.1)


def test_one_spike_does_not_move_the_noise() -> None:
    values = np.random.default_rng(0).standard_normal(500)
    spiked = values.copy()
    spiked[250] = 1e6
    assert noise_of(spiked) == pytest.approx(noise_of(values), rel=0.05)


def test_a_trend_is_seen_through_noise_and_none_in_noise_alone() -> None:
    noise = np.random.default_rng(0).standard_normal(1000)
    assert trend(noise - np.linspace(0, 2, 1000))[1] < 1e-4
    assert trend(noise)[1] > 0.05
    assert trend(np.ones(100)) == (0.0, 1.0)


def test_a_straight_line_falls_by_a_fifth_in_its_last_fifth() -> None:
    assert share_of_fall(np.linspace(2, 1, 400), 0.2) == pytest.approx(0.2, abs=0.02)
    assert share_of_fall(falling(2.3, 0.1), 0.2) < 0.02
    assert share_of_fall(np.linspace(1, 2, 400), 0.2) == 0.0


def test_levels_tell_from_which_step_on_a_loss_is_broken() -> None:
    values = np.r_[np.full(50, 2.0), np.full(10, np.nan)]
    run = example_run(curves={"x": values})
    assert levels(run, "x").broken_at == run.curves.get("x").steps[50]
    recovered = np.r_[np.full(20, 2.0), np.nan, np.full(20, 1.0)]
    assert levels(example_run(curves={"x": recovered}), "x").broken_at is None
    assert levels(example_run(curves={"x": np.full(20, np.nan)}), "x").broken_at == 0
    assert levels(Run(id="none")) is None


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=20).filter(any))
def test_entropy_is_that_of_its_definition(counts: list[int]) -> None:
    total = sum(counts)
    assert entropy(counts) == pytest.approx(-sum(c / total * math.log(c / total) for c in counts if c), abs=1e-9)


def test_the_prior_loss_is_that_of_the_best_constant_answer() -> None:
    assert prior_loss(healthy()) == pytest.approx(math.log(10))
    skewed = example_run(objective=classes(class_counts=(900, 100), outputs=2))
    assert prior_loss(skewed) == pytest.approx(-0.9 * math.log(0.9) - 0.1 * math.log(0.1))
    assert prior_loss(example_run(objective=binary())) == pytest.approx(math.log(2))
    assert prior_loss(example_run(objective=regression())) == pytest.approx(1.0)
    summed = example_run(objective=regression(reduction="sum"), loss=falling(1.1 * BATCH, 1.0))
    assert prior_loss(summed) == pytest.approx(BATCH)
    assert prior_loss(example_run(objective=classes(class_weights=True))) == pytest.approx(math.log(10))
    assert prior_loss(example_run(objective=classes(loss="custom"))) is None


def test_the_prior_of_absolute_error_on_labels_is_the_rarer_share() -> None:
    labels = ValueSummary(shape=(BATCH, 1), mean=0.3, variance=0.21, high=1.0)
    run = example_run(objective=regression(loss="l1_loss", target=labels, target_kind=TargetKind.ZERO_ONE))
    assert prior_loss(run) == pytest.approx(0.3)


def test_a_sum_that_was_divided_afterwards_counts_as_a_mean() -> None:
    assert prior_loss(example_run(objective=regression(reduction="sum", scale=1.0))) == pytest.approx(1.0)
    assert prior_loss(example_run(objective=regression(scale=0.5), loss=falling(40.0, 0.1))) == pytest.approx(0.5)


def test_a_curve_that_holds_other_terms_is_compared_with_no_constant_and_the_term_itself_is_judged() -> None:
    mixed = regression(composite=True, last_value=0.1)
    assert prior_loss(example_run(objective=mixed)) is None
    penalized = (Term(kind="data", first=1.0, last=0.1), Term(kind="weights", first=9.0, last=9.0))
    run = example_run(objective=mixed, loss=flat(9.1), facts={"terms": penalized})
    assert explained_share(run) == pytest.approx(0.9)
    several = (Term(kind="data", first=1.0, last=0.1), Term(kind="data", first=0.0, last=-5.0))
    assert explained_share(example_run(objective=mixed, loss=flat(-4.9), facts={"terms": several})) is None


def test_a_baseline_from_a_sample_of_targets_has_a_standard_error() -> None:
    sample = profile(target_mean=0.0, target_variance=2.0, target_count=200)
    run = example_run(objective=regression(), data=sample)
    assert prior_loss(run) == pytest.approx(2.0)
    assert prior_error(run) == pytest.approx(0.2)


def test_a_loss_that_may_be_a_weak_signal_is_not_called_a_constant_prediction() -> None:
    weak = flat(0.96, steps=240, noise=0.2)
    sample = profile(target_variance=1.05, target_count=1000)
    assert "O210" not in codes(example_run(objective=regression(), loss=weak, data=sample))
    sure = flat(1.05, steps=240, noise=0.02)
    certain = profile(target_variance=1.05, target_count=100_000)
    assert "O210" in codes(example_run(objective=regression(), loss=sure, data=certain))


def test_a_short_run_whose_loss_still_falls_neither_stalled_nor_predicts_a_constant() -> None:
    loss = np.linspace(2.313, 2.29, 42) + 0.003 * np.random.default_rng(0).standard_normal(42)
    assert not {"O210", "F905"} & set(codes(example_run(loss=loss)))


def test_several_optimizers_in_turns_have_no_baseline() -> None:
    run = concluded(
        example_run(
            objective=binary(),
            loss=flat(0.69),
            facts={"optimizers": (optimizer(), optimizer())},
            curves={"train/accuracy": np.full(400, 0.5)},
        )
    )
    assert run.missing == (Missing.BASELINE,)


def test_a_loss_that_explodes_at_once_starts_at_its_first_value() -> None:
    assert levels(example_run(loss=np.r_[1.0, 10.0, 100.0, np.full(10, 1e6)])).start == 1.0
    assert levels(example_run(loss=np.r_[1.0, 2.0, 1.5, np.full(10, 1.0)])).start == 1.5


def test_skill_is_the_share_of_the_prior_loss_removed() -> None:
    assert explained_share(example_run(loss=flat(0.2303, noise=0.0))) == pytest.approx(0.9, abs=1e-3)
    assert explained_share(example_run(objective=classes(loss="custom"))) is None


def test_a_good_accuracy_counts_where_the_loss_says_nothing() -> None:
    run = example_run(objective=classes(loss="custom"), curves={"val/accuracy": np.linspace(0.1, 0.91, 20)})
    assert explained_share(run) == pytest.approx((0.91 - 0.1) / 0.9, abs=0.06)
    per_cent = example_run(objective=classes(loss="custom"), curves={"val/accuracy": np.linspace(10, 91, 20)})
    assert explained_share(per_cent) == pytest.approx(explained_share(run), abs=1e-6)


def test_poor_needs_a_run_that_had_its_chance() -> None:
    assert is_underperforming(example_run(loss=flat(2.3)))
    assert not is_underperforming(healthy())
    short = Run(
        id="s", status=Status.FINISHED, curves=Curves(series={"train/loss": Series(np.arange(6), np.full(6, 2.0))})
    )
    assert not is_underperforming(short)


def test_a_loss_of_unknown_kind_is_poor_only_when_it_does_not_fall() -> None:
    assert not is_underperforming(example_run(objective=classes(loss="custom"), loss=falling(50.0, 45.0, noise=0.001)))
    assert is_underperforming(example_run(objective=classes(loss="custom"), loss=flat(50.0)))
    assert is_falling(healthy())


def test_onset_is_the_step_from_which_a_level_is_kept() -> None:
    dead = np.r_[np.zeros(10), 0.9, np.zeros(9), np.full(19, 0.9)]
    run = example_run(layer_metrics={"dead": dead[:, None]})
    assert onset(run, "dead", "layer0", 0.5) == run.layer_metrics.steps[20]
    assert onset(run, "dead", "layer0", 0.95) is None
    assert onset(example_run(layer_metrics={"dead": 0.9}), "dead", "layer0", 0.5) == 0


def test_missing_measurements_are_skipped_and_not_taken_for_numbers() -> None:
    values = np.full((39, 3), np.nan)
    values[4] = 0.7
    run = example_run(layer_metrics={"unit_similarity": values})
    assert first(run, "unit_similarity") == pytest.approx({"layer0": 0.7, "layer1": 0.7, "layer2": 0.7})
    assert last_window(run, "unit_similarity") == {}
    assert last_window(run, "never") == {}


@given(st.lists(st.integers(1, 5), max_size=4), st.lists(st.integers(1, 5), max_size=4))
def test_broadcast_shapes_are_those_of_numpy(one: list[int], other: list[int]) -> None:
    try:
        wanted = np.broadcast_shapes(tuple(one), tuple(other))
    except ValueError:
        wanted = ()
    assert broadcast_shape(tuple(one), tuple(other)) == wanted


def test_a_random_batch_of_two_even_classes_has_its_known_majority() -> None:
    # For two samples: both alike with chance 1/2 (share 1), else one of each (share 1/2).
    assert expected_majority((50, 50), 2) == pytest.approx(0.75, abs=0.05)


@pytest.mark.parametrize(
    ("losses", "seen"),
    [
        ([2.3, 3e4, 5e19], True),
        ([2.3, 1e19], True),
        ([2.3, 4e4, np.nan], True),
        ([0.0003, 0.9], False),
        ([2.3, 2.2, 2.4], False),
        ([2.3, 9.0, 30.0], False),
        ([2.3], False),
        ([np.nan, np.nan, np.nan], False),
    ],
)
def test_a_few_losses_show_an_explosion_and_nothing_less(losses: list[float], seen: bool) -> None:
    assert (levels(example_run(loss=np.asarray(losses))) is not None) == seen
