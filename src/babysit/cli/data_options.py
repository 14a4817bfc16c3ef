"""Options for data, model and seed of the commands that train."""

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
        help="Read this dataset: `digits`, a table (.csv, .parquet), an archive (.npz) or a folder of images by class.",
    ),
]


@Parameter(name="*")
@final
@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Data, model and seed."""

    target: Annotated[str, Parameter(group=TRAINING, show_default=False, help="Predict this column of a table.")] = ""
    model: Annotated[
        str,
        Parameter(
            group=TRAINING,
            show_default=False,
            help="Train this model, given as package.module:factory [an MLP for tables, a CNN for images].",
        ),
    ] = ""
    seed: Annotated[
        int, Parameter(group=TRAINING, help="Set the random seed; results are reproducible on the same machine.")
    ] = 0
    skip_invalid: Annotated[
        bool,
        Parameter(
            group=TRAINING, negative="", show_default=False, help="Skip and count damaged or incomplete samples."
        ),
    ] = False
    threads: Annotated[Threads, Parameter(group=TRAINING)] = None

    @property
    def config(self) -> dict[str, float | int | str | bool]:
        """Return the options that are recorded with a run, so that the training can be repeated."""
        return {"target": self.target, "model": self.model, "seed": self.seed, "skip_invalid": self.skip_invalid}


DEFAULT_DATA_OPTIONS: Final = DataOptions()


def prepared(
    data: str,
    data_options: DataOptions,
    settings: Settings,
    progress: Progress,
    *,
    example: Mapping[str, Value] | None = None,
) -> Prepared:
    """Read and split the data, and prepare the model factory.

    The factory is called once with the hyperparameters of `example`.
    """
    with loading(progress):
        set_threads(settings)
        from babysit.pipeline.prepare import Reading, prepare

        return prepare(
            data,
            target=data_options.target,
            model=data_options.model,
            seed=data_options.seed,
            reading=Reading(skip_invalid=data_options.skip_invalid, progress=progress),
            example=example,
        )


@contextmanager
def loading(progress: Progress) -> Iterator[None]:
    """Show a progress bar while torch is imported, which takes seconds."""
    bar = progress.add_task("Loading torch, reading data", total=None)
    yield
    progress.remove_task(bar)


def set_threads(settings: Settings) -> None:
    """Set the number of torch threads.

    The default is one: thread switching slows small models down. On a busy two-core machine, two threads were measured
    60 times slower than one.
    """
    import torch

    torch.set_num_threads(settings.threads)
