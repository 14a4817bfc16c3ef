"""Losses and scores by task."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

from babysit.nn.losses import expected_initial_loss, loss_for, score
from babysit.records.errors import UserError
from babysit.records.model_summary import Task

REAL = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
KNOWS_NOTHING = [
    (Task.CLASSES, torch.zeros(200, 5), torch.arange(200) % 5),
    (Task.SEQUENCE, torch.zeros(20, 7, 5), torch.arange(140).reshape(20, 7) % 5),
    (Task.BINARY, torch.zeros(200, 1), torch.arange(200) % 2),
    (Task.MULTILABEL, torch.zeros(100, 3), torch.arange(300).reshape(100, 3).remainder(2).float()),
    (Task.REGRESSION, REAL.mean(0).expand(200, 2), REAL),
]


@pytest.mark.parametrize(("task", "output", "y"), KNOWS_NOTHING, ids=[case[0].value for case in KNOWS_NOTHING])
def test_a_network_that_knows_nothing_has_the_expected_loss(task, output, y):
    assert loss_for(task)(output, y).item() == pytest.approx(expected_initial_loss(task, y), rel=1e-5)


def test_the_number_of_outputs_decides_and_not_the_classes_that_happen_to_be_seen():
    assert expected_initial_loss(Task.CLASSES, torch.tensor([0, 1]), outputs=10) == pytest.approx(2.302585)


@given(st.integers(0, 100), st.integers(1, 3))
def test_the_explained_share_is_that_of_scikit_learn(seed, columns):
    torch.manual_seed(seed)
    y, output = torch.randn(20, columns), torch.randn(20, columns)
    name, value = score(Task.REGRESSION, output, y)
    assert name == "r2"
    assert value == pytest.approx(r2_score(y.double().numpy(), output.double().numpy()), rel=1e-5, abs=1e-6)


def test_targets_that_never_change_are_scored_one_when_met_and_zero_else():
    y = torch.ones(4, 1)
    assert score(Task.REGRESSION, y, y) == ("r2", 1.0)
    assert score(Task.REGRESSION, y + 1, y) == ("r2", 0.0)


def test_accuracy_counts_right_answers():
    logits = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0]])
    assert score(Task.CLASSES, logits, torch.tensor([0, 1, 1])) == ("accuracy", pytest.approx(2 / 3))
    assert score(Task.BINARY, torch.tensor([[1.0], [-1.0]]), torch.tensor([1, 1])) == ("accuracy", 0.5)
    labels = torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert score(Task.MULTILABEL, torch.tensor([[3.0, -1.0], [2.0, -2.0]]), labels) == ("accuracy", 0.75)


def test_outputs_of_one_axis_are_not_stretched_against_targets_of_two():
    y, output = torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1.0, 2.0, 3.0])
    assert loss_for(Task.REGRESSION)(output, y).item() == 0
    with pytest.raises(UserError, match=r"shape \(3, 2\) for targets of shape \(3, 1\).*1 outputs"):
        loss_for(Task.REGRESSION)(torch.zeros(3, 2), y)


def test_an_unknown_task_is_refused_in_words():
    for call in (
        lambda: loss_for(Task.UNKNOWN),
        lambda: expected_initial_loss(Task.UNKNOWN, torch.zeros(1)),
        lambda: score(Task.UNKNOWN, torch.zeros(1), torch.zeros(1)),
    ):
        with pytest.raises(UserError, match="'unknown'"):
            call()
