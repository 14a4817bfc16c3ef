from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from babysit.cli.boxes import preflight
from babysit.cli.probe_words import TITLES, measured_and_expected
from babysit.cli.terminal import out
from babysit.data.samples import Samples
from babysit.data.sources import load_data
from babysit.data.splits import split
from babysit.nn.builders import mlp
from babysit.nn.preprocess import Standardize
from babysit.probes.check import CheckSettings, check
from babysit.records.probe import Outcome, ProbeResult
from babysit.tuning.population.rates import RateTrial


@pytest.fixture(scope="module")
def probes() -> tuple[ProbeResult, ...]:
    train = split(load_data("digits")).train
    torch.manual_seed(0)
    model = torch.nn.Sequential(Standardize.fit(train.x), mlp(64, 10, batch_norm=True))
    return check(model, train, settings=CheckSettings(try_rates=_two_losses))


def _two_losses(
    model: torch.nn.Module, samples: Samples, rates: Sequence[float], steps: int, seed: int
) -> list[RateTrial]:
    """In place of the trainings, whose result is of no interest here."""
    return [RateTrial(rate, (2.3, 1.0), "") for rate in rates]


def test_every_probe_has_a_title_and_words_for_what_it_measured(probes: tuple[ProbeResult, ...]) -> None:
    assert [probe.name for probe in probes] == list(TITLES)
    assert all(measured_and_expected(probe)[0] for probe in probes)


def test_the_box_shows_measured_beside_expected(probes: tuple[ProbeResult, ...]) -> None:
    console = out()
    console.width = 120
    with console.capture() as caught:
        console.print(preflight(probes))
    lines = caught.get().splitlines()
    initial = next(line for line in lines if "initial loss " in line)
    assert f"{next(p for p in probes if p.name == 'initial-loss').measured['loss']:.3f}" in initial
    assert "ln 10 = 2.303" in initial
    assert "ok" in initial
    assert any("accuracy 100%" in line for line in lines)


@pytest.mark.parametrize("name", [*TITLES, "a probe of a later babysit"])
def test_a_probe_that_could_not_be_run_has_no_words(name: str) -> None:
    assert measured_and_expected(ProbeResult(name=name, outcome=Outcome.SKIPPED)) == ("", "")
