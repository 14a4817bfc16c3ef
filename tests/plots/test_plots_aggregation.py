"""Reducing against a slow, obvious version."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from babysit.plots.aggregation import Aggregation, aggregate

VALUES = st.one_of(st.floats(-100, 100), st.just(np.nan), st.just(np.inf), st.just(-np.inf))


def slow(values, how, usual):
    known = sorted(value for value in values if not np.isnan(value))
    if not known:
        return np.nan
    if how == Aggregation.MEDIAN:
        return known[(len(known) - 1) // 2]
    return known[-1] if how == Aggregation.HIGHEST else max(abs(value - usual) for value in known)


@pytest.mark.parametrize("how", list(Aggregation))
@given(data=st.data())
def test_each_group_is_reduced_as_the_slow_version_says(how, data):
    table = data.draw(arrays.arrays("float64", st.tuples(st.integers(1, 12), st.integers(1, 4)), elements=VALUES))
    group = np.sort(np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(table), max_size=len(table)))))
    result = aggregate(table, group, how, usual=-3.0)
    assert result.shape == (table.shape[1], group.max() + 1)
    for column in range(table.shape[1]):
        for index in range(group.max() + 1):
            expected = slow(table[group == index, column], how, -3.0)
            got = result[column, index]
            got = abs(got + 3.0) if how == Aggregation.FARTHEST else got
            np.testing.assert_equal(got, expected)


def test_one_dead_layer_among_many_is_not_averaged_away():
    table = np.zeros((50, 1))
    table[17] = 0.95
    assert aggregate(table, np.zeros(50, dtype=int), Aggregation.HIGHEST)[0, 0] == 0.95
