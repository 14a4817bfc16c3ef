"""What came of trying one fix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from babysit.records.finding import Fix

# With two seeds the t distribution has one degree of freedom: an end of the interval lies 6.3 standard errors away
# for a single fix and 12.7 for two, so that nothing but the crudest effect could be told.
LEAST_SEEDS: Final = 3


class Outcome(StrEnum):
    """What the seeds show of a fix, and no more than they show."""

    HELPED = "helped"  # the whole interval of its gain is above zero
    DID_NOT_HELP = "did not help"  # the whole interval is below what another seed alone changes
    CANNOT_TELL = "cannot tell"  # both are still possible
    NOT_TRIED = "not tried"  # `problem` says why


class FixTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One fix, tried on several seeds beside the unchanged training; scores are higher when better."""

    fix: Fix
    proposed_by: tuple[str, ...] = ()  # codes of the findings that propose it
    seeds: tuple[int, ...] = ()
    untreated: tuple[float, ...] = ()  # the score of each seed without it; NaN for one that diverged
    treated: tuple[float, ...] = ()  # the same seeds with it
    gain: float | None = None  # mean of treated minus untreated; None when a training diverged
    spread: float | None = None  # standard deviation of that difference over the seeds
    low: float | None = None  # the interval of the gain, corrected for the number of fixes tried
    high: float | None = None
    chance: float | None = None  # probability of such a gain by chance (paired t-test), before that correction
    outcome: Outcome = Outcome.NOT_TRIED
    seeds_needed: int | None = None  # about how many would tell, when these cannot; None: more than a hundred
    rank: int = 0  # from 1, the most helpful first
    say: str = ""  # the result in one sentence, numbers included
    problem: str = ""  # why it could not be tried

    @property
    def helped(self) -> bool:
        """Whether the seeds show that it helps."""
        return self.outcome is Outcome.HELPED
