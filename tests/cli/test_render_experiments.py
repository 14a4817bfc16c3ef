from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from babysit.cli.render import preflight
from babysit.cli.render_experiments import TITLES, measured_and_expected
from babysit.cli.terminal import out
from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.experiments.check import CheckSettings, check
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.records.experiment import ExperimentResult, Outcome
from babysit.tuning.vectorized.lr_trials import LRTrial


@pytest.fixture(scope="module")
def experiments() -> tuple[ExperimentResult, ...]:
    train = split(load_data("digits")).train
    torch.manual_seed(0)
    model = torch.nn.Sequential(Standardize.fit(train.x), mlp(64, 10, batch_norm=True))
    return check(model, train, settings=CheckSettings(try_lrs=_two_losses))


def _two_losses(model: torch.nn.Module, samples: Samples, lrs: Sequence[float], steps: int, seed: int) -> list[LRTrial]:
    """In place of the trainings, whose result is of no interest here."""
    return [LRTrial(lr, (2.3, 1.0), "") for lr in lrs]


def test_every_experiment_has_a_title_and_words_for_what_it_measured(experiments: tuple[ExperimentResult, ...]) -> None:
    assert [experiment.name for experiment in experiments] == list(TITLES)
    assert all(measured_and_expected(experiment)[0] for experiment in experiments)


def test_the_box_shows_measured_beside_expected(experiments: tuple[ExperimentResult, ...]) -> None:
    console = out()
    console.width = 120
    with console.capture() as caught:
        console.print(preflight(experiments))
    lines = caught.get().splitlines()
    initial = next(line for line in lines if "initial loss " in line)
    assert f"{next(p for p in experiments if p.name == 'initial-loss').measured['loss']:.3f}" in initial
    assert "ln 10 = 2.303" in initial
    assert "ok" in initial
    assert any("accuracy 100%" in line for line in lines)


@pytest.mark.parametrize("name", [*TITLES, "an experiment of a later babysit"])
def test_a_experiment_that_could_not_be_run_has_no_words(name: str) -> None:
    assert measured_and_expected(ExperimentResult(name=name, outcome=Outcome.SKIPPED)) == ("", "")
