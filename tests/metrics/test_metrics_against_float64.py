"""Each statistic against a slow, obvious float64 version, and the properties it must have."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from babysit.metrics import activations, parameters, values
from babysit.records.layer_metrics import BIN_EDGES
from babysit.records.model_summary import TargetKind


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    """Float32 batches of two to four dimensions, with zeros, ties and very different scales."""
    shape = draw(st.lists(st.integers(1, 5), min_size=2, max_size=4))
    seed, scale, shift = draw(st.integers(0, 10_000)), draw(st.sampled_from([1e-6, 1.0, 1e4])), draw(st.integers(-3, 3))
    numbers = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return torch.where(numbers.abs() < 0.3, 0.0, numbers + shift) * scale


@settings(max_examples=60, deadline=None)
@given(tensors())
def test_moments_are_those_of_float64(batch: Tensor) -> None:
    raw = {name: float(value) for name, value in activations.moments(batch).items()}
    found = activations.finish(raw, batch.numel())
    exact = batch.double().numpy()
    scale = np.abs(exact).max() + 1e-30
    assert found["mean"] == pytest.approx(exact.mean(), abs=1e-5 * scale)
    spread = exact.std() if exact.size > 1 else np.nan  # a single value has none
    assert found["std"] == pytest.approx(spread, abs=2e-3 * scale, nan_ok=True)  # a difference of float32 sums
    assert found["zeros"] == pytest.approx((exact == 0).mean(), abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(tensors(), st.integers(0, 1000))
def test_units_and_samples_in_another_order_give_the_same_shares(batch: Tensor, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    axis = batch.dim() - 1
    shuffled = batch[torch.randperm(batch.shape[0], generator=generator)]
    shuffled = shuffled[..., torch.randperm(batch.shape[-1], generator=generator)]
    before = activations.one_sided(*activations.extremes(batch, axis))
    after = activations.one_sided(*activations.extremes(shuffled, axis))
    assert float(before) == float(after)
    columns = batch.double().numpy().reshape(-1, batch.shape[-1])
    expected = np.mean([(column >= 0).all() or (column <= 0).all() for column in columns.T])
    assert float(before) == pytest.approx(expected, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(1, 9), st.integers(0, 10_000), st.floats(0.001, 1000))
def test_similar_units_are_counted_whatever_their_order_and_scale(
    units: int, inputs: int, seed: int, scale: float
) -> None:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(units, inputs, generator=generator) * scale
    copies = torch.randint(0, units, (2,), generator=generator)
    rows[copies[0]] = rows[copies[1]]
    expected = 0.0 if copies[0] == copies[1] else 2 / units
    order = torch.randperm(units, generator=generator)
    assert float(parameters.unit_similarity(rows, None, 0)) == pytest.approx(expected)
    assert float(parameters.unit_similarity(rows[order], None, 0)) == pytest.approx(expected)
    assert float(parameters.unit_similarity(rows.T.contiguous(), None, -1)) == pytest.approx(expected)


def test_an_update_is_exact_and_needs_one_copy() -> None:
    weights = [torch.randn(4, 3), torch.randn(5)]
    before = parameters.copies(weights)
    exact = [weight.double().numpy().copy() for weight in weights]
    for weight in weights:
        weight.mul_(1.001).add_(1e-4)
    expected = [np.linalg.norm(weight.double().numpy() - old) for weight, old in zip(weights, exact, strict=True)]
    addresses = [copy.data_ptr() for copy in before]
    found = [float(norm) for norm in parameters.update_norms(before, weights)]
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    assert [copy.data_ptr() for copy in before] == addresses


def test_gradients_of_one_sign_are_counted_by_unit() -> None:
    gradient = torch.tensor([[1.0, 2.0, 0.0], [-1.0, -2.0, -3.0], [1.0, -1.0, 0.0], [0.0, 0.0, 0.0]])
    assert float(parameters.one_signed(gradient, 0)) == 0.5


def test_only_whole_samples_are_read_and_memory_is_shared() -> None:
    batch = torch.zeros(64, 16, 32, 32)
    part = activations.sample(batch)
    assert part.shape == (2, 16, 32, 32)
    assert part.data_ptr() == batch.data_ptr()
    assert activations.sample(torch.zeros(10, 10)).shape == (10, 10)


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        (torch.tensor([0, 2, 1]), TargetKind.INDICES),
        (torch.eye(3), TargetKind.ONE_HOT),
        (torch.tensor([[0.0], [1.0]]), TargetKind.ZERO_ONE),
        (torch.tensor([[1, 1, 0], [0, 1, 1]]), TargetKind.ZERO_ONE),
        (torch.tensor([[0.2, 0.8], [0.5, 0.5]]), TargetKind.PROBABILITIES),
        (torch.tensor([[0.2], [0.9]]), TargetKind.UNIT_RANGE),
        (torch.tensor([-1, 1, 1]), TargetKind.REAL),
        (torch.tensor([3.5, -2.0]), TargetKind.REAL),
    ],
)
def test_targets_are_told_apart_by_their_values(target: Tensor, kind: TargetKind) -> None:
    assert values.target_kind(target, values.summarize(target)) == kind


def test_a_summary_survives_nan_infinity_and_nothing() -> None:
    summary = values.summarize(torch.tensor([1.0, float("nan"), float("inf"), 3.0]))
    assert (summary.nonfinite, summary.low, summary.high, summary.mean) == (2, 1.0, 3.0, 2.0)
    assert values.summarize(torch.full((3,), float("nan"))).nonfinite == 3
    assert values.summarize(torch.zeros(0, 4)).shape == (0, 4)


@settings(max_examples=60, deadline=None)
@given(tensors())
def test_a_histogram_is_that_of_float64_around_mean_and_spread(batch: Tensor) -> None:
    exact = batch.double().numpy().ravel()
    if exact.std() <= 1e-3 * np.abs(exact).max():
        return  # a constant has no spread to measure distances in
    distance = (exact - exact.mean()) / exact.std()
    found = activations.histogram(batch).numpy()
    assert found.sum() == pytest.approx(1.0, abs=1e-6)
    for place, edge in enumerate(BIN_EDGES):
        below = found[: place + 1].sum()  # rounding decides about values that lie on an edge
        assert (distance < edge - 1e-3).mean() - 1e-6 <= below <= (distance < edge + 1e-3).mean() + 1e-6
