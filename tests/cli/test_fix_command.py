"""What `babysit fix` prints and answers."""

from __future__ import annotations

import pytest

from babysit.cli.fix import _exit_code, _show
from babysit.fixes.trial import FixTrial
from babysit.fixes.try_fixes import INTERRUPTED, try_fixes
from babysit.records.finding import Fix

GOOD = Fix(action="scale_lr", value=100.0, say="Multiply the learning rate by 100.")
BAD = Fix(action="set_dropout", value=0.5, say="Add dropout.")
HAND = Fix(action="change_code", say="Let them train.", code="model.requires_grad_(True)")


def run_again(fix: Fix | None, seed: int) -> float:
    return 0.5 + 0.01 * seed + {None: 0.0, 100.0: 0.3 + 0.02 * seed, 0.5: -0.2}[fix and fix.value]


def trials_of(*fixes: Fix) -> tuple[FixTrial, ...]:
    by_hand = FixTrial(fix=HAND, proposed_by=("U603",), problem="it is a change of your code")
    return (*try_fixes(run_again, fixes, score="accuracy"), by_hand)


def test_the_effect_is_shown_with_its_interval_and_what_is_to_be_done_by_hand_apart(
    capsys: pytest.CaptureFixture[str],
):
    _show(trials_of(GOOD, BAD))
    tried, by_hand = capsys.readouterr().out.split("Not tried; apply manually:")
    assert "Multiply the learning rate by 100: accuracy +0.320 (interval +0.2" in tried
    assert "scale_lr" not in tried
    assert "- U603: Let them train (it is a change of your code)\n      model.requires_grad_(True)" in by_hand
    assert "Let them train" not in tried


def test_exit_codes_tell_help_no_help_and_an_interruption_apart():
    assert _exit_code(trials_of(GOOD, BAD)) == 0
    assert _exit_code(trials_of(BAD)) == 1
    assert _exit_code(trials_of()) == 1
    assert _exit_code((*trials_of(GOOD), FixTrial(fix=BAD, problem=INTERRUPTED))) == 130
