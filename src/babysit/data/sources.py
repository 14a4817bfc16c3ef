"""`load_data`: samples from a name, a path, arrays or a Dataset."""

from __future__ import annotations

import difflib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from torch.utils.data import DataLoader, Dataset

from babysit.data.archives import load_archive
from babysit.data.arrays import make_samples
from babysit.data.datasets import load_dataset
from babysit.data.digits import load_digits
from babysit.data.image_files import is_archive
from babysit.data.images import load_images
from babysit.data.samples import Samples
from babysit.data.tables import load_table
from babysit.records.errors import UserError
from babysit.records.model_summary import Task

if TYPE_CHECKING:
    from rich.progress import Progress

_NAMED: Final = ("digits",)
TABLES: Final = frozenset({".csv", ".tsv", ".parquet", ".pq"})
_LIKE_A_MODEL: Final = re.compile(r"[\w./]+:[A-Za-z_][\w.]*")
_MODEL: Final = "This looks like a model: give the data first, then the model with --model package.module:factory"
_FORMATS: Final = (
    "Give 'digits', a .npz, .csv, .tsv or .parquet file, or a folder or .tar archive with one sub-folder of images per "
    "class"
)


def load_data(
    source: Any,
    *,
    target: str | None = None,
    task: Task | str | None = None,
    skip_invalid: bool = False,
    progress: Progress | None = None,
) -> Samples:
    """Read samples into memory from any supported source.

    Args:
        source: "digits", a path (.npz, .csv, .tsv, .parquet, or a folder or .tar archive of images), a pair (X, y) of
            arrays or tensors, or a torch Dataset whose items are pairs.
        target: the column of a table, or the array of an .npz file, to predict.
        task: "classes" or "regression" for ambiguous integers; detected from the values when not given.
        skip_invalid: leave out and count samples with missing values and unusable images, instead of raising.
        progress: displays the progress of reading many images.

    Raises:
        UserError: the source cannot be read, or cannot be trained on.
    """
    chosen = _task(task)
    if isinstance(source, str | Path):
        path = find_source(source, target=target)
        return load_digits() if path is None else _load_file(path, target, chosen, progress, skip_invalid=skip_invalid)
    if target is not None:
        raise UserError("a target column requires a table or .npz file", do="Omit the target")
    if isinstance(source, tuple | list) and len(source) == 2:
        return make_samples(source[0], source[1], task=chosen, skip_invalid=skip_invalid)
    if isinstance(source, DataLoader):
        return load_dataset(source.dataset, task=chosen, skip_invalid=skip_invalid)
    if isinstance(source, Dataset):
        return load_dataset(source, task=chosen, skip_invalid=skip_invalid)
    raise UserError(f"data cannot be read from a {type(source).__name__}", do=f"{_FORMATS}, (X, y), or a torch Dataset")


def _task(task: Task | str | None) -> Task | None:
    known = {str(one.value): one for one in (Task.CLASSES, Task.REGRESSION, Task.MULTILABEL)}
    if task is None or task in known:
        return None if task is None else known[str(task)]
    raise UserError(f"data cannot be read for the task {str(task)!r}", do=f"Give one of {', '.join(known)}")


def find_source(source: str | Path, *, target: str | None = None) -> Path | None:
    """Return the file or folder of that name, or None for "digits"; raise UserError for unsupported sources."""
    path = Path(source).expanduser()
    ending = path.suffix.lower()
    with_target = ending in TABLES or ending == ".npz"
    if target is not None and not with_target:
        raise UserError("a target column requires a table or .npz file", where=str(source), do="Omit the target")
    if str(source) in _NAMED:
        return None
    _refuse_unreadable(path)
    if path.is_dir() and with_target:
        raise UserError(f"this is a folder, not a {ending} file", where=str(path), do=_FORMATS)
    if path.is_dir() or with_target or is_archive(path):
        return path
    risky = ending in {".pkl", ".pickle", ".pt", ".pth", ".joblib"}
    why = "could run code when loaded, so they are not supported" if risky else "are not supported"
    raise UserError(f"files that end in {ending or 'nothing'!r} {why}", where=str(path), do=_FORMATS)


def _load_file(
    path: Path, target: str | None, task: Task | None, progress: Progress | None, *, skip_invalid: bool
) -> Samples:
    if path.is_dir() or is_archive(path):
        return load_images(path, skip_invalid=skip_invalid, progress=progress)
    load = load_table if path.suffix.lower() in TABLES else load_archive
    return load(path, target=target, task=task, skip_invalid=skip_invalid)


def _refuse_unreadable(path: Path) -> None:
    """Raise UserError with the closest existing name when nothing can be read there."""
    try:
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
        size = path.stat().st_size if is_file else 1
        if is_file:
            path.open("rb").close()
        neighbours = [] if exists or not path.parent.is_dir() else [other.name for other in path.parent.iterdir()]
    except (OSError, ValueError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else problem
        raise UserError(f"this cannot be read: {reason}", where=f"{str(path)!r:.200}") from problem
    if not exists:
        near = difflib.get_close_matches(path.name, [*_NAMED, *neighbours], n=1)
        raise UserError(
            "there is no such file or folder",
            where=f"{str(path)!r:.200}",
            do=f"Did you mean {near[0]!r}?" if near else _MODEL if _LIKE_A_MODEL.fullmatch(str(path)) else _FORMATS,
        )
    if size == 0:
        raise UserError("this file is empty", where=str(path), do="Give a file with at least one sample")
    if not (is_folder or is_file):
        raise UserError("this is neither a file nor a folder", where=str(path), do=_FORMATS)
