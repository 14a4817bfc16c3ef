"""Input sensitivity: the output depends on every feature or channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Final

import torch
from torch import Tensor, nn

from babysit.data.samples import Samples
from babysit.experiments.replica import device_of, replica
from babysit.experiments.sampling import sample_subset
from babysit.records.experiment import ExperimentResult, Outcome

SAMPLES: Final = 64
# Some pixels at the border are lost to pooling of odd sizes and to strides, usually below this share; a network that
# reads one pixel in four has a stride too many.
MAX_PIXELS_LOST: Final = 0.05


def input_dependence(model: nn.Module, samples: Samples, *, seed: int = 0) -> ExperimentResult:
    """Find features (for images: channels) that no output depends on, in eval mode on 64 samples.

    Uses gradients first; what they cannot show (rounded values, embedding indices) is tested by permuting values among
    samples. Weights are perturbed before an input counts as ignored, so that zero initialization is not reported.
    Constant features are excluded: nothing can be learned from them.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    with replica(model, seed=seed) as (copy, _):
        copy.eval()
        x = batch.x.to(device_of(copy))
        groups = _groups(x, image=samples.kind == "image")
        inactive = _ignored(copy, x, groups)
        _perturb(copy)
        ignored = [index for index in _ignored(copy, x, groups) if index in inactive] if inactive else []
        lost = _pixels_lost(copy, x) if samples.kind == "image" and not ignored else 0.0
    zero_init = len(inactive) == len(groups) > 0
    names = [_name(samples, index) for index in ignored]
    outcome, message = _evaluate(names, len(groups), zero_init=zero_init, lost=lost)
    return ExperimentResult(
        name="input-dependence",
        outcome=outcome,
        measured={"ignored": float(len(ignored)), "inputs": float(len(groups)), "pixels_lost": lost},
        expected={"ignored": 0.0},
        message=message,
        seconds=perf_counter() - start,
    )


def _groups(x: Tensor, *, image: bool) -> list[int]:
    """Return the channels or features that vary over the samples."""
    rows = x.flatten(2).transpose(0, 1).flatten(1) if image else x.flatten(1).T
    return torch.nonzero((rows != rows[:, :1]).any(1)).flatten().tolist()


def _ignored(model: nn.Module, x: Tensor, groups: Sequence[int]) -> set[int]:
    """Return the groups that do not affect the output."""
    reached = _reached(model, x)
    by_group = reached.flatten(1).any(1) if x.dim() == 4 else reached.flatten()
    candidates = [index for index in groups if not bool(by_group[index])]
    with torch.no_grad():
        reference = model(x)

        def inactive(indices: Sequence[int]) -> bool:
            changed = x.clone() if x.dim() == 4 else x.clone().flatten(1)
            changed[:, indices] = changed[:, indices].roll(1, 0)
            with torch.no_grad():
                return torch.equal(model(changed.reshape(x.shape)), reference)

        return set(_bisect(candidates, inactive))


def _bisect(indices: Sequence[int], inactive: Callable[[Sequence[int]], bool]) -> list[int]:
    """Return the groups without effect, by bisection: few forward passes when most are without effect."""
    if not indices or inactive(indices):
        return list(indices)
    if len(indices) == 1:
        return []
    middle = len(indices) // 2
    return _bisect(indices[:middle], inactive) + _bisect(indices[middle:], inactive)


def _reached(model: nn.Module, x: Tensor) -> Tensor:
    """Mark the values of a sample with a nonzero gradient in at least one sample; none if not differentiable."""
    leaf = x.clone().requires_grad_()
    output = model(leaf)
    if not output.requires_grad:
        return torch.zeros_like(x[0], dtype=torch.bool)
    # A random combination of the outputs: their plain sum is constant after a softmax.
    generator = torch.Generator().manual_seed(0)
    mixture = (output * torch.randn(output.shape, generator=generator).to(output.device)).sum()
    (gradient,) = torch.autograd.grad(mixture, leaf, allow_unused=True)
    return torch.zeros_like(x[0], dtype=torch.bool) if gradient is None else (gradient != 0).any(0)


def _perturb(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                size = 0.1 + float(parameter.detach().float().square().mean().sqrt())
                parameter.add_(torch.randn_like(parameter), alpha=0.5 * size)


def _pixels_lost(model: nn.Module, x: Tensor) -> float:
    reached = _reached(model, x)
    return 0.0 if not bool(reached.any()) else 1.0 - float(reached.any(0).float().mean())


def _name(samples: Samples, index: int) -> str:
    if samples.kind == "image":
        return f"channel {index}"
    return samples.feature_names[index] if index < len(samples.feature_names) else f"feature {index}"


def _evaluate(names: list[str], inputs: int, *, zero_init: bool, lost: float) -> tuple[Outcome, str]:
    if names and len(names) == inputs:
        return Outcome.FAIL, "the output does not depend on the input: check for dead units, detach() or a wrong slice"
    if names:
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            Outcome.FAIL,
            f"the output ignores {len(names)} of {inputs} inputs ({listed}): check how forward uses them",
        )
    if zero_init:
        return Outcome.PASS, "the output does not depend on the input yet, because some weights are initialized to zero"
    if lost > MAX_PIXELS_LOST:
        return Outcome.WARN, f"the output ignores {lost:.0%} of the pixels: check for strides larger than the kernel"
    return Outcome.PASS, f"the output depends on all {inputs} inputs that vary"
