"""Names from elsewhere are made harmless, short and distinct."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from babysit.plots.names import clean, distinct, short
from babysit.testing.synthetic_runs import HOSTILE_NAMES

ANY_TEXT = st.text(st.characters(), max_size=200)


@given(ANY_TEXT)
def test_a_cleaned_name_can_be_encoded_and_holds_no_control_characters(text):
    cleaned = clean(text)
    cleaned.encode("utf-8")
    assert all(mark.isprintable() or mark == "\ufffd" or mark.isspace() for mark in cleaned)
    assert not set(cleaned) & {"\x1b", "\u202e", "\x00", "\n", "\u200b"}


def test_ordinary_names_of_any_language_stay_as_they_are():
    for name in ("encoder.layers.0.weight", "層.日本語 🐣 résumé", "a b"):
        assert clean(name) == name


@given(ANY_TEXT, st.integers(5, 80))
def test_a_short_name_is_no_longer_than_its_limit(text, limit):
    assert len(short(text, limit)) <= limit


def test_a_long_name_keeps_both_its_ends():
    assert short("encoder." + "x" * 100 + ".weight", 20).startswith("encoder")
    assert short("encoder." + "x" * 100 + ".weight", 20).endswith(".weight")


@given(st.lists(ANY_TEXT, max_size=12))
def test_distinct_names_are_as_many_as_were_given_and_all_different(names):
    labels = distinct(names, 12)
    assert len(labels) == len(set(labels)) == len(names)
    assert all(labels)


def test_two_names_of_ten_thousand_characters_stay_apart():
    assert len(set(distinct(HOSTILE_NAMES))) == len(HOSTILE_NAMES)
