"""Measurement of fixes by retraining without and with each of them on several seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from babysit.fixes.effect import Effect, paired_effect, seeds_needed
from babysit.fixes.trial import LEAST_SEEDS, FixTrial, Outcome
from babysit.records.errors import UserError
from babysit.records.finding import Fix

if TYPE_CHECKING:
    from rich.progress import Progress

# Trains from scratch with a fix (None: without) and a seed, and returns a score; higher is better. All randomness must
# come from the seed, so that only the fix differs (common random numbers).
RunAgain = Callable[[Fix | None, int], float]

# The usual significance level, divided by the number of fixes tried (Bonferroni). It applies at each end, so the
# intervals of all fixes hold jointly with a probability of 90 %.
LEVEL: Final = 0.05
INTERRUPTED: Final = "interrupted before it was finished"


def try_fixes(
    run_again: RunAgain,
    fixes: Sequence[Fix],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    score: str = "score",
    resolution: float = 0.0,
    progress: Progress | None = None,
) -> tuple[FixTrial, ...]:
    """Try each fix on every seed and rank the fixes by their gain.

    A fix helped if the whole confidence interval of its gain over the unchanged training on the same seeds is above
    zero, or if it ends divergence on every seed. It did not help if the whole interval is below the standard deviation
    over seeds. Otherwise the result is inconclusive. Only fixes that were tried widen the intervals. Ctrl-C ends the
    trials; unfinished ones have their `problem` set.

    Args:
        run_again: trains and scores; called once for each seed and for each seed and fix.
        fixes: the fixes; duplicates are tried once.
        seeds: three or more different ones.
        score: name of the score of `run_again`.
        resolution: the smallest step of that score, such as 1 / samples for an accuracy; 0 for none.
        progress: shows trainings done.

    Raises:
        UserError: fewer than three seeds. Exceptions of the unchanged training propagate.
    """
    _require_seeds(seeds)
    fixes = different(fixes)
    if not fixes:
        return ()
    bar = progress.add_task("fix", total=len(seeds) * (1 + len(fixes))) if progress else None

    def scores(fix: Fix | None) -> tuple[float, ...]:
        found = []
        for seed in seeds:
            found.append(float(run_again(fix, seed)))
            if progress is not None and bar is not None:
                progress.advance(bar)
        return tuple(found)

    untreated = scores(None)
    trials: list[FixTrial] = []
    for fix in fixes:
        trial = FixTrial(fix=fix, seeds=tuple(seeds), untreated=untreated)
        try:
            trials.append(replace(trial, treated=scores(fix)))
        except KeyboardInterrupt:
            trials += [replace(trial, fix=other, problem=INTERRUPTED) for other in fixes[len(trials) :]]
            break
        except UserError as problem:
            trials.append(replace(trial, problem=str(problem)))
        except Exception as problem:  # a fix may break the user's model in any way; continue with the others
            trials.append(replace(trial, problem=f"{type(problem).__name__}: {problem}"))
    tail = LEVEL / max(1, sum(not trial.problem for trial in trials))
    return ranked([_judged(trial, tail=tail, score=score, resolution=resolution) for trial in trials])


def summary(trials: Sequence[FixTrial]) -> str:
    """Summarize the trials in one or two sentences."""
    tried = [trial for trial in trials if not trial.problem]
    helped = [trial for trial in tried if trial.helped]
    if helped:
        more = f" {len(helped) - 1} more helped as well." if len(helped) > 1 else ""
        return f"{helped[0].say}.{more}"
    if not tried:
        return "No fix could be tried." if trials else "There was no fix to try."
    open_ones = [trial for trial in tried if trial.outcome is Outcome.CANNOT_TELL]
    if open_ones:
        return (
            f"Of the {len(tried)} tried, no fix is shown to help, and of {len(open_ones)} these seeds cannot tell. "
            f"{open_ones[0].say}."
        )
    return f"None of the {len(tried)} tried helped. The best: {tried[0].say}."


def different(fixes: Sequence[Fix]) -> list[Fix]:
    """Remove fixes that do the same as an earlier one, regardless of description and code."""
    first: dict[tuple[str, str, object], Fix] = {}
    for fix in fixes:
        first.setdefault(identity(fix), fix)
    return list(first.values())


def identity(fix: Fix) -> tuple[str, str, object]:
    """Return the key that is equal for fixes that do the same."""
    return fix.action, fix.target, fix.value


def ranked(trials: Sequence[FixTrial]) -> tuple[FixTrial, ...]:
    """Sort by outcome (helped, inconclusive, did not help, not tried), then by gain, and set the ranks."""
    places = (Outcome.HELPED, Outcome.CANNOT_TELL, Outcome.DID_NOT_HELP, Outcome.NOT_TRIED)

    def order(trial: FixTrial) -> tuple[int, float]:
        # A fix that ended divergence has no numeric gain but ranks before those that only improve.
        gain = trial.gain if trial.gain is not None else math.inf if trial.helped else -math.inf
        return places.index(trial.outcome), -gain

    return tuple(replace(trial, rank=place) for place, trial in enumerate(sorted(trials, key=order), start=1))


def not_tried(fix: Fix, problem: str) -> FixTrial:
    """Return the trial of a fix that cannot be tried, with the reason."""
    return FixTrial(fix=fix, problem=problem, say=f"{describe(fix)}: could not be tried: {problem}")


def describe(fix: Fix) -> str:
    """Describe a fix by the text of its rule, or else by its action, target and value."""
    if fix.say:
        return fix.say.rstrip(".")
    value = f"{fix.value:g}" if isinstance(fix.value, float | int) else fix.value or ""
    words = (fix.action.replace("_", " "), f"of {fix.target}" if fix.target else "", value)
    return " ".join(word for word in words if word)


def _require_seeds(seeds: Sequence[int]) -> None:
    if len(set(seeds)) < LEAST_SEEDS or len(set(seeds)) != len(seeds):
        raise UserError(
            f"{len(set(seeds))} different seeds are too few to tell what a fix brings from chance",
            where=f"seeds {tuple(seeds)}",
            do=f"Take {LEAST_SEEDS} or more different ones",
        )


def _judged(trial: FixTrial, *, tail: float, score: str, resolution: float) -> FixTrial:
    if trial.problem:
        return replace(trial, say=not_tried(trial.fix, trial.problem).say)
    if not all(map(math.isfinite, (*trial.untreated, *trial.treated))):
        return _judged_by_divergence(trial, score)
    gain = paired_effect(trial.untreated, trial.treated, tail=tail, resolution=resolution)
    margin = statistics.stdev(trial.untreated)
    outcome = _outcome(gain, margin)
    needed = None
    if outcome is Outcome.CANNOT_TELL:
        needed = seeds_needed(gain, seeds=len(trial.seeds), tail=tail, margin=margin)
    say = (
        f"{describe(trial.fix)}: {score} {gain.mean:+.3f} (interval {gain.low:+.3f} to {gain.high:+.3f}), "
        f"from {statistics.fmean(trial.untreated):.3f} to {statistics.fmean(trial.treated):.3f}: "
        f"{_verdict(outcome, gain, len(trial.seeds), needed)}"
    )
    return replace(
        trial,
        gain=gain.mean,
        spread=gain.spread,
        low=gain.low,
        high=gain.high,
        chance=gain.chance,
        outcome=outcome,
        seeds_needed=needed,
        say=say,
    )


def _outcome(gain: Effect, margin: float) -> Outcome:
    if gain.low > 0:
        return Outcome.HELPED
    if gain.high < margin or gain.mean == gain.spread == 0:
        return Outcome.DID_NOT_HELP
    return Outcome.CANNOT_TELL


def _verdict(outcome: Outcome, gain: Effect, seeds: int, needed: int | None) -> str:
    if outcome is not Outcome.CANNOT_TELL:
        return "changed nothing" if gain.mean == gain.spread == 0 else str(outcome)
    return f"cannot tell with {seeds} seeds; {'more than 100' if needed is None else f'about {needed}'} would tell"


def _judged_by_divergence(trial: FixTrial, score: str) -> FixTrial:
    """Judge a trial with divergence, which has no mean: ended on every seed, it helped; as much or more, it did not."""
    seeds, before, after = len(trial.seeds), _diverged(trial.untreated), _diverged(trial.treated)
    if before == seeds and after == 0:
        outcome, end = Outcome.HELPED, f"helped ({score} {statistics.fmean(trial.treated):.3f})"
    elif after > before or after == seeds:
        outcome, end = Outcome.DID_NOT_HELP, "did not help"
    else:
        outcome, end = Outcome.CANNOT_TELL, f"cannot tell with {seeds} seeds"
    say = f"{describe(trial.fix)}: {before} of {seeds} seeds diverged without it, {after} with it: {end}"
    return replace(trial, outcome=outcome, say=say)


def _diverged(scores: Sequence[float]) -> int:
    return sum(not math.isfinite(score) for score in scores)
