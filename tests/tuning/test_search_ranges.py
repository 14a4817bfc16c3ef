from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.analysis.constant import Constant
from babysit.analysis.trial_positions import PositionedTrials, edge, position_trials
from babysit.records.trial import Rung, Trial, TrialState
from babysit.rules.search import best_at_edge
from babysit.rules.search.example_runs import searched
from babysit.tuning.early_termination import EXPLODED
from babysit.tuning.range_update import next_range
from babysit.tuning.space import Categorical, Range, Space

# CS231n 2017, lecture 6, slides "Hyperparameter Optimization": validation accuracy, learning rate, regularization.

COARSE = """0.412 1.405206e-04 4.793564e-01
0.214 7.231888e-06 2.321281e-04
0.208 2.119571e-06 8.011857e+01
0.196 1.551131e-05 4.374936e-05
0.079 1.753300e-05 1.200424e+03
0.223 4.215128e-05 4.196174e+01
0.441 1.750259e-04 2.110807e-04
0.241 6.749231e-05 4.226413e+01
0.482 4.296863e-04 6.642555e-01
0.079 5.401602e-06 1.599828e+04
0.154 1.618508e-06 4.925252e-01"""

FINE = """0.527 5.340517e-04 4.097824e-01
0.492 2.279484e-04 9.991345e-04
0.512 8.680827e-04 1.349727e-02
0.461 1.028377e-04 1.220193e-02
0.460 1.113730e-04 5.244309e-02
0.498 9.477776e-04 2.001293e-03
0.469 1.484369e-04 4.328313e-01
0.522 5.586261e-04 2.312685e-04
0.530 5.808183e-04 8.259964e-02
0.489 1.979168e-04 1.010889e-04
0.490 2.036031e-04 2.406271e-03
0.475 2.021162e-04 2.287807e-01
0.460 1.135527e-04 3.905040e-02
0.515 6.947668e-04 1.562808e-02
0.531 9.471549e-04 1.433895e-03
0.509 3.140888e-04 2.857518e-01
0.514 6.438349e-04 3.033781e-01
0.502 3.921784e-04 2.707126e-04
0.509 9.752279e-04 2.850865e-03
0.500 2.412048e-04 4.997821e-04
0.466 1.319314e-04 1.189915e-02
0.516 8.039527e-04 1.528291e-02"""


def lecture_trials(table: str, stage: str) -> list[Trial]:
    return [
        Trial(
            number=number,
            stage=stage,
            parameters={"lr": float(lr), "reg": float(reg)},
            state=TrialState.COMPLETE,
            metric=float(metric),
        )
        for number, (metric, lr, reg) in enumerate(line.split() for line in table.splitlines())
    ]


def trials_at(pairs: list[tuple[float, float | None]], name: str = "lr") -> list[Trial]:
    """Trials at these values with these metrics; None for one that exploded."""
    return [
        Trial(
            number=number,
            stage="coarse",
            parameters={name: value},
            state=TrialState.PRUNED if metric is None else TrialState.COMPLETE,
            reason=EXPLODED if metric is None else "",
            metric=metric,
        )
        for number, (value, metric) in enumerate(pairs)
    ]


def test_the_lectures_coarse_table_moves_the_lr_up_past_1e_3():
    trials = lecture_trials(COARSE, "coarse")
    lr, why = next_range("lr", Range(1e-6, 1e-3), trials)
    assert lr.high > 2e-3
    assert lr.low < 1.4e-4  # the third best learning rate is kept
    assert "moved up" in why
    assert "0.001" in why


def test_the_lectures_coarse_table_narrows_regularization_and_drops_the_deadly_end():
    reg, why = next_range("reg", Range(1e-5, 1e5), lecture_trials(COARSE, "coarse"))
    assert reg.high < 1.2e3 * 10  # 1200 and 16000 gave chance
    assert reg.low < 2.2e-4
    assert reg.high > 0.66
    assert "narrowed" in why


def test_the_lectures_fine_table_fires_for_the_lr():
    scale = Range(1e-4, 1e-3)
    trials = lecture_trials(FINE, "fine")
    placed = position_trials("lr", scale.position, trials)
    assert placed.finished[0] == pytest.approx(0.976, abs=0.001)
    assert placed.correlation == pytest.approx(0.81, abs=0.01)
    assert edge(placed) == "high"
    lr, _ = next_range("lr", scale, trials)
    assert lr.low < 5.8e-4
    assert lr.high > 1.5e-3


