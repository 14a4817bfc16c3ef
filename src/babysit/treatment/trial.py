"""What came of trying one cure."""

from __future__ import annotations

import msgspec

from babysit.records.finding import Treatment


class TreatmentTrial(msgspec.Struct, frozen=True, kw_only=True):
    """One cure, tried on several seeds beside the untreated training; scores are higher when better."""

    treatment: Treatment
    seeds: tuple[int, ...] = ()
    untreated: tuple[float, ...] = ()  # the score of each seed without it; NaN for one that diverged
    treated: tuple[float, ...] = ()  # the same seeds with it
    gain: float | None = None  # mean of treated minus untreated; None when one of the two diverged everywhere
    spread: float | None = None  # standard deviation of that difference over the seeds
    chance: float | None = None  # probability of such a gain by chance (paired t-test), before counting the cures tried
    helped: bool = False
    rank: int = 0  # from 1, the most helpful first
    say: str = ""  # the judgement in one sentence, numbers included
    problem: str = ""  # why it could not be tried
