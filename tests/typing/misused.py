"""Calls that a type checker has to refuse: under --strict, a comment that ignores nothing is an error itself."""

from __future__ import annotations

from torch import nn

import babysit

model = nn.Linear(64, 10)
samples = babysit.load_data("digits")

babysit.wach(model)  # type: ignore[attr-defined]
babysit.watch(model, overhead="little")  # type: ignore[call-overload]
babysit.watch(model).log("val/loss", "low")  # type: ignore[arg-type]
babysit.load_data("digits", target=3)  # type: ignore[arg-type]
babysit.check(model)  # type: ignore[call-arg]
babysit.fit(model, samples)  # type: ignore[arg-type]
babysit.search(lambda parameters: model, samples, space=None)  # type: ignore[arg-type]
length: int = babysit.report(babysit.watch(model).run)  # type: ignore[assignment]
