"""Dropout masks, drawn as eager PyTorch would draw them for each member alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor

from babysit.tuning.vectorized.eligibility import Site
from babysit.tuning.vectorized.state import MemberState


@final
class DropoutMasks:
    """Draws the masks of a chunk, step by step.

    Members with equal random state and drop probabilities share a mask (common random numbers), which is drawn once. On
    the CPU the draws are those of torch's dropout, bit for bit.
    """

    def __init__(self, members: Sequence[MemberState], sites: Sequence[Site], device: torch.device) -> None:
        self._sites = sites
        self._device = device
        self._generators: list[torch.Generator] = []
        self._probabilities: list[tuple[float, ...]] = []
        self._of_member: list[int] = []
        kinds: dict[tuple[bytes, tuple[float, ...]], int] = {}
        for one in members:
            kind = (one.random_state.numpy().tobytes(), one.dropped)
            if kind not in kinds:
                kinds[kind] = len(kinds)
                self._generators.append(_generator(one.random_state, device))
                self._probabilities.append(one.dropped)
            self._of_member.append(kinds[kind])

    def draw(self, batch: int, *, own: bool) -> dict[str, Tensor]:
        """Draw the masks of one step by site: (batch, …), or (members, batch, …) if each member has its `own`."""
        drawn = [
            self._masks(generator, probabilities, batch)
            for generator, probabilities in zip(self._generators, self._probabilities, strict=True)
        ]
        if own:
            return {
                site.name: torch.stack([drawn[kind][index] for kind in self._of_member])
                for index, site in enumerate(self._sites)
            }
        return {site.name: drawn[0][index] for index, site in enumerate(self._sites)}

    def random_states(self) -> list[Tensor]:
        """Return the random state of each member."""
        return [self._generators[kind].get_state() for kind in self._of_member]

    def _masks(self, generator: torch.Generator, probabilities: tuple[float, ...], batch: int) -> list[Tensor]:
        masks = []
        for site, probability in zip(self._sites, probabilities, strict=True):
            mask = torch.empty((batch, *site.shape), device=self._device)
            if probability in {0.0, 1.0}:  # torch draws nothing in these cases
                masks.append(mask.fill_(1.0 - probability))
            else:
                masks.append(mask.bernoulli_(1 - probability, generator=generator).div_(1 - probability))
        return masks


def need_own(members: Sequence[MemberState]) -> bool:
    """Check whether members need different masks: another drop probability or random state."""
    first = members[0]
    return any(one.dropped != first.dropped or not torch.equal(one.random_state, first.random_state) for one in members)


def _generator(state: Tensor, device: torch.device) -> torch.Generator:
    generator = torch.Generator(device)
    generator.set_state(state)
    return generator
