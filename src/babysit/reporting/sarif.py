"""Report of a run as SARIF 2.1.0, which editors and code hosts show next to the code.

The fields are those of the OASIS standard "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
"""

from __future__ import annotations

import hashlib
from pathlib import PurePath
from typing import Any, Final
from urllib.parse import quote

from babysit import __version__
from babysit.analysis.extent import measured
from babysit.plots.names import clean, display_name, short
from babysit.records.finding import Finding
from babysit.records.run import Run, Status
from babysit.records.serialization import to_json
from babysit.reporting import run_metadata
from babysit.reporting.json_format import encodable
from babysit.reporting.source_locations import SourceLocation, script_of, source_locations
from babysit.reporting.verdict import verdict

SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS: Final = {"ERROR": "error", "WARNING": "warning", "INFO": "note"}
_LONGEST: Final = 2_000
_MOST_LAYERS: Final = 100


def sarif(run: Run) -> str:
    """Return the run as SARIF: one result per finding, at the line of the layer, the optimizer or the loss."""
    findings = sorted(run.findings, key=lambda finding: finding.rank)
    codes = list(dict.fromkeys(finding.code for finding in findings))
    log = {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {"driver": _driver(codes, findings)},
                "automationDetails": {"id": f"babysit/{clean(run.id)}"},
                "invocations": [_invocation(run)],
                "columnKind": "unicodeCodePoints",
                "originalUriBaseIds": {"SRCROOT": {"description": {"text": "Working directory of the script."}}},
                "results": [_result(run, finding, codes.index(finding.code)) for finding in findings],
                "properties": {
                    "verdict": run.verdict,
                    "status": run.status,
                    "missing": list(run.missing),
                    "measured": measured(run),
                    "summary": short(verdict(run).sentence, _LONGEST),
                },
            }
        ],
    }
    return to_json(encodable(log))


def _driver(codes: list[str], findings: list[Finding]) -> dict[str, Any]:
    return {
        "name": "babysit",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(code, next(one for one in findings if one.code == code)) for code in codes],
    }


def _rule(code: str, finding: Finding) -> dict[str, Any]:
    from babysit.rules.catalogue import RULES

    rule = next((rule for rule in RULES if rule.code == code), None)
    descriptor: dict[str, Any] = {"id": short(code, 40), "name": short(finding.name, 80)}
    if rule is None:  # a rule of a newer version or of a plug-in
        return descriptor | {"shortDescription": {"text": display_name(finding.name) + "."}}
    return descriptor | {
        "shortDescription": {"text": rule.what},
        "fullDescription": {"text": f"{rule.what} {rule.why}"},
        "help": {"text": f"{rule.recommendation} More: babysit explain {code}"},
        "defaultConfiguration": {"level": _LEVELS[rule.severity]},
        "properties": {"stage": rule.stage, "sources": list(rule.sources)},
    }


def _result(run: Run, finding: Finding, index: int) -> dict[str, Any]:
    found = source_locations(run, finding)
    words = " ".join(part for part in (finding.message, finding.recommendation) if part) or display_name(finding.name)
    result: dict[str, Any] = {
        "ruleId": short(finding.code, 40),
        "ruleIndex": index,
        "level": _LEVELS[finding.severity],
        # Braces are placeholders and square brackets links in SARIF: external text must contain neither.
        "message": {"text": _plain(words)},
        "locations": _locations(run, finding, found),
        "partialFingerprints": {"finding/v1": _fingerprint(finding)},
        "properties": {
            "confidence": finding.confidence,
            "evidence": {short(name, 60): run_metadata.value_words(value) for name, value in finding.evidence.items()},
            "firstStep": finding.first_step,
            "lastStep": finding.last_step,
            "explainedBy": finding.explained_by,
            "located": "recorded" if any(location.recorded for location in found) else "by reading the current script",
        },
    }
    if not found:
        result["properties"].pop("located")
    if len(found) > 1:
        related = found[1:]
        result["relatedLocations"] = [
            {"id": number, "message": {"text": _plain(location.words)}, "physicalLocation": _physical(location)}
            for number, location in enumerate(related, start=1)
        ]
    return result


def _locations(run: Run, finding: Finding, found: tuple[SourceLocation, ...]) -> list[dict[str, Any]]:
    location: dict[str, Any] = {}
    if found:
        location["physicalLocation"] = _physical(found[0])
        location["message"] = {"text": _plain(found[0].words)}
    elif script_of(run):
        # Without a line, point to the script: code hosts only show results that name a file.
        location["physicalLocation"] = _physical(SourceLocation(script_of(run), 1, ""))
    if finding.layers:
        location["logicalLocations"] = [
            {"name": short(name, 80) or "(no name)", "kind": "module"} for name in finding.layers[:_MOST_LAYERS]
        ]
    return [location] if location else []


def _physical(location: SourceLocation) -> dict[str, Any]:
    path = PurePath(clean(location.file))
    uri = quote(path.as_posix().encode("utf-8", "replace"))
    where = {"uri": f"file://{uri}"} if path.is_absolute() else {"uri": uri, "uriBaseId": "SRCROOT"}
    return {"artifactLocation": where, "region": {"startLine": location.line}}


def _invocation(run: Run) -> dict[str, Any]:
    invocation: dict[str, Any] = {"executionSuccessful": run.status is not Status.CRASHED}
    if run.command:
        invocation["commandLine"] = short(run.command, _LONGEST)
    for name, written in (("startTimeUtc", run.created), ("endTimeUtc", run.ended)):
        moment = run_metadata.utc(written)
        if moment:
            invocation[name] = moment
    return invocation


def _fingerprint(finding: Finding) -> str:
    """Return a hash of issue and layers, by which code hosts match results across runs."""
    key = "\0".join([finding.code, *finding.layers])
    return hashlib.sha256(key.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def _plain(words: str) -> str:
    text = short(words, _LONGEST)
    return text.translate({ord("["): "(", ord("]"): ")", ord("{"): "(", ord("}"): ")"}) or "(no text)"
