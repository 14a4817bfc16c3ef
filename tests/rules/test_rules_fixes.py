"""The code of a fix does what it says to a program that has the usual names."""

import torch

from babysit.rules.updates.lr_too_high import RULE


def test_dividing_the_lr_keeps_the_optimizer_that_there_is():
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    exec(RULE.fixes[0].code, {"model": model, "optimizer": optimizer})
    assert [(type(optimizer).__name__, group["lr"], group["momentum"]) for group in optimizer.param_groups] == [
        ("SGD", 0.05, 0.9)
    ]
