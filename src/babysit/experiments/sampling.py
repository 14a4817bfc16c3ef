"""Reproducible random subsets of the samples."""

from __future__ import annotations

import torch

from babysit.data.samples import Samples


def sample_subset(samples: Samples, *, count: int, seed: int) -> Samples:
    """Take at most `count` samples in a random order determined by the seed."""
    generator = torch.Generator().manual_seed(seed)
    return samples.take(torch.randperm(len(samples), generator=generator)[:count])
