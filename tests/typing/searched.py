"""A search over a space, as a typed user program."""

from __future__ import annotations

from torch import nn

import babysit
from babysit import Space, UserError
from babysit.data.splits import split
from babysit.records.trial import Value
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space import Range


def build(parameters: dict[str, Value]) -> nn.Module:
    return babysit.mlp(64, 10, dropout=float(parameters["dropout"]))


def best_lr(seed: int) -> float | None:
    space = Space({"lr": Range(1e-4, 1e-1), "dropout": Range(0.0, 0.5, linear=True)})
    settings = SearchSettings(stages=(Stage("coarse", 4, 1),), seed=seed)
    try:
        result = babysit.search(build, split(babysit.load_data("digits")), space=space, settings=settings)
    except UserError as problem:
        raise SystemExit(problem.what) from problem
    return None if result.best is None else float(result.best.parameters["lr"])
