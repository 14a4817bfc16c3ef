"""What the target's values are taken for."""

import numpy as np
import pytest
import torch

from babysit.data.labels import read_target
from babysit.records.errors import UserError
from babysit.records.model_summary import Task


def test_text_labels_are_encoded_and_their_names_kept():
    target = read_target(np.array(["dog", "cat", "dog", "eel"]))
    assert target.class_names == ("cat", "dog", "eel")
    assert target.y.tolist() == [1, 0, 1, 2]


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ([5, 7, 7, 5], ("5", "7")),
        ([-1, 1, 1, -1], ("-1", "1")),
        ([1.0, 2.0, 1.0, 2.0], ("1", "2")),
        ([True, False, True, False], ("False", "True")),
        ([[3], [4], [3], [4]], ("3", "4")),
    ],
)
def test_few_whole_numbers_are_classes_from_0_on(values, names):
    target = read_target(np.array(values))
    assert target.task is Task.CLASSES
    assert target.class_names == names
    assert sorted(set(target.y.tolist())) == [0, 1]
    assert target.y.dtype == torch.int64


@pytest.mark.parametrize(
    "values", [np.linspace(0, 1, 30), np.arange(100) * 3, np.array([0.5, 1.5, 0.5, 1.5]), np.arange(8)]
)
def test_real_numbers_and_many_whole_numbers_are_regression(values):
    target = read_target(values)
    assert target.task is Task.REGRESSION
    assert target.y.shape == (len(values), 1)
    assert target.y.dtype == torch.float32
    assert "regression" in target.note


def test_a_hundred_classes_counted_from_0_with_ten_samples_each_are_classes():
    assert read_target(np.repeat(np.arange(100), 10)).task is Task.CLASSES
    assert read_target(np.repeat(np.arange(100), 9)).task is Task.REGRESSION
    assert read_target(np.repeat(np.arange(1900, 2000), 10)).task is Task.REGRESSION


def test_the_task_given_overrides_what_the_values_suggest():
    assert read_target(np.array([1, 2, 1, 2]), task=Task.REGRESSION).task is Task.REGRESSION
    assert read_target(np.arange(8), task=Task.CLASSES).task is Task.CLASSES


def test_what_was_decided_is_said():
    assert "2 distinct integers: read as classes" in read_target(np.array([1, 2, 1, 2])).note


def test_one_hot_rows_become_class_indices():
    target = read_target(np.eye(3)[[2, 0, 1, 1]])
    assert target.task is Task.CLASSES
    assert target.y.tolist() == [2, 0, 1, 1]
    assert len(target.class_names) == 3


def test_rows_of_several_ones_are_labels_that_hold_together():
    target = read_target(np.array([[1, 1, 0], [0, 0, 0], [0, 1, 1]]))
    assert target.task is Task.MULTILABEL
    assert target.y.dtype == torch.float32


def test_several_real_columns_are_regression_of_all_of_them():
    target = read_target(np.random.default_rng(0).normal(size=(5, 2)))
    assert target.task is Task.REGRESSION
    assert target.y.shape == (5, 2)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([3, 3, 3]), r"all 3 samples are of one class \(3\)"),
        (np.array(["a", "a"]), r"one class \(a\)"),
        (np.array([0.5, np.nan, 0.5]), "1 of 3 samples"),
        (np.array([0.5, np.inf, np.nan]), "2 of 3 samples"),
        (np.array(["a", "", "b"]), "1 of 3 samples have no value"),
        (np.array([0.5, 0.5, 0.5]), "same target"),
        (np.array([1e300, 0.5]), "float32"),
        (np.zeros((2, 2, 2)), "shape"),
        (np.array([None, 1], dtype=object), "object"),
    ],
)
def test_a_target_that_cannot_be_learned_is_refused_in_words(values, words):
    with pytest.raises(UserError, match=words):
        read_target(values)


def test_text_cannot_be_a_regression_target():
    with pytest.raises(UserError, match="text"):
        read_target(np.array(["a", "b"]), task=Task.REGRESSION)
