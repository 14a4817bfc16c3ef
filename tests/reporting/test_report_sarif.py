"""SARIF: the fields that the standard asks for, at the right lines, with nothing that names could break."""

from __future__ import annotations

import json

import jsonschema
import msgspec
import pytest

from babysit.records.run import Run, Status
from babysit.reporting.report import report
from babysit.testing import synthetic_runs

# What SARIF 2.1.0 requires of the objects used here (its sections 3.13 to 3.52), and the values it allows.
TEXT = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string", "minLength": 1}}}
PHYSICAL = {
    "type": "object",
    "required": ["artifactLocation", "region"],
    "properties": {
        "artifactLocation": {
            "type": "object",
            "required": ["uri"],
            "properties": {"uri": {"type": "string", "pattern": r"^(file://)?[A-Za-z0-9%/._~-]+$"}},
        },
        "region": {
            "type": "object",
            "required": ["startLine"],
            "properties": {"startLine": {"type": "integer", "minimum": 1}},
        },
    },
}
LOCATION = {"type": "object", "properties": {"physicalLocation": PHYSICAL, "message": TEXT}}
RESULT = {
    "type": "object",
    "required": ["message", "ruleId", "level"],
    "properties": {
        "message": TEXT,
        "ruleId": {"type": "string", "minLength": 1},
        "ruleIndex": {"type": "integer", "minimum": 0},
        "level": {"enum": ["none", "note", "warning", "error"]},
        "locations": {"type": "array", "items": LOCATION},
        "relatedLocations": {"type": "array", "items": LOCATION, "minItems": 1},
        "partialFingerprints": {"type": "object", "additionalProperties": {"type": "string"}},
    },
}
RULE = {
    "type": "object",
    "required": ["id"],
    "properties": {"id": {"type": "string"}, "shortDescription": TEXT, "fullDescription": TEXT, "help": TEXT},
}
DRIVER = {"type": "object", "required": ["name"], "properties": {"rules": {"type": "array", "items": RULE}}}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$"}
SARIF = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool", "results"],
                "properties": {
                    "tool": {"type": "object", "required": ["driver"], "properties": {"driver": DRIVER}},
                    "results": {"type": "array", "items": RESULT},
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "properties": {"startTimeUtc": TIME, "endTimeUtc": TIME},
                        },
                    },
                },
            },
        },
    },
}


def written(run):
    log = json.loads(report(run, format="sarif"))
    jsonschema.validate(log, SARIF)
    return log["runs"][0]


@pytest.mark.parametrize(
    "name", ["healthy_run", "diverging_run", "overfit_run", "search_run", "hostile_names_run", "hundred_layers_run"]
)
def test_every_kind_of_run_has_what_the_standard_asks_for(name):
    log = written(getattr(synthetic_runs, name)())
    rules = log["tool"]["driver"]["rules"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in log["results"])


def test_an_empty_run_has_no_results_and_a_crashed_one_did_not_succeed():
    assert written(Run(id="x"))["results"] == []
    assert written(Run(id="x", status=Status.CRASHED))["invocations"][0]["executionSuccessful"] is False


def test_severities_become_levels_and_symptoms_name_their_cause():
    results = written(synthetic_runs.diverging_run())["results"]
    assert [result["level"] for result in results] == ["error", "error", "warning"]
    assert [result["properties"]["explainedBy"] for result in results] == [None, "U601", "F906"]
    assert written(synthetic_runs.overfit_run())["results"][1]["level"] == "note"


def test_a_result_points_at_the_line_that_made_the_optimizer(tmp_path):
    script = tmp_path / "a train.py"
    script.write_text("import torch\n\noptimizer = torch.optim.Adam(net.parameters(), lr=1.0)\n")
    run = msgspec.structs.replace(synthetic_runs.diverging_run(), command=f"python '{script}'")
    place = written(run)["results"][0]["locations"][0]["physicalLocation"]
    assert place["region"] == {"startLine": 3}
    assert place["artifactLocation"]["uri"] == f"file://{tmp_path}/a%20train.py"


def test_a_script_that_cannot_be_read_is_named_as_a_whole():
    place = written(synthetic_runs.diverging_run())["results"][0]["locations"][0]["physicalLocation"]
    assert place == {
        "artifactLocation": {"uri": "train.py", "uriBaseId": "SRCROOT"},
        "region": {"startLine": 1},
    }


def test_the_same_disease_in_the_same_layers_has_the_same_fingerprint_whatever_its_numbers():
    run = synthetic_runs.diverging_run()
    other = msgspec.structs.replace(run.findings[0], message="other words", evidence={}, first_step=7)
    again = written(msgspec.structs.replace(run, findings=(other,)))["results"][0]
    assert again["partialFingerprints"] == written(run)["results"][0]["partialFingerprints"]
    elsewhere = msgspec.structs.replace(other, layers=("elsewhere",))
    third = written(msgspec.structs.replace(run, findings=(elsewhere,)))["results"][0]
    assert third["partialFingerprints"] != again["partialFingerprints"]


def test_hostile_names_make_neither_links_nor_placeholders_nor_long_texts():
    text = report(synthetic_runs.hostile_names_run(), format="sarif")
    result = json.loads(text)["runs"][0]["results"][0]
    assert not set(result["message"]["text"]) & set("[]{}\x1b\x07\x00\u202e")
    assert "x" * 200 not in text
    assert len(result["locations"][0]["logicalLocations"]) == len(synthetic_runs.HOSTILE_NAMES)
