from __future__ import annotations

import math

from babysit.tuning.early_termination import EXPLODED, INFINITE, NOT_A_NUMBER, stop_reason


def test_a_cost_that_stays_above_three_times_the_first_stops_the_trial():
    assert stop_reason(2.3, [2.3, 8.0, 8.0, 8.0, 8.0]) == EXPLODED


def test_a_single_noisy_batch_does_not_stop_it():
    assert stop_reason(2.3, [2.3, 2.2, 50.0, 2.1, 2.0]) == ""
    assert stop_reason(2.3, [2.3, 50.0]) == ""


def test_a_cost_just_below_three_times_the_first_goes_on():
    assert stop_reason(2.0, [5.9] * 5) == ""
    assert stop_reason(2.0, [6.1] * 5) == EXPLODED


def test_nan_and_infinity_stop_it_at_once():
    assert stop_reason(2.3, [math.nan]) == NOT_A_NUMBER
    assert stop_reason(2.3, [2.3, math.inf]) == INFINITE
