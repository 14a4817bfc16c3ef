"""Records to bytes and back, and to JSON."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from babysit.records.curves import Curves, Series
from babysit.records.errors import UserError
from babysit.records.finding import Finding, Severity
from babysit.records.layer_metrics import LayerMetrics
from babysit.records.run import VERSION, Run
from babysit.records.serialization import from_bytes, to_bytes, to_json
from babysit.records.verdict import Verdict


@settings(max_examples=80, deadline=None)
@given(
    hnp.arrays("float32", hnp.array_shapes(min_dims=2, max_dims=2), elements=st.floats(width=32)),
    hnp.arrays("float64", st.integers(0, 9)),
    st.text(max_size=40),
)
def test_every_bit_of_a_run_comes_back(table: np.ndarray, losses: np.ndarray, name: str) -> None:
    run = Run(
        id="r",
        name=name,
        layer_metrics=LayerMetrics(
            layers=tuple(str(index) for index in range(table.shape[1])),
            steps=np.arange(len(table)),
            values={"dead": table},
        ),
        curves=Curves(series={"train/loss": Series(np.arange(len(losses)), losses)}),
    )
    back = from_bytes(to_bytes(run), Run)
    assert back.name == name
    assert back.layer_metrics.values["dead"].dtype == np.float32
    assert back.layer_metrics.values["dead"].tobytes() == table.tobytes()
    assert back.curves.get("train/loss").values.tobytes() == losses.tobytes()
    json.loads(to_json(back))


def test_big_endian_arrays_are_kept_as_the_same_numbers() -> None:
    series = from_bytes(to_bytes(Series(np.arange(3, dtype=">i8"), np.array([1.5, -2, 0], dtype=">f8"))), Series)
    assert series.steps.tolist() == [0, 1, 2]
    assert series.values.tolist() == [1.5, -2.0, 0.0]


def test_json_says_nan_and_infinity_in_words() -> None:
    text = to_json(Curves(series={"a": Series(np.arange(3), np.array([math.nan, math.inf, -math.inf]))}))
    assert json.loads(text)["series"]["a"]["values"] == ["nan", "inf", "-inf"]


@pytest.mark.parametrize("payload", [b"", b"\xff\xff", b"not a run", b"\x81\xa2id\x01"])
def test_bytes_that_are_no_run_are_said_so(payload: bytes) -> None:
    with pytest.raises(UserError, match="not a readable Run"):
        from_bytes(payload, Run)


def test_an_array_of_python_objects_is_never_read() -> None:
    forged = msgspec.msgpack.encode({
        "id": "x",
        "layer_metrics": {"steps": {"dtype": "|O", "shape": [1], "bytes": b"\0" * 8}},
    })  # fmt: skip
    with pytest.raises(UserError, match="not a readable Run"):
        from_bytes(forged, Run)


def test_a_run_of_a_newer_babysit_is_refused_in_words() -> None:
    with pytest.raises(UserError, match="newer babysit"):
        from_bytes(to_bytes(Run(id="x", version=VERSION + 1)), Run)


def test_fields_added_later_have_defaults_and_unknown_ones_are_passed_over() -> None:
    assert from_bytes(msgspec.msgpack.encode({"id": "old", "something": 3}), Run).id == "old"


def test_the_diagnosis_is_the_first_alarm_that_nothing_explains() -> None:
    findings = (
        Finding(code="F905", name="stalled-loss", severity=Severity.WARNING, rank=1, explained_by="O201"),
        Finding(code="D102", name="uncentered-input", severity=Severity.INFO, rank=2),
        Finding(code="O201", name="double-softmax", severity=Severity.ERROR, rank=3),
    )
    run = Run(id="x", findings=findings)
    assert run.root_cause is not None
    assert run.root_cause.code == "O201"
    assert [finding.code for finding in run.problems] == ["F905", "O201"]
    assert Run(id="x", findings=findings[1:2]).root_cause is None


def test_a_run_that_nobody_judged_is_inconclusive() -> None:
    assert Run(id="x").verdict is Verdict.INCONCLUSIVE
