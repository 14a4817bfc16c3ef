"""What each loss of torch wants of its input: a complete table, and trainings that give the wrong thing."""

from __future__ import annotations

import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import babysit
from babysit.monitor.monitor import Monitor
from babysit.monitor.operations import LOSSES
from babysit.records.losses import LOSS_INPUTS, Wants, loss_input
from babysit.rules.objective.double_softmax import RULE as DOUBLE

LOSS = re.compile(r"\w+_loss|binary_cross_entropy\w*|kl_div|\w*cross_entropy")


def test_every_loss_of_torch_is_in_the_table_and_nothing_else() -> None:
    known = {name for name in dir(F) if LOSS.fullmatch(name) and not name.startswith("_")}
    assert known <= set(LOSS_INPUTS)
    assert all(hasattr(F, name) or name == "linear_cross_entropy" for name in LOSS_INPUTS)
    assert set(LOSS_INPUTS) >= LOSSES


def test_a_poisson_likelihood_wants_what_its_switch_says() -> None:
    wanted = [loss_input("poisson_nll_loss", log_input=switch) for switch in (None, True, False)]
    assert [one.wants for one in wanted if one] == [Wants.LOG_RATES, Wants.LOG_RATES, Wants.RATES]
    assert loss_input("custom") is None


def ctc(scores: Tensor, labels: Tensor) -> Tensor:
    """Scores of (samples x 8) seen as eight moments of each sample, six symbols."""
    moments = scores.view(-1, 8, 6).transpose(0, 1)
    samples = moments.shape[1]
    lengths = torch.full((samples,), 8), torch.full((samples,), 2)
    return F.ctc_loss(moments, labels.view(-1, 2) + 1, *lengths)


def poisson(scores: Tensor, labels: Tensor, *, log_input: bool) -> Tensor:
    return F.poisson_nll_loss(scores.view(-1, 48)[:, 0], labels.view(-1, 2)[:, 0].float(), log_input=log_input)


def divergence(scores: Tensor, labels: Tensor) -> Tensor:
    wanted = F.one_hot(labels.view(-1, 2)[:, 0], 48) * 0.9 + 0.1 / 48
    return F.kl_div(scores.view(-1, 48), wanted, reduction="batchmean")


WRONG = {
    "ctc_loss of raw scores": ctc,
    "ctc_loss of probabilities": lambda scores, labels: ctc(scores.view(-1, 8, 6).softmax(2), labels),
    "kl_div of raw scores": divergence,
    "kl_div of probabilities": lambda scores, labels: divergence(scores.softmax(1), labels),
    "rates below 0": lambda scores, labels: poisson(scores, labels, log_input=False),
    "exp applied twice": lambda scores, labels: poisson(scores.exp(), labels, log_input=True),
}
RIGHT = {
    "ctc_loss of logarithms": lambda scores, labels: ctc(scores.view(-1, 8, 6).log_softmax(2), labels),
    "kl_div of logarithms": lambda scores, labels: divergence(scores.log_softmax(1), labels),
    "rates": lambda scores, labels: poisson(F.softplus(scores), labels, log_input=False),
    "logarithms of rates": lambda scores, labels: poisson(scores, labels, log_input=True),
}


def watched(loss: object) -> babysit.Run:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 48))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    with Monitor(model, optimizer) as watching:
        for _ in range(30):
            optimizer.zero_grad()
            loss(model(torch.randn(16, 6)), torch.randint(0, 5, (32,))).backward()  # type: ignore[operator]
            optimizer.step()
    return watching.run


@pytest.mark.parametrize("name", WRONG)
def test_a_loss_that_is_given_the_wrong_thing_is_named(name: str) -> None:
    found = [one for one in watched(WRONG[name]).findings if one.code == DOUBLE.code]
    assert [one.severity for one in found if one.severity != "INFO"]
    assert str(found[0].evidence["loss"]) in found[0].message + found[0].recommendation


@pytest.mark.parametrize("name", RIGHT)
def test_a_loss_that_is_given_what_it_wants_is_not(name: str) -> None:
    assert DOUBLE.code not in [one.code for one in watched(RIGHT[name]).findings]