def test_the_lectures_fine_table_is_silent_for_regularization():
    scale = Range(1e-4, 1.0)
    trials = lecture_trials(FINE, "fine")
    placed = position_trials("reg", scale.position, trials)
    assert placed.correlation == pytest.approx(-0.01, abs=0.005)
    assert edge(placed) == ""
    kept, why = next_range("reg", scale, trials)
    assert kept == scale
    assert "matters little" in why


def test_a_best_trial_at_the_end_by_chance_does_not_move_the_range():
    # The metric does not depend on the value; the best happens to lie at the very end.
    values = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 9e-2]
    metrics = [0.90, 0.93, 0.89, 0.92, 0.88, 0.90, 0.94]
    assert (
        edge(position_trials("lr", Range(1e-4, 1e-1).position, trials_at(list(zip(values, metrics, strict=True)))))
        == ""
    )


def test_a_range_is_not_moved_into_a_region_that_is_known_to_diverge():
    scale = Range(1e-4, 1e-1)
    rising: list[tuple[float, float | None]] = [(1e-4, 0.1), (3e-4, 0.2), (9e-3, 0.7), (1.3e-2, 0.75), (1.5e-2, 0.8)]
    diverged: list[tuple[float, float | None]] = [(2e-2, None), (6e-2, None), (8e-2, None)]
    assert edge(position_trials("lr", scale.position, trials_at(rising))) == "high"
    assert edge(position_trials("lr", scale.position, trials_at([*rising, *diverged]))) == ""
    narrowed, why = next_range("lr", scale, trials_at([*rising, *diverged]))
    assert narrowed.high == pytest.approx(1.5e-2)
    assert "3 of 3 trials diverged" in why


def test_a_range_is_not_moved_past_what_diverged_in_a_former_stage():
    """Seen on CIFAR-10: an extra stage went up to 1.1e-2 although all from 4.1e-3 on had diverged before."""
    coarse = trials_at([(1e-4, 0.2), (1e-3, 0.5), (4.1e-3, None), (6e-3, None), (9e-3, None)])
    fine = trials_at(
        [(1e-3 * 4 ** (position_trials / 11), 0.5 + position_trials / 100) for position_trials in range(12)]
    )
    scale = Range(1e-3, 4.1e-3)
    assert edge(position_trials("lr", scale.position, fine)) == "high"
    assert edge(position_trials("lr", scale.position, fine, [*coarse, *fine])) == ""
    kept, _ = next_range("lr", scale, fine, [*coarse, *fine])
    assert kept.high <= 4.1e-3 * 1.0001
    # Where what diverged lies further away, the range moves half the way to it and says so.
    further = trials_at([(4.8e-3, None), (9e-3, None)])
    moved, why = next_range("lr", scale, fine, [*further, *fine])
    assert moved.high == pytest.approx((4.1e-3 * 4.8e-3) ** 0.5)
    assert "from 0.0048 upwards 2 of 2 trials diverged" in why
    # A single one may have diverged for another hyperparameter's sake.
    moved, _ = next_range("lr", scale, fine, [*further[:1], *fine])
    assert moved.high > 4.8e-3


def test_trials_that_halving_dropped_speak_by_how_far_they_came():
    lrs = [1e-4 * 10 ** (number / 4) for number in range(9)]
    halved = [
        Trial(
            number=number,
            stage="coarse",
            parameters={"lr": lr},
            state=TrialState.COMPLETE if number > 5 else TrialState.PRUNED,
            reason="" if number > 5 else "not among the best 3 of 9 after 1 epoch",
            # After one epoch metrics are higher than after three for the others: they must not be compared.
            metric=0.9 + number / 100 if number <= 5 else 0.5 + number / 100,
            rungs=tuple(Rung(epochs=level, step=level, metric=0.5) for level in ((1,) if number <= 5 else (1, 3))),
        )
        for number, lr in enumerate(lrs)
    ]
    placed = position_trials("lr", Range(1e-4, 1e-2).position, halved)
    assert placed.finished[0] == pytest.approx(1.0)
    assert placed.correlation == pytest.approx(1.0)
    assert edge(placed) == "high"


def test_trials_that_the_user_interrupted_do_not_count_as_diverged():
    trials = [
        Trial(number=0, stage="coarse", parameters={"lr": 0.05}, state=TrialState.PRUNED, reason="interrupted"),
        Trial(number=1, stage="coarse", parameters={"lr": 0.06}, state=TrialState.PRUNED, reason="failed: OOM"),
    ]
    assert position_trials("lr", Range(1e-4, 1e-1).position, trials).stopped == ()


