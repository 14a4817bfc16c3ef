"""The small curve behind a finding."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest

from babysit.records.run import Run
from babysit.reporting.sparkline import _WATCHED, sparkline
from babysit.rules.catalogue import RULES
from babysit.rules.engine import judge
from babysit.testing import synthetic_runs


def heights(spark):
    points = re.search(r'points="([^"]+)"', spark.drawing)[1].split()
    return [float(point.split(",")[1]) for point in points]


def limit_height(spark):
    return float(re.search(r'class="limit"[^>]*y1="([\d.]+)"', spark.drawing)[1])


def test_dying_units_cross_the_limit_of_their_rule():
    run = synthetic_runs.dead_relu_run()
    spark = sparkline(run, run.findings[0])
    assert "dashed: the limit, 0.4" in spark.words
    up = np.array(heights(spark))  # a picture's heights grow downward
    assert up[0] > limit_height(spark) > up[-1]


def test_only_layers_of_the_finding_count():
    run = synthetic_runs.dead_relu_run()
    elsewhere = msgspec.structs.replace(run.findings[0], layers=("hidden.0",))
    assert sparkline(run, elsewhere).words != sparkline(run, run.findings[0]).words


def test_curves_that_end_as_nan_draw_as_far_as_they_go():
    run = synthetic_runs.diverging_run()
    for finding in run.findings:
        spark = sparkline(run, finding)
        assert "nan" not in spark.drawing
        assert "inf" not in spark.drawing


def test_a_rule_without_a_curve_and_a_run_that_kept_none_have_no_drawing():
    run = synthetic_runs.diverging_run()
    assert sparkline(run, msgspec.structs.replace(run.findings[0], code="O201")) is None
    assert all(sparkline(Run(id="x"), finding) is None for finding in run.findings)


@pytest.mark.parametrize("code", sorted(_WATCHED))
def test_each_curve_belongs_to_a_rule_and_is_drawn_from_a_run_that_the_rule_fires_on(code):
    rule = next(rule for rule in RULES if rule.code == code)
    sparks = []
    for example in rule.fires_on:
        run = example()
        found = [finding for finding in judge(run, select=(code,)) if finding.code == code]
        sparks += [sparkline(run, finding) for finding in found]
    assert any(spark is not None for spark in sparks)


@pytest.mark.parametrize("value", [0.0, 1e-300, 1e300, -1.0, np.nan, np.inf])
def test_extreme_values_draw_finite_numbers_or_nothing(value):
    run = synthetic_runs.dead_relu_run()
    tables = {name: np.full(np.shape(table), value) for name, table in run.layer_metrics.values.items()}
    extreme = msgspec.structs.replace(run, layer_metrics=msgspec.structs.replace(run.layer_metrics, values=tables))
    for code in ("A401", "U601", "G501", "G502", "G504"):
        spark = sparkline(extreme, msgspec.structs.replace(run.findings[0], code=code))
        if spark is not None:
            assert np.isfinite(heights(spark)).all()
