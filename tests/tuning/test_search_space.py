from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from babysit.records.errors import UserError
from babysit.tuning.space import Categorical, Condition, Range, Space
from babysit.tuning.space_parser import read_space, text_of


@pytest.mark.parametrize(
    ("low", "high", "words"),
    [
        (1e-1, 1e-4, "below its high end"),
        (1e-3, 1e-3, "below its high end"),
        (0.0, 1.0, "at or below zero"),
        (-1.0, 1.0, "at or below zero"),
        (math.nan, 1.0, "finite"),
        (1e-4, math.inf, "finite"),
    ],
)
def test_an_impossible_range_is_refused_in_words(low: float, high: float, words: str):
    with pytest.raises(UserError, match=words):
        Range(low, high)


def test_a_reversed_range_is_told_how_to_turn_it_round():
    with pytest.raises(UserError, match=r"Use 0\.0001\.\.0\.1"):
        Range(1e-1, 1e-4)


def test_the_text_form_gives_log_ranges_choices_and_linear_shares():
    space = read_space("lr=1e-4..1e-1 weight_decay=1e-6..1e-2 hidden=32,64 dropout=0..0.5 optimizer=adam,sgd")
    assert space.dimensions["lr"] == Range(1e-4, 1e-1)
    assert space.dimensions["hidden"] == Categorical((32, 64))
    assert space.dimensions["dropout"] == Range(0.0, 0.5, linear=True)
    assert space.dimensions["optimizer"] == Categorical(("adam", "sgd"))
    assert read_space(["lr=1e-4..1e-1", "width=1..5:linear"]).dimensions["width"] == Range(1, 5, linear=True)
    assert read_space("dropout=0.01..0.5:log").dimensions["dropout"] == Range(0.01, 0.5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "nothing to search"),
        ("lr", "expected name=values"),
        ("lr=", "expected name=values"),
        ("=1..2", "expected name=values"),
        ("lr=1e-4..", "two numbers"),
        ("lr=low..high", "two numbers"),
        ("lr=1e-4...1e-1", "two numbers"),
        ("lr=1e-1..1e-4", "below its high end"),
        ("lr=nan..1", "finite"),
        ("lr=0..1", "lr=0..1:linear"),
        ("lr=1..2:quadratic", "linear or log"),
        ("lr=1..2 lr=3..4", "given twice"),
        ("hidden=32,,64", "empty value between two commas"),
        ("hidden=32,32", "same value twice"),
        ("dropout=0..1.5", "between 0 and 0.95"),
        ("my-lr=1..2", "not a valid hyperparameter name"),
    ],
)
def test_a_mistyped_space_is_one_clear_line(text: str, words: str):
    with pytest.raises(UserError) as caught:
        read_space(text)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_whole_ends_stay_whole_and_a_batch_has_a_sample():
    space = read_space("depth=1..8 lr=1e-4..1")
    assert space.scales["depth"].whole
    assert not space.scales["lr"].whole
    assert read_space(text_of(space)).scales["depth"].whole
    with pytest.raises(UserError, match="batch_size must lie at 1 or above"):
        read_space("batch_size=0.5..32")


def test_a_scale_searched_linearly_over_decades_is_warned_about():
    space = Space({"lr": Range(1e-4, 1e-1, linear=True), "dropout": Range(0, 0.5, linear=True), "b": Range(1, 9)})
    assert set(space.warnings) == {"lr"}
    assert "90 % of the trials lie above 0.01" in space.warnings["lr"]


@given(
    low=st.floats(1e-9, 1e3),
    factor=st.floats(1.001, 1e9),
    position=st.floats(-1, 2),
    linear=st.booleans(),
)
def test_position_and_value_are_inverse(low: float, factor: float, position: float, linear: bool):
    scale = Range(low, low * factor, linear=linear)
    value = scale.value(position)
    if linear and value == 0:
        return
    if linear or value > 0:
        assert scale.position(value) == pytest.approx(position, abs=1e-6)


def test_the_middle_of_a_log_range_is_its_geometric_mean():
    assert Range(1e-4, 1e-2).value(0.5) == pytest.approx(1e-3)
    assert Range(0, 10, linear=True).value(0.5) == pytest.approx(5)


def test_a_condition_is_read_and_written_and_only_active_where_it_holds():
    text = "optimizer=sgd,adam momentum=0.5..0.99@optimizer=sgd beta1=0.8..0.95@optimizer=adam lr=1e-4..1e-1"
    space = read_space(text)
    assert space.when == {"momentum": Condition("optimizer", ("sgd",)), "beta1": Condition("optimizer", ("adam",))}
    assert read_space(text_of(space)) == space
    assert space.ordered.index("optimizer") < space.ordered.index("momentum")
    assert space.active("momentum", {"optimizer": "sgd"})
    assert not space.active("momentum", {"optimizer": "adam"})
    assert space.active("lr", {})


def test_a_space_in_one_word_is_read_with_commas_between_its_parts():
    space = read_space(
        "lr=1e-6..1e-3,hidden=32,64,momentum=0.5..0.9@optimizer=sgd,nesterov,optimizer=sgd,nesterov,adam"
    )
    assert list(space.dimensions) == ["lr", "hidden", "momentum", "optimizer"]
    assert space.dimensions["hidden"] == Categorical((32, 64))
    assert space.when["momentum"].values == ("sgd", "nesterov")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("momentum=0.5..0.9@optimizer=sgd", "depends on optimizer, which is not one of the choices"),
        ("optimizer=adam,sgd momentum=0.5..0.9@optimizer=sdg", "optimizer is never sdg"),
        ("optimizer=adam,sgd momentum=0.5..0.9@optimizer", "expected a condition"),
        ("a=1,2@b=1 b=1,2@a=1", "circular conditions"),
    ],
)
def test_a_condition_that_cannot_hold_is_refused_in_one_line(text: str, words: str):
    with pytest.raises(UserError, match=words):
        read_space(text)


def test_a_hyperparameter_falls_away_when_its_condition_can_no_longer_hold():
    space = read_space("optimizer=sgd,adam momentum=0.5..0.99@optimizer=sgd beta1=0.8..0.95@optimizer=adam")
    left = space.narrowed({**space.dimensions, "optimizer": Categorical(("adam",))})
    assert list(left.dimensions) == ["optimizer", "beta1"]
