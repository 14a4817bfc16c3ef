"""Does the output react to every feature, or to every channel?"""

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
# Some pixels at the border are lost to pooling of odd sizes and to strides, as a rule below this share; a network that
# reads one pixel of four has a stride too many.
MOST_PIXELS_LOST: Final = 0.05


def input_dependence(model: nn.Module, samples: Samples, *, seed: int = 0) -> ExperimentResult:
    """Look for features (of images: channels) that no output reacts to, in eval mode on 64 samples.

    By the gradient first; what it does not show (rounded values, embedded numbers) by exchanging values among samples.
    Weights are stirred before an input counts as ignored, so that zeros at the beginning are not blamed. Features that
    never change are left out: nothing could be learned from them.
    """
    start = perf_counter()
    batch = sample_subset(samples, count=SAMPLES, seed=seed)
    with replica(model, seed=seed) as (copy, _):
        copy.eval()
        x = batch.x.to(device_of(copy))
        groups = _groups(x, image=samples.kind == "image")
        silent = _ignored(copy, x, groups)
        _stir(copy)
        ignored = [place for place in _ignored(copy, x, groups) if place in silent] if silent else []
        lost = _pixels_lost(copy, x) if samples.kind == "image" and not ignored else 0.0
    asleep = len(silent) == len(groups) > 0
    outcome, message = _judged([_name(samples, place) for place in ignored], len(groups), asleep=asleep, lost=lost)
    return ExperimentResult(
        name="input-dependence",
        outcome=outcome,
        measured={"ignored": float(len(ignored)), "inputs": float(len(groups)), "pixels_lost": lost},
        expected={"ignored": 0.0},
        message=message,
        seconds=perf_counter() - start,
    )


def _groups(x: Tensor, *, image: bool) -> list[int]:
    """The channels or features that change from sample to sample."""
    rows = x.flatten(2).transpose(0, 1).flatten(1) if image else x.flatten(1).T
    return torch.nonzero((rows != rows[:, :1]).any(1)).flatten().tolist()


def _ignored(model: nn.Module, x: Tensor, groups: Sequence[int]) -> set[int]:
    """The groups among these that change nothing in the output."""
    reached = _reached(model, x)
    by_group = reached.flatten(1).any(1) if x.dim() == 4 else reached.flatten()
    candidates = [place for place in groups if not bool(by_group[place])]
    with torch.no_grad():
        answer = model(x)

        def silent(places: Sequence[int]) -> bool:
            changed = x.clone() if x.dim() == 4 else x.clone().flatten(1)
            changed[:, places] = changed[:, places].roll(1, 0)
            with torch.no_grad():
                return torch.equal(model(changed.reshape(x.shape)), answer)

        return set(_all_silent(candidates, silent))


def _all_silent(places: Sequence[int], silent: Callable[[Sequence[int]], bool]) -> list[int]:
    """Which of them are silent, halving where they are not all: few answers for many silent ones."""
    if not places or silent(places):
        return list(places)
    if len(places) == 1:
        return []
    middle = len(places) // 2
    return _all_silent(places[:middle], silent) + _all_silent(places[middle:], silent)


def _reached(model: nn.Module, x: Tensor) -> Tensor:
    """Which values of a sample have a gradient in at least one sample; none where the model does not differentiate."""
    leaf = x.clone().requires_grad_()
    output = model(leaf)
    if not output.requires_grad:
        return torch.zeros_like(x[0], dtype=torch.bool)
    # A random mixture of the outputs: their plain sum is constant after a softmax.
    generator = torch.Generator().manual_seed(0)
    mixture = (output * torch.randn(output.shape, generator=generator).to(output.device)).sum()
    (gradient,) = torch.autograd.grad(mixture, leaf, allow_unused=True)
    return torch.zeros_like(x[0], dtype=torch.bool) if gradient is None else (gradient != 0).any(0)


def _stir(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point():
                size = 0.1 + float(parameter.detach().float().square().mean().sqrt())
                parameter.add_(torch.randn_like(parameter), alpha=0.5 * size)


def _pixels_lost(model: nn.Module, x: Tensor) -> float:
    reached = _reached(model, x)
    return 0.0 if not bool(reached.any()) else 1.0 - float(reached.any(0).float().mean())


def _name(samples: Samples, place: int) -> str:
    if samples.kind == "image":
        return f"channel {place}"
    return samples.feature_names[place] if place < len(samples.feature_names) else f"feature {place}"


def _judged(names: list[str], inputs: int, *, asleep: bool, lost: float) -> tuple[Outcome, str]:
    if names and len(names) == inputs:
        return Outcome.FAIL, "the output is the same whatever comes in: look for dead units, detach() or a wrong slice"
    if names:
        listed = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        return (
            Outcome.FAIL,
            f"the output ignores {len(names)} of {inputs} inputs ({listed}): follow them through forward",
        )
    if asleep:
        return Outcome.PASS, "the output does not depend on the input yet, because some weights begin at zero"
    if lost > MOST_PIXELS_LOST:
        return Outcome.WARN, f"the output ignores {lost:.0%} of the pixels: look for strides larger than the kernel"
    return Outcome.PASS, f"the output reacts to all {inputs} inputs that vary"
