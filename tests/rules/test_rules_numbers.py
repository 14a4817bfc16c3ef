"""Numbers in sentences are numbers of the record, named as what they are."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np
import pytest

from babysit.analysis.loss_curve import levels
from babysit.records.curves import TRAIN_LOSS, VAL_LOSS
from babysit.records.finding import Finding
from babysit.records.run import Run
from babysit.rules.catalogue import RULES
from babysit.rules.engine import judge
from babysit.rules.examples import diverging, example_run, falling, flat

NOISE = np.random.default_rng(3)
BATCH_OF_ONE = np.r_[3e-4, 0.02, 1.3, np.exp(NOISE.standard_normal(397) - 0.5)]
SYNTHETIC: dict[str, Callable[[], Run]] = {
    "explodes within the opening": lambda: example_run(
        loss=np.r_[4.15, 4.3, 4.0, 9e2, 4e5, 1.9e8, 3e8, 2e9, 1e9, 1.5e9, np.full(390, 1e9)]
    ),
    "one spike in the opening": lambda: example_run(loss=np.r_[4.15, 4.3, 4.0, 4.2, 1.9e9, 4.1, flat(4.0, steps=394)]),
    "explodes at once": lambda: example_run(loss=np.r_[2.3, 40.0, 9e3, np.full(397, 1e7)]),
    "batches of one": lambda: example_run(
        loss=BATCH_OF_ONE, facts={"batch_size": 1}, layer_metrics={"update_ratio": 0.01}
    ),
    "never a number": lambda: example_run(loss=np.full(400, np.nan)),
    "NaN late": lambda: example_run(loss=diverging(2.3), layer_metrics={"update_ratio": 0.5}),
    "falls and rises": lambda: example_run(loss=np.r_[falling(2.4, 0.4, steps=200), flat(2.3, steps=200)]),
    "validation with a lucky look": lambda: example_run(
        loss=falling(2.3, 0.01),
        curves={VAL_LOSS: np.r_[2.3, 2.25, 2.21, 2.22, 2.3, 2.19, 2.4, np.linspace(2.5, 4.0, 13)]},
    ),
    "validation best at once": lambda: example_run(
        loss=falling(2.3, 0.01), curves={VAL_LOSS: np.linspace(2.2, 5.0, 12)}
    ),
}
RUNS = SYNTHETIC | {
    f"{rule.code} {place}": build for rule in RULES for place, build in enumerate((*rule.fires_on, *rule.silent_on))
}
runs = pytest.mark.parametrize("build", RUNS.values(), ids=RUNS.keys())


def losses(run: Run, name: str = TRAIN_LOSS) -> np.ndarray:
    values = np.asarray(run.curves.get(name).values, dtype=np.float64)
    return values[np.isfinite(values)]


def number_after(words: str, text: str) -> list[float]:
    """Every number that follows these words."""
    return [float(one) for one in re.findall(words + r" (-?\d[\d.,]*(?:e[+-]?\d+)?)", text.replace(",", ""))]


def told(run: Run) -> list[Finding]:
    return list(judge(run))


@runs
def test_a_sentence_says_no_nan_where_a_number_belongs(build: Callable[[], Run]) -> None:
    for finding in told(build()):
        assert not re.search(r"\bnan\b|\binf\b", finding.message), finding.message
        bad = [name for name, value in finding.evidence.items() if isinstance(value, float) and not np.isfinite(value)]
        assert not bad or finding.code == "S002", (finding.code, bad)  # a range that begins at 0 spans no decades


@runs
def test_starts_ends_and_lowest_values_are_those_of_the_curve(build: Callable[[], Run]) -> None:
    run = build()
    values, validation = losses(run), losses(run, VAL_LOSS)
    for finding in told(run):
        seen = finding.evidence
        if "start_loss" in seen:
            least, most = values[:10].min(), np.sort(values[:10])[: max(3, len(values[:10]) // 2 + 1)].max()
            assert least <= float(seen["start_loss"]) <= max(most, values[:3].max()), (finding.code, seen)
        if "first_loss" in seen:
            assert seen["first_loss"] == values[0]
            assert number_after("The initial loss is", finding.message) == [pytest.approx(values[0], rel=6e-3)]
        if "lowest_loss" in seen:
            own = [one.lowest_value for one in run.model_summary.objectives] if run.model_summary else []
            assert seen["lowest_loss"] in (values.min(), *own)
        if "end_loss" in seen:
            late = values[-max(5, len(values) // 10) :]
            assert late.min() <= float(seen["end_loss"]) <= late.max()
            assert float(seen["end_loss"]) == pytest.approx(late.mean())
        if "best_step" in seen:
            assert seen["best_validation"] == validation.min()
            series = run.curves.get(VAL_LOSS)
            assert seen["best_step"] == series.steps[int(np.argmin(series.values))]


@runs
def test_what_a_sentence_calls_start_or_end_says_of_which_values_it_is(build: Callable[[], Run]) -> None:
    run = build()
    level = levels(run)
    for finding in told(run):
        shown = {name: finding.evidence[name] for name in ("start_loss", "end_loss") if name in finding.evidence}
        for name, value in shown.items():
            if level is None or f"{value:.4g}" not in finding.message or "the last value was" in finding.message:
                continue
            of = level.start_of if name == "start_loss" else level.end_of
            assert f"{value:.4g} ({of})" in finding.message, finding.message


def test_the_start_of_a_run_that_explodes_is_before_the_explosion() -> None:
    for name in ("explodes within the opening", "one spike in the opening", "explodes at once"):
        level = levels(SYNTHETIC[name]())
        assert level is not None
        assert 2.2 < level.start < 4.4, name


def test_the_start_of_single_sample_losses_is_their_level_and_not_the_first_of_them() -> None:
    level = levels(SYNTHETIC["batches of one"]())
    assert level is not None
    assert 0.3 < level.start < 2.0
    assert "mean of the first" in level.start_of


def test_the_lowest_validation_loss_is_that_of_the_curve() -> None:
    found = [one for one in told(SYNTHETIC["validation with a lucky look"]()) if one.code == "F901"]
    assert found[0].evidence["best_validation"] == 2.19
    assert "(2.19)" in found[0].message
    assert f"step {found[0].evidence['best_step']}" in found[0].recommendation


def test_the_scale_of_signals_and_biases_is_what_was_measured() -> None:
    signal = next(
        one for one in told(example_run(loss=falling(80.0, 3.0), layer_metrics={"weight_rms": 1.0, "output_std": 0.98}))
    )
    assert signal.code == "I303"
    assert "standard deviation of the outputs was 0.98 in the first layer and 0.98 in the last" in signal.message
    bias = next(one for one in told(example_run(loss=flat(2.3), layer_metrics={"bias_rms": 3.0})) if one.code == "I306")
    assert "root mean square of 3," in bias.message
