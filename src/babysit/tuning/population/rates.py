"""Which learning rates make the loss go down: each tried by itself, all side by side."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple, final

import torch
from torch import nn

from babysit.data.batches import shuffled
from babysit.data.samples import Samples
from babysit.records.problem import UserError
from babysit.records.trial import Value
from babysit.tuning.executor import Member, Workload
from babysit.tuning.population.population import Population


@final
class RateTrial(NamedTuple):
    """What a rate made of the model."""

    rate: float
    costs: tuple[float, ...]  # of every batch, before its update; shorter when it died
    stopped: str  # why it ended early (tuning/abort.py), or ""


def rates_side_by_side(
    model: nn.Module,
    samples: Samples,
    *,
    rates: Sequence[float],
    optimizer: str = "adam",
    batch_size: int = 64,
    steps: int = 100,
    seed: int = 0,
) -> list[RateTrial]:
    """Trains a copy of the model for some steps at each rate, on the same batches; the model is left as it was.

    A sweep that raises the rate from step to step tests each rate on weights that the rates before have moved; here
    each begins where the model is.

    Raises:
        UserError: no rates, or a rate that is not a positive number.
    """
    wrong = [rate for rate in rates if not 0 < rate < math.inf]
    if wrong or not rates:
        raise UserError(f"the rates to try are {list(rates)}", do="Give positive numbers, such as 1e-4 1e-3 1e-2")
    places = shuffled(len(samples), seed=seed, epoch=0)[: steps * batch_size]
    train = samples.take(places)
    epochs = max(1, round(steps * min(batch_size, len(train)) / len(train)))

    def build(_: dict[str, Value]) -> nn.Module:
        return copy.deepcopy(model)

    workload = Workload(
        build=build,
        train=train,
        validation=train.take(torch.arange(min(batch_size, len(train)))),
        optimizer=optimizer,
        batch_size=batch_size,
        device=str(next((parameter.device for parameter in model.parameters()), torch.device("cpu"))),
    )
    members = [Member(number=place, parameters={"rate": float(rate)}, seed=seed) for place, rate in enumerate(rates)]
    population = Population(workload)
    try:
        found = {advance.number: advance for advance in population.advance(members, epochs=epochs)}
    finally:
        population.close()
    return [RateTrial(float(rate), found[place].costs, found[place].stopped) for place, rate in enumerate(rates)]
