"""Options of the commands that train: which data, which model, which seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, final

from cyclopts import Group, Parameter

from babysit.cli.settings import Settings

if TYPE_CHECKING:
    from babysit.routine import Prepared

TRAINING = Group("Training", sort_key=5)


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class Material:
    """What is trained on, and what is trained."""

    target: Annotated[str, Parameter(group=TRAINING, help="Column of a table that is to be predicted.")] = ""
    model: Annotated[
        str,
        Parameter(
            group=TRAINING,
            help="Your model as package.module:factory; the default is an mlp for tables and a cnn for images.",
        ),
    ] = ""
    seed: Annotated[int, Parameter(group=TRAINING, help="Same seed, same numbers.")] = 0
    threads: Annotated[int | None, Parameter(group=TRAINING, help="Threads of torch [1].")] = None


def prepared(data: str, material: Material, settings: Settings) -> Prepared:
    """The data read and split, and the model's recipe, with torch on as many threads as the settings say."""
    set_threads(settings)
    from babysit.routine import prepare

    return prepare(data, target=material.target, model=material.model, seed=material.seed)


def set_threads(settings: Settings) -> None:
    """Torch on as many threads as the settings say.

    One by default: small models lose to thread switching, and two threads on a busy two-core machine were measured
    60 times slower than one.
    """
    import torch

    torch.set_num_threads(settings.threads)
