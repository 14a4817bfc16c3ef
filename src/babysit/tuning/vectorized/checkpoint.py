"""The state of a population's members in a file: plain values and tensors, which load without running code."""

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
_FORMAT: Final = 1  # raised when what is inside changes


@final
@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a file holds."""

    members: list[tuple[TrialConfig, dict[str, Any]]]
    ended: list[TrainResult]
    left_to_plain: list[int]


def save(
    folder: Path, *, learned: Iterable[MemberState], ended: Iterable[TrainResult], left_to_plain: Iterable[int]
) -> None:
    """Writes everything into one file, whole or not at all."""
    state = {
        "format": _FORMAT,
        "learned": [_state_of(one) for one in learned],
        "ended": [asdict(advance) for advance in ended],
        "left_to_plain": sorted(left_to_plain),
    }
    write_atomically(folder / SAVED, lambda file: torch.save(state, file))


def load(folder: Path) -> Checkpoint:
    """Reads what was written; UserError when that cannot be."""
    path = folder / SAVED
    state = load_plain(path, what="state of a population")
    if state.get("format") != _FORMAT:
        raise UserError(
            f"the state is of format {state.get('format')}, known here: {_FORMAT}",
            where=str(path),
            do="Go on with the babysit that wrote it, or start anew",
        )
    return Checkpoint(
        members=[(TrialConfig(**saved.pop("member")), saved) for saved in state["learned"]],
        ended=[TrainResult(**{**saved, "costs": tuple(saved["costs"])}) for saved in state["ended"]],
        left_to_plain=list(state["left_to_plain"]),
    )


def load_into(one: MemberState, saved: dict[str, Any], *, where: Path) -> None:
    """Gives a member built anew what it had learned; UserError when it is another network now."""
    same = _shapes(one.parameters) == _shapes(saved["parameters"]) and one.moments.keys() == saved["moments"].keys()
    if not same:
        raise UserError(
            f"member {one.member.number} is another network than the one that was saved",
            where=str(where),
            do="Go on with the code that wrote it, or start anew",
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
