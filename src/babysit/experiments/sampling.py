"""Some samples to experiment on, the same ones for the same seed."""

from __future__ import annotations

import torch

from babysit.data.samples import Samples


def sample_subset(samples: Samples, *, count: int, seed: int) -> Samples:
    """At most `count` samples, in a random order that the seed decides."""
    generator = torch.Generator().manual_seed(seed)
    return samples.take(torch.randperm(len(samples), generator=generator)[:count])
