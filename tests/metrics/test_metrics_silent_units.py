"""Which units are dead: by samples seen since they were last active."""

from __future__ import annotations

import pytest
import torch

from babysit.metrics.units import POSITIONS, SILENT_SAMPLES, SILENT_STEPS, SilentUnits


def share(found: torch.Tensor | None) -> float | None:
    return None if found is None else float(found)


def test_nothing_is_said_before_enough_samples_were_seen() -> None:
    silent = SilentUnits()
    found = [share(silent.update(torch.zeros(32, 5), 1)) for _ in range(12)]
    needed = SILENT_SAMPLES // 32
    assert found[: needed - 1] == [None] * (needed - 1)
    assert found[needed - 1 :] == [1.0] * (12 - needed + 1)


@pytest.mark.parametrize("batch", [4, 64, 1000])
def test_a_unit_that_falls_silent_is_dead_after_the_same_samples_whatever_the_batch(batch: int) -> None:
    silent, counted = SilentUnits(), min(batch, 64)
    alive = torch.ones(batch, 2)
    for _ in range(3 * SILENT_SAMPLES // counted):
        before = share(silent.update(alive, 1))
    assert before == 0.0
    alive[:, 0] = 0.0
    found = [share(silent.update(alive, 1)) for _ in range(2 * SILENT_SAMPLES // counted)]
    steps = max(SILENT_SAMPLES // counted, SILENT_STEPS)
    assert found[: steps - 1] == [0.0] * (steps - 1)
    assert found[steps - 1 :] == [0.5] * (len(found) - steps + 1)


def test_a_rare_unit_is_not_dead_and_comes_back_at_once() -> None:
    silent = SilentUnits()
    for step in range(40):
        found = share(silent.update(torch.tensor([[1.0, 0.0, float(step % 5 == 0)]]).repeat(32, 1), 1))
    assert found == pytest.approx(1 / 3)


def test_one_large_batch_is_not_enough() -> None:
    silent = SilentUnits()
    assert [share(silent.update(torch.zeros(5000, 3), 1)) for _ in range(4)] == [None, None, None, 1.0]


def test_positions_of_an_image_count_as_a_few_samples_and_channels_are_the_units() -> None:
    silent = SilentUnits()
    images = torch.zeros(4, 2, 16, 16)
    images[:, 1, 3, 3] = 1.0
    found = [share(silent.update(images, 1)) for _ in range(12)]
    needed = SILENT_SAMPLES // (4 * POSITIONS)
    assert found[needed - 2 :] == [None] + [0.5] * (12 - needed + 1)


def test_nan_is_not_silence() -> None:
    silent = SilentUnits()
    assert [share(silent.update(torch.full((64, 2), torch.nan), 1)) for _ in range(6)][-1] == 0.0
