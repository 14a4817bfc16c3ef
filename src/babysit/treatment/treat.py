"""Proves cures by training again, untreated and with each of them, on several seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace
from scipy.stats import t as student_t

from babysit.records.finding import Treatment
from babysit.records.problem import UserError
from babysit.treatment.trial import TreatmentTrial

if TYPE_CHECKING:
    from rich.progress import Progress

# Trains anew with a cure (None: without) and a seed, and gives a score, higher when better. Everything random must
# come from the seed, so that with and without differ by the cure alone (common random numbers).
RunAgain = Callable[[Treatment | None, int], float]

# The usual level; divided by the number of cures (Bonferroni), because of many useless ones one in twenty looks good.
_CHANCE: Final = 0.05


def treat(
    run_again: RunAgain,
    treatments: Sequence[Treatment],
    *,
    seeds: Sequence[int] = (0, 1, 2),
    progress: Progress | None = None,
) -> tuple[TreatmentTrial, ...]:
    """Tries each cure on every seed and ranks them by what they brought.

    A cure has helped when it beats the untreated training on the same seeds by more than chance (paired t-test, counted
    for all cures tried) and by more than a change of seed alone would; or when it ends divergence on every seed. Ctrl-C
    ends the trials; those not finished then say so in `problem`.

    Args:
        run_again: trains and scores; called once for each seed and for each seed and cure.
        treatments: the cures; the same one twice is tried once.
        seeds: two or more different ones.
        progress: shows trainings done.

    Raises:
        UserError: fewer than two seeds; whatever the untreated training raises is raised as it is.
    """
    if len(set(seeds)) < 2 or len(set(seeds)) != len(seeds):
        raise UserError(
            "a cure needs at least two different seeds to be proven",
            where=f"seeds {tuple(seeds)}",
            do="Use seeds 0 1 2",
        )
    cures = _different(treatments)
    bar = progress.add_task("treatment", total=len(seeds) * (1 + len(cures))) if progress else None

    def scores(treatment: Treatment | None) -> tuple[float, ...]:
        found = []
        for seed in seeds:
            found.append(float(run_again(treatment, seed)))
            if progress is not None and bar is not None:
                progress.advance(bar)
        return tuple(found)

    untreated = scores(None)
    trials: list[TreatmentTrial] = []
    for cure in cures:
        trial = TreatmentTrial(treatment=cure, seeds=tuple(seeds), untreated=untreated)
        try:
            trials.append(_judged(trial, scores(cure), len(cures)))
        except KeyboardInterrupt:
            unfinished = cures[len(trials) :]
            trials += [_not_tried(trial, other, "interrupted before it was finished") for other in unfinished]
            break
        except UserError as problem:
            trials.append(_not_tried(trial, cure, str(problem)))
        except Exception as problem:  # a cure may break the user's model in any way; the others are still tried
            trials.append(_not_tried(trial, cure, f"{type(problem).__name__}: {problem}"))
    return _ranked(trials)


def summary(trials: Sequence[TreatmentTrial]) -> str:
    """What the trials say together, in one sentence."""
    helped = [trial for trial in trials if trial.helped]
    if helped:
        also = f" ({len(helped) - 1} more helped as well)" if len(helped) > 1 else ""
        return f"{helped[0].say}{also}"
    tried = sum(not trial.problem for trial in trials)
    if not tried:
        return "No treatment could be tried." if trials else "There was no treatment to try."
    return f"No treatment helped: none of the {tried} tried beat the untreated training by more than chance."


def _different(treatments: Sequence[Treatment]) -> list[Treatment]:
    """The first of those that do the same; words and code do not matter."""
    first: dict[tuple[str, str, object], Treatment] = {}
    for treatment in treatments:
        first.setdefault((treatment.action, treatment.target, treatment.value), treatment)
    return list(first.values())


def _judged(trial: TreatmentTrial, treated: tuple[float, ...], cures: int) -> TreatmentTrial:
    if not all(map(math.isfinite, (*trial.untreated, *treated))):
        return _judged_by_divergence(trial, treated)
    gains = [after - before for before, after in zip(trial.untreated, treated, strict=True)]
    gain, spread = statistics.fmean(gains), statistics.stdev(gains)
    chance = _chance(gains, spread)
    noise = max(statistics.stdev(trial.untreated), statistics.stdev(treated))
    helped = gain > noise and chance < _CHANCE / cures
    say = (
        f"{describe(trial.treatment)} {_verdict(gain, spread, helped=helped)}: "
        f"{statistics.fmean(trial.untreated):.3f} to {statistics.fmean(treated):.3f} "
        f"({gain:+.3f} ± {spread:.3f} over {len(gains)} seeds)"
    )
    return replace(trial, treated=treated, gain=gain, spread=spread, chance=chance, helped=helped, say=say)


def _judged_by_divergence(trial: TreatmentTrial, treated: tuple[float, ...]) -> TreatmentTrial:
    name = describe(trial.treatment)
    before, after = _diverged(trial.untreated), _diverged(treated)
    if before == len(treated) and after == 0:
        mean = statistics.fmean(treated)
        say = f"{name} helped: all {before} seeds diverged without it, none with it (score {mean:.3f})"
        return replace(trial, treated=treated, helped=True, say=say)
    say = f"{name} is not shown to help: {before} of {len(treated)} seeds diverged without it, {after} with it"
    return replace(trial, treated=treated, say=say)


def _verdict(gain: float, spread: float, *, helped: bool) -> str:
    if helped:
        return "helped"
    if gain == 0 and spread == 0:
        return "changed nothing"
    return "is not shown to help" if gain > 0 else "did not help"


def _chance(gains: Sequence[float], spread: float) -> float:
    """One-sided paired t-test; without any spread the sign decides."""
    if spread == 0:
        return 0.0 if gains[0] > 0 else 1.0
    return float(student_t.sf(statistics.fmean(gains) / spread * math.sqrt(len(gains)), len(gains) - 1))


def _diverged(scores: Sequence[float]) -> int:
    return sum(not math.isfinite(score) for score in scores)


def _ranked(trials: Sequence[TreatmentTrial]) -> tuple[TreatmentTrial, ...]:
    def order(trial: TreatmentTrial) -> tuple[bool, bool, float]:
        # A cure that ended divergence has no gain in numbers and still comes before those that only improve.
        gain = trial.gain if trial.gain is not None else math.inf if trial.helped else -math.inf
        return bool(trial.problem), not trial.helped, -gain

    return tuple(replace(trial, rank=place) for place, trial in enumerate(sorted(trials, key=order), start=1))


def _not_tried(trial: TreatmentTrial, treatment: Treatment, problem: str) -> TreatmentTrial:
    say = f"{describe(treatment)} could not be tried: {problem}"
    return replace(trial, treatment=treatment, problem=problem, say=say)


def describe(treatment: Treatment) -> str:
    """A treatment on one line: its action, what it is about, and the value."""
    value = f" {treatment.value:g}" if isinstance(treatment.value, float) else f" {treatment.value or ''}".rstrip()
    return f"{treatment.action}{f' of {treatment.target}' if treatment.target else ''}{value}"