def test_when_every_trial_diverged_the_lr_goes_below_the_lowest_tried_and_other_ranges_stay():
    trials = trials_at([(3.0, None), (20.0, None), (90.0, None)])
    lr, why = next_range("lr", Range(1.0, 100.0), trials)
    assert lr.high == pytest.approx(3.0)
    assert lr.low == pytest.approx(0.03)
    assert "all 3 trials diverged" in why
    decay = Range(1e-6, 1e-2)
    kept, why = next_range("weight_decay", decay, trials_at([(1e-4, None)], "weight_decay"))
    assert kept == decay
    assert "no trial finished" in why


def test_a_share_is_never_moved_past_its_limits():
    scale = Range(0.0, 0.5, linear=True)
    falling: list[tuple[float, float | None]] = [(value, 1 - value) for value in (0.01, 0.1, 0.2, 0.3, 0.4, 0.5)]
    moved, _ = next_range("dropout", scale, trials_at(falling, "dropout"))
    assert moved.low == 0.0
    assert moved.high < 0.5
    rising: list[tuple[float, float | None]] = [(value, 1 - (metric or 0)) for value, metric in falling]
    moved, _ = next_range("dropout", Range(0.0, 0.9, linear=True), trials_at(rising, "dropout"))
    assert moved.high <= 0.95


@pytest.mark.parametrize(
    ("name", "scale"), [("batch_size", Range(1.0, 64.0)), ("hidden", Range(1.0, 8.0)), ("depth", Range(1, 8))]
)
def test_what_counts_something_is_never_moved_below_one(name: str, scale: Range):
    falling: list[tuple[float, float | None]] = [
        (scale.value(position_trials / 11), 1 - position_trials / 11) for position_trials in range(12)
    ]
    moved, _ = next_range(name, scale, trials_at(falling, name))
    assert isinstance(moved, Range)
    assert moved.low == 1
    assert moved.whole == scale.whole  # so that the stage after the next knows it too


def test_a_real_number_is_moved_below_one():
    scale = Range(1, 8)
    falling: list[tuple[float, float | None]] = [
        (scale.value(position_trials / 11), 1 - position_trials / 11) for position_trials in range(12)
    ]
    moved, _ = next_range("weight_decay", scale, trials_at(falling, "weight_decay"))
    assert isinstance(moved, Range)
    assert moved.low < 1


@pytest.mark.parametrize(
    ("name", "ends", "recommendation"),
    [
        ("momentum", (0.5, 0.97), "momentum=0.73..0.999"),
        ("dropout", (0.5, 0.9), "dropout=0.7..0.95"),
        ("beta1", (0.5, 0.9999), ""),
        ("lr_decay", (0.5, 1.0), ""),
    ],
)
def test_advice_never_names_a_value_that_has_no_meaning(name: str, ends: tuple[float, float], recommendation: str):
    run = searched(lambda values: values[name], {name: ends}, log=False)
    found = list(best_at_edge.find(run, {}))
    assert [one.recommendation for one in found] == ([f"Search again with {recommendation}."] if recommendation else [])


def test_advice_is_silent_below_a_count_of_one():
    run = searched(lambda values: 1 / values["depth"], {"depth": (1, 8)})
    assert not list(best_at_edge.find(run, {}))


def test_a_choice_loses_only_the_values_that_the_better_half_does_not_have():
    def trial(number: int, hidden: int, metric: float) -> Trial:
        return Trial(number=number, stage="c", parameters={"hidden": hidden}, state=TrialState.COMPLETE, metric=metric)

    trials = [trial(0, 16, 0.3), trial(1, 64, 0.9), trial(2, 16, 0.4), trial(3, 32, 0.8)]
    left, why = next_range("hidden", Categorical((16, 32, 64, 128)), trials)
    assert left == Categorical((32, 64, 128))  # 128 was never tried
    assert "16" in why


@given(
    optimum=st.floats(0.0, 1.0),
    positions=st.lists(st.floats(0.0, 1.0), min_size=6, max_size=30, unique=True),
)
def test_for_any_single_peak_the_next_range_holds_the_best_trial_and_is_legal(optimum: float, positions: list[float]):
    scale = Range(1e-5, 1e-1)
    pairs = [(min(max(scale.value(u), 1e-5), 1e-1), -((u - optimum) ** 2)) for u in positions]
    moved, why = next_range("lr", scale, trials_at(pairs))
    best = max(pairs, key=lambda pair: pair[1])[0]
    assert moved.low <= best * (1 + 1e-9)
    assert best <= moved.high * (1 + 1e-9)
    assert why


