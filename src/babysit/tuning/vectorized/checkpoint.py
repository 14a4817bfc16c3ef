"""Saves and loads the state of members as plain values and tensors, which load without running code."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, final

import torch

from babysit.records.errors import UserError
from babysit.training.checkpoint import load_plain, write_atomically
from babysit.tuning.executors.base import TrainResult, TrialConfig
from babysit.tuning.vectorized.state import MemberState

SAVED: Final = "population.pt"
_FORMAT: Final = 1  # incremented when the contents change


@final
@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The contents of a file."""

    members: list[tuple[TrialConfig, dict[str, Any]]]
    ended: list[TrainResult]
    left_to_plain: list[int]


def save(
    folder: Path, *, learned: Iterable[MemberState], ended: Iterable[TrainResult], left_to_plain: Iterable[int]
) -> None:
    """Save everything into one file, atomically."""
    state = {
        "format": _FORMAT,
        "learned": [_state_of(one) for one in learned],
        "ended": [asdict(advance) for advance in ended],
        "left_to_plain": sorted(left_to_plain),
    }
    write_atomically(folder / SAVED, lambda file: torch.save(state, file))


def load(folder: Path) -> Checkpoint:
    """Load the checkpoint. Raises UserError if it cannot be read."""
    path = folder / SAVED
    state = load_plain(path, what="state of a search")
    if state.get("format") != _FORMAT:
        raise UserError(
            f"the state is of format {state.get('format')}, known here: {_FORMAT}",
            where=str(path),
            do="Resume with the babysit version that wrote it, or start a new search",
        )
    return Checkpoint(
        members=[(TrialConfig(**saved.pop("member")), saved) for saved in state["learned"]],
        ended=[TrainResult(**{**saved, "costs": tuple(saved["costs"])}) for saved in state["ended"]],
        left_to_plain=list(state["left_to_plain"]),
    )


def load_into(one: MemberState, saved: dict[str, Any], *, where: Path) -> None:
    """Restore a rebuilt member's state. Raises UserError if its network has changed."""
    same = _shapes(one.parameters) == _shapes(saved["parameters"]) and one.moments.keys() == saved["moments"].keys()
    if not same:
        raise UserError(
            f"member {one.member.number} differs from the saved network",
            where=str(where),
            do="Resume with the code that wrote it, or start a new search",
        )
    device = next(iter(one.parameters.values())).device
    one.parameters = {name: tensor.to(device) for name, tensor in saved["parameters"].items()}
    one.moving = {name: tensor.to(device) for name, tensor in saved["moving"].items()}
    one.moments = {
        slot: {name: tensor.to(device) for name, tensor in tensors.items()}
        for slot, tensors in saved["moments"].items()
    }
    one.random_state = saved["random_state"]
    one.epoch, one.step, one.initial_cost = saved["epoch"], saved["step"], saved["initial_cost"]
    one.last_costs.extend(saved["last_costs"])


def _shapes(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in tensors.items()}


def _state_of(one: MemberState) -> dict[str, Any]:
    member = one.member
    return {
        "member": {**asdict(member), "parameters": dict(member.parameters)},
        "parameters": one.parameters,
        "moments": one.moments,
        "moving": one.moving,
        "random_state": one.random_state,
        "epoch": one.epoch,
        "step": one.step,
        "initial_cost": one.initial_cost,
        "last_costs": list(one.last_costs),
    }
