"""The look: contrast on light and dark, and axes that always carry labels."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.plots.theme import COLOURS, DASHES, SHAPES, log_axis, log_scale, log_ticks


def luminance(colour):
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("paper", ["#ffffff", "#14161a"])
@pytest.mark.parametrize("colour", COLOURS)
def test_every_colour_can_be_seen_on_light_and_dark(colour, paper):
    assert contrast(colour, paper) >= 3.0  # WCAG 2.1, 1.4.11


def test_every_line_differs_by_dash_and_shape_as_well_as_colour():
    assert len(COLOURS) == len({*map(tuple, DASHES)}) == len(set(SHAPES))


@pytest.mark.drawing
@given(st.floats(-30, 30), st.floats(0, 60))
def test_a_logarithmic_axis_has_labels_within_its_scale_and_not_too_many(start, decades):
    low, high = 10**start, 10 ** (start + decades)
    domain = log_scale(low, high).to_dict()["domain"]
    values = log_axis("x", low, high).to_dict()["values"]
    assert domain[0] <= low <= high <= domain[1]
    assert all(domain[0] <= value <= domain[1] for value in values)
    assert 1 <= len(values) <= 11


def test_few_decades_are_labelled_at_one_two_and_five():
    assert log_ticks(0.09, 2.3) == [0.1, 0.2, 0.5, 1.0, 2.0]
    assert log_ticks(1e-6, 2.0) == [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1.0]
