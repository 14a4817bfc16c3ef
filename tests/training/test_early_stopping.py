from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from babysit.training.early_stopping import Stopping, observe, reason_to_stop


def after(epochs: list[tuple[float, float, float]]) -> Stopping:
    """The state after epochs of (score, validation loss, training loss)."""
    state = Stopping()
    for score, validation_loss, train_loss in epochs:
        state = observe(state, score=score, validation_loss=validation_loss, train_loss=train_loss)
    return state


def test_no_better_score_for_the_patience_stops_and_names_the_best_epoch() -> None:
    flat = [(0.5, 1.0, 0.9), (0.8, 0.6, 0.5)] + [(0.8, 0.6, 0.5)] * 3
    assert reason_to_stop(after(flat[:-1]), patience=3, gap_patience=9) == ""
    assert "best was epoch 2" in reason_to_stop(after(flat), patience=3, gap_patience=9)


def test_a_gap_that_widens_while_validation_gets_worse_stops_earlier() -> None:
    overfitting = [(0.8, 0.5, 0.4)] + [(0.79, 0.5 + 0.02 * k, 0.4 - 0.05 * k) for k in range(1, 4)]
    reason = reason_to_stop(after(overfitting), patience=8, gap_patience=3)
    assert "the gap" in reason
    assert "3 epochs" in reason


def test_a_gap_that_widens_while_the_score_improves_never_stops() -> None:
    learning = [(0.5 + 0.01 * k, 1.0 + 0.01 * k, 0.9 - 0.04 * k) for k in range(20)]
    assert after(learning).widened == 0
    assert reason_to_stop(after(learning), patience=3, gap_patience=3) == ""


def test_a_gap_that_widens_while_validation_loss_stays_below_its_best_does_not_count() -> None:
    state = after([(0.8, 0.5, 0.4)] + [(0.79, 0.5 - 0.01 * k, 0.4 - 0.05 * k) for k in range(1, 6)])
    assert state.widened == 0


def test_one_epoch_in_which_the_gap_narrows_starts_the_count_anew() -> None:
    state = after([(0.8, 0.5, 0.4), (0.7, 0.6, 0.4), (0.7, 0.7, 0.4), (0.7, 0.6, 0.4), (0.7, 0.7, 0.4)])
    assert state.widened == 1


@pytest.mark.parametrize(("loss", "improved"), [(0.4, True), (0.6, False)])
def test_of_equal_scores_the_lower_loss_is_better(loss: float, improved: bool) -> None:
    assert after([(0.8, 0.5, 0.4), (0.8, loss, 0.4)]).improved is improved


def test_nothing_stops_before_the_first_epoch() -> None:
    assert reason_to_stop(Stopping(), patience=1, gap_patience=1) == ""


def test_its_memory_is_plain_values() -> None:
    state = after([(0.8, 0.5, 0.4), (0.7, 0.6, 0.4)])
    assert Stopping(**json.loads(json.dumps(asdict(state)))) == state
