"""Files of trained models, including their preprocessing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from babysit.records.errors import UserError
from babysit.training.checkpoint import load_plain, write_atomically

FORMAT: Final = 1


def save_model(path: Path, model: nn.Module, *, about: dict[str, Any] | None = None) -> Path:
    """Save the weights and buffers of a model and a description (`about`: plain values only).

    Preprocessing that is a module of the model (`nn.Sequential(Standardize.fit(x), mlp(...))`) is included, because
    its mean and scale are buffers. The file contains no code. Raises UserError if it cannot be written.
    """
    state = {"format": FORMAT, "about": about or {}, "weights": model.state_dict()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: torch.save(state, file))
    except OSError as problem:
        raise UserError(
            f"the model cannot be saved: {problem.strerror or problem}", where=str(path), do="Use another path"
        ) from problem
    return path


def load_model(path: Path, model: nn.Module) -> nn.Module:
    """Load weights into a model of the same architecture and return it in eval mode.

    Raises UserError if the file is no saved model or the weights do not match.
    """
    state = load_plain(path, what="model")
    if state.get("format") != FORMAT or "weights" not in state:
        raise UserError("this is not a model that save_model() wrote", where=str(path))
    try:
        model.load_state_dict(state["weights"])
    except RuntimeError as problem:
        raise UserError(
            f"the weights belong to another model: {str(problem).splitlines()[-1].strip()}",
            where=str(path),
            do="Build the model with the same architecture, preprocessing included",
        ) from problem
    return model.eval()


def export_model(path: Path, model: nn.Module, x: Tensor) -> Path:
    """Export the model with its computation, for use without this package or the code that built it.

    `torch.export.load(path).module()(x)` accepts any number of samples. `x` holds a few samples for tracing.

    Raises UserError if torch.export cannot trace the model or the file cannot be written.
    """
    from torch.export import Dim, export, save

    device = next((parameter.device for parameter in model.parameters()), x.device)
    example = (x[:2] if len(x) > 1 else torch.cat((x, x))).to(device)  # a batch size of 1 becomes a constant
    try:
        program = export(model.eval(), (example,), dynamic_shapes=({0: Dim.DYNAMIC},), strict=False)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, lambda file: save(program, file))
    except Exception as problem:  # tracing can raise any exception
        raise UserError(
            f"the model cannot be exported: {str(problem).splitlines()[0]}",
            where=str(path),
            do="Save its weights with save_model() instead",
        ) from problem
    return path
