"""Many layers become few rows, in order, without losing one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.plots.layer_groups import group_layers


@given(st.lists(st.text("ab.", max_size=8), min_size=1, max_size=300), st.integers(4, 60))
def test_every_layer_is_in_exactly_one_row_and_in_order(names, limit):
    folds = group_layers(names, limit)
    assert len(folds) <= limit
    assert [index for group in folds for index in group.indices] == list(range(len(names)))


def test_few_layers_keep_a_row_each():
    assert [group.label for group in group_layers(["a.0", "a.1", "b"])] == ["a.0", "a.1", "b"]


def test_layers_of_one_block_share_a_row():
    names = [f"blocks.{block}.part{part}" for block in range(25) for part in range(4)]
    folds = group_layers(names)
    assert len(folds) == 25
    assert folds[3].label == "blocks.3 (4 layers)"
    assert folds[3].indices == (12, 13, 14, 15)


@pytest.mark.parametrize("names", [[f"layer{i}" for i in range(1000)], [f"blocks.{i}" for i in range(1000)]])
def test_a_thousand_layers_without_useful_prefixes_are_split_evenly(names):
    folds = group_layers(names)
    assert 40 <= len(folds) <= 60
    assert "…" in folds[0].label
