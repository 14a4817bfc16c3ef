"""Numbers as people write them."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.plots.formatting import count, number, percent


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.08134, "0.0813"),
        (2.302585, "2.3"),
        (0.5, "0.5"),
        (12400, "12,400"),
        (12400.6, "12,401"),
        (3.2e-6, "3.2e-6"),
        (1e-3, "0.001"),
        (5e-4, "5e-4"),
        (1.8e31, "1.8e31"),
        (0, "0"),
        (-0.25, "-0.25"),
        (math.nan, "NaN"),
        (-math.inf, "minus infinite"),
    ],
)
def test_numbers_have_the_digits_they_need(value, words):
    assert number(value) == words


@given(st.floats(-1e300, 1e300))
def test_a_written_number_is_the_number_to_three_digits(value):
    read = float(number(value).replace(",", ""))
    assert math.isclose(read, value, rel_tol=6e-3, abs_tol=5e-324)


@pytest.mark.parametrize(("share", "words"), [(0.978, "97.8 %"), (1.0, "100 %"), (0.0041, "0.41 %"), (0.0, "0 %")])
def test_percentages(share, words):
    assert percent(share) == words


def test_one_is_singular():
    assert (count(1, "step"), count(1200, "step"), count(0, "step")) == ("1 step", "1,200 steps", "0 steps")
