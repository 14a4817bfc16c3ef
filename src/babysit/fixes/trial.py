"""Result of trying one fix."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from babysit.records.finding import Fix

# With two seeds the t distribution has one degree of freedom: the half-width of the interval is 6.3 standard errors for
# a single fix and 12.7 for two, so that only very large effects could be detected.
LEAST_SEEDS: Final = 3


class Outcome(StrEnum):
    """Outcome of a fix, as far as the seeds show it."""

    HELPED = "helped"  # the whole interval of its gain is above zero
    DID_NOT_HELP = "did not help"  # the whole interval is below the standard deviation over seeds
    CANNOT_TELL = "cannot tell"  # both are still possible
    NOT_TRIED = "not tried"  # `problem` says why


class FixTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One fix compared with the unchanged training on several seeds; higher scores are better."""

    fix: Fix
    proposed_by: tuple[str, ...] = ()  # codes of the findings that propose it
    seeds: tuple[int, ...] = ()
    untreated: tuple[float, ...] = ()  # score of each seed without it; NaN if it diverged
    treated: tuple[float, ...] = ()  # score of the same seeds with it
    gain: float | None = None  # mean of treated minus untreated; None if a training diverged
    spread: float | None = None  # standard deviation of that difference over the seeds
    low: float | None = None  # the interval of the gain, corrected for the number of fixes tried
    high: float | None = None
    chance: float | None = None  # p-value of the gain (paired t-test), before that correction
    outcome: Outcome = Outcome.NOT_TRIED
    seeds_needed: int | None = None  # estimate for a conclusive result, if these are not enough; None if over a hundred
    rank: int = 0  # from 1, the most helpful first
    say: str = ""  # the result in one sentence, with numbers
    problem: str = ""  # why it could not be tried

    @property
    def helped(self) -> bool:
        """True if the seeds show that it helps."""
        return self.outcome is Outcome.HELPED