@given(gap=st.floats(0.1, 1.5))
def test_an_optimum_beyond_the_end_is_always_approached(gap: float):
    scale = Range(1e-5, 1e-2)
    pairs = [(scale.value(i / 15), -((i / 15 - (1 + gap)) ** 2)) for i in range(16)]
    moved, _ = next_range("lr", scale, trials_at(pairs))
    assert moved.high > scale.high * 1.2
    mirrored = [(scale.value(1 - i / 15), metric) for i, (_, metric) in enumerate(pairs)]
    moved, _ = next_range("lr", scale, trials_at(mirrored))
    assert moved.low < scale.low / 1.2


@given(
    metrics=st.lists(st.floats(0, 1), min_size=5, max_size=12),
    low=st.sampled_from([0.0, 1e-3, 0.2]),
    high=st.sampled_from([0.5, 0.9, 0.95]),
)
def test_a_next_range_can_always_be_searched(metrics: list[float], low: float, high: float):
    for linear in (True, False):
        if low == 0 and not linear:
            continue
        scale = Range(low, high, linear=linear)
        ends = len(metrics) - 1
        trials = trials_at(
            [(min(max(scale.value(i / ends), low), high), m) for i, m in enumerate(sorted(metrics))], "dropout"
        )
        moved, _ = next_range("dropout", scale, trials)
        Space({"dropout": moved})  # refuses what cannot be
        assert moved.low < moved.high


def test_with_few_trials_chance_rarely_moves_a_range_and_an_optimum_beyond_mostly_does():
    generator = np.random.default_rng(0)

    def moved(peak: float | None) -> float:
        fired = 0
        for _ in range(400):
            where = generator.random(8)
            metrics = generator.normal(size=8) if peak is None else -((where - peak) ** 2)
            order = np.argsort(-metrics)
            placed = PositionedTrials(finished=tuple(where[order]), metrics=tuple(metrics[order]), stopped=())
            fired += edge(placed) != ""
        return fired / 400

    assert moved(None) < 0.04
    assert moved(1.3) > 0.9


CHANCE = Constant(metric=0.1, samples=300, loss=2.303)


def barely_trained(lrs: np.ndarray, *, loss: Callable[[float], float]) -> list[Trial]:
    """Trials whose accuracies are noise around chance, and whose training losses are these."""
    noise = np.random.default_rng(0).normal(0.1, 0.03, len(lrs))
    return [
        Trial(
            number=number,
            stage="coarse",
            parameters={"lr": float(lr)},
            state=TrialState.COMPLETE,
            metric=float(metric),
            last_costs=(loss(float(lr)),) * 3,
        )
        for number, (lr, metric) in enumerate(zip(lrs, noise, strict=True))
    ]


@pytest.mark.parametrize(("sign", "way"), [(-1, "moved up"), (1, "moved down")])
def test_while_no_trial_beats_a_constant_answer_the_training_loss_says_where_to_look(sign: int, way: str):
    lrs = np.geomspace(1e-6, 1e-4, 16)
    trials = barely_trained(lrs, loss=lambda lr: 2.303 + sign * 100 * lr)
    scale = Range(1e-6, 1e-4)
    moved, why = next_range("lr", scale, trials, constant=CHANCE)
    assert isinstance(moved, Range)
    assert why.startswith(f"{way}: the lowest training losses (no trial beat a constant prediction)")
    assert moved.high / moved.low > 100
    assert (moved.high == pytest.approx(1e-2)) if sign < 0 else (moved.low == pytest.approx(1e-8))


def test_a_range_is_not_narrowed_around_trials_that_learned_nothing():
    trials = barely_trained(np.geomspace(1e-6, 1e-4, 16), loss=lambda lr: 2.303)
    assert next_range("lr", Range(1e-6, 1e-4), trials, constant=CHANCE) == (
        Range(1e-6, 1e-4),
        "unchanged: no trial beat a constant prediction, so none shows where to narrow",
    )
    choice = Categorical((1, 2))
    assert next_range("lr", choice, trials, constant=CHANCE)[0] is choice


def test_where_a_trial_learned_the_metric_decides_and_not_the_loss():
    trials = barely_trained(np.geomspace(1e-4, 1e-2, 16), loss=lambda lr: 1.0 - lr)
    assert next_range("lr", Range(1e-4, 1e-2), trials, constant=CHANCE) == next_range("lr", Range(1e-4, 1e-2), trials)
