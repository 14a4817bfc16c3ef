"""D109: batches ordered by class."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from babysit.analysis.learning import is_underperforming
from babysit.analysis.model_structure import adversarial, model_summary_of
from babysit.records.finding import Evidence, Fix, Severity
from babysit.records.run import Run
from babysit.rules.examples import classes, example_run, flat, healthy
from babysit.rules.rule import Limit, Limits, Rule


def expected_majority(counts: tuple[int, ...], batch: int) -> float:
    """Return the mean fraction of the most frequent class in a random batch, from 200 draws with a fixed seed."""
    shares = np.asarray(counts, dtype=np.float64) / sum(counts)
    draws = np.random.default_rng(0).multinomial(batch, shares, size=200)
    return float(draws.max(axis=1).mean() / batch)


def find(run: Run, limits: Limits) -> Iterator[Evidence]:
    """Compare the mean fraction of the most frequent class of a batch with that of random batches."""
    model_summary = model_summary_of(run)
    if adversarial(run) or model_summary.batch_size < limits["batch"]:
        return
    for number, objective in enumerate(model_summary.objectives):
        counts, seen = objective.class_counts, objective.batch_majority
        if not seen or sum(counts) < 2 * model_summary.batch_size or sum(count > 0 for count in counts) < 2:
            continue
        expected = expected_majority(counts, model_summary.batch_size)
        if seen - expected > limits["excess"] * (1 - expected):
            yield Evidence(
                first_step=0,
                severity=Severity.WARNING if is_underperforming(run) else Severity.INFO,
                numbers={"objective": number, "majority_in_batch": seen, "expected": expected},
                message=f"On average {100 * seen:.0f} % of a batch has one class (random batches: "
                f"{100 * expected:.0f} %): the network learns one class and forgets the previous one.",
            )


RULE = Rule(
    code="D109",
    name="unshuffled-batches",
    severity=Severity.WARNING,
    what="Batches are ordered by class: their label distribution is far from that of the data.",
    why="Each batch moves the weights toward its own class, so the loss oscillates and batch norm statistics are "
    "biased.",
    recommendation="Shuffle: DataLoader(..., shuffle=True), or shuffle once before splitting.",
    find=find,
    needs=("model_summary",),
    limits={
        "excess": Limit(0.5, "halfway between random batches and batches of one class"),
        "batch": Limit(4, "tiny batches have one class by chance"),
    },
    causes=("D108", "F902", "F905", "F909", "N804", "O210", "U601"),
    fixes=(Fix(action="shuffle", say="Shuffle every epoch.", code="DataLoader(data, batch_size=64, shuffle=True)"),),
    false_positives=("Class-wise sampling for metric learning: INFO if the training learns.",),
    sources=("Bengio 2012 (arXiv 1206.5533), section 3.1: order of examples.",),
    fires_on=(lambda: example_run(objective=classes(batch_majority=1.0), loss=flat(2.3)),),
    silent_on=(healthy, lambda: example_run(objective=classes(batch_majority=0.18), loss=flat(2.3))),
)
