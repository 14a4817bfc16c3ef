"""Options of the commands that train: which data, which model, which seed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, final

from cyclopts import Group, Parameter
from rich.progress import Progress

from babysit.cli.options import Threads
from babysit.cli.settings import Settings

if TYPE_CHECKING:
    from babysit.pipeline.prepare import Prepared
    from babysit.records.trial import Value

TRAINING = Group("Training", sort_key=5)

Data = Annotated[
    str,
    Parameter(
        show_default=False,
        help="`digits`, or a table (.csv, .parquet), an archive (.npz) or a folder of images by class.",
    ),
]


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """What is trained on, and what is trained."""

    target: Annotated[
        str, Parameter(group=TRAINING, show_default=False, help="Column of a table that is to be predicted.")
    ] = ""
    model: Annotated[
        str,
        Parameter(
            group=TRAINING,
            show_default=False,
            help="Your model as package.module:factory; the default is an mlp for tables and a cnn for images.",
        ),
    ] = ""
    seed: Annotated[int, Parameter(group=TRAINING, help="Same seed, same numbers.")] = 0
    skip_invalid: Annotated[
        bool,
        Parameter(
            group=TRAINING, negative="", show_default=False, help="Leave out and count what is damaged or incomplete."
        ),
    ] = False
    threads: Annotated[Threads, Parameter(group=TRAINING)] = None

    @property
    def told(self) -> dict[str, float | int | str | bool]:
        """What of it is kept with a run, so that the same can be trained again."""
        return {"target": self.target, "model": self.model, "seed": self.seed, "skip_invalid": self.skip_invalid}


DEFAULT_MATERIAL: Final = DataOptions()


def prepared(
    data: str,
    material: DataOptions,
    settings: Settings,
    progress: Progress,
    *,
    example: Mapping[str, Value] | None = None,
) -> Prepared:
    """The data read and split, and the model's recipe, with torch on as many threads as the settings say.

    The recipe is tried once, with the hyperparameters of the example.
    """
    with loading(progress):
        set_threads(settings)
        from babysit.pipeline.prepare import Reading, prepare

        return prepare(
            data,
            target=material.target,
            model=material.model,
            seed=material.seed,
            reading=Reading(skip_invalid=material.skip_invalid, progress=progress),
            example=example,
        )


@contextmanager
def loading(progress: Progress) -> Iterator[None]:
    """Show that something is going on while torch is loaded, which takes seconds."""
    bar = progress.add_task("Loading torch, reading data", total=None)
    yield
    progress.remove_task(bar)


def set_threads(settings: Settings) -> None:
    """Torch on as many threads as the settings say.

    One by default: small models lose to thread switching, and two threads on a busy two-core machine were measured
    60 times slower than one.
    """
    import torch

    torch.set_num_threads(settings.threads)
