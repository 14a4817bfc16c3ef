from __future__ import annotations

import numpy as np
import optuna
import pytest

from babysit.records.problem import UserError
from babysit.tuning.sampler import SAMPLERS, ask, grid, new_study
from babysit.tuning.space import Choice, Scale, Space

SPACE = Space({"rate": Scale(1e-4, 1e-1), "weight_decay": Scale(1e-6, 1e-2), "hidden": Choice((32, 64))})


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_draws_inside_the_space_and_the_same_again_for_the_same_seed(name: str):
    def drawn(seed: int) -> list[dict[str, object]]:
        study = new_study(SPACE, name, seed=seed, trials=8)
        asked = []
        for _ in range(8):
            (trial,) = ask(study, SPACE, 1)
            study.tell(trial, -abs(np.log10(trial.params["rate"]) + 3))
            asked.append(dict(trial.params))
        return asked

    first = drawn(3)
    assert first == drawn(3)
    assert all(1e-4 <= trial["rate"] <= 1e-1 and trial["hidden"] in (32, 64) for trial in first)
    if name != "grid":
        assert first != drawn(4)


def test_random_draws_are_even_per_factor_of_ten():
    study = new_study(SPACE, seed=0, trials=600)
    rates = np.log10([trial.params["rate"] for trial in ask(study, SPACE, 600)])
    for low in (-4, -3, -2):
        assert abs(np.mean((rates >= low) & (rates < low + 1)) - 1 / 3) < 0.06


def test_a_grid_takes_no_more_points_than_allowed_and_reaches_both_ends():
    points = grid(SPACE, 20)
    assert len(points) == 18  # 3 x 3 x 2
    assert sorted({point["rate"] for point in points}) == pytest.approx([1e-4, 10**-2.5, 1e-1])
    assert {point["hidden"] for point in points} == {32, 64}
    assert len({tuple(point.values()) for point in points}) == 18


def test_the_known_configuration_is_proposed_first():
    known = {"rate": 0.01, "weight_decay": 1e-3, "hidden": 64}
    for name in SAMPLERS:
        study = new_study(SPACE, name, seed=0, trials=4, known=known)
        assert ask(study, SPACE, 1)[0].params == known


def test_an_unknown_sampler_is_named_with_the_known_ones():
    with pytest.raises(UserError, match="random, grid, qmc, tpe"):
        new_study(SPACE, "genetic", seed=0, trials=1)


def test_optunas_verbosity_is_left_as_it_was():
    before = optuna.logging.get_verbosity()
    new_study(SPACE, seed=0, trials=1)
    assert optuna.logging.get_verbosity() == before
