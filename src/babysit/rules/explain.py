"""The page of a rule, written from the rule itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from babysit.rules.catalogue import RULES
from babysit.rules.engine import run_rule
from babysit.rules.rule import Rule
from babysit.rules.selection import find_rule, limits_of

FAMILIES = {
    "D": "Data",
    "O": "Objective: output, loss and target",
    "I": "Initialization",
    "A": "Activations",
    "G": "Gradients",
    "U": "Updates and learning rate",
    "W": "Wiring of the loop",
    "N": "Normalization and dropout",
    "F": "Fit",
    "S": "Search",
    "T": "The tool itself",
}


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = [line for line in lines if line]
    return ["", f"## {title}", "", *body] if body else []


def _cures(rule: Rule) -> Iterable[str]:
    yield rule.recommendation
    for fix in rule.fixes:
        yield ""
        yield f"- {fix.say}" + (f"\n\n  ```python\n  {_indent(fix.code)}\n  ```" if fix.code else "")


def _indent(code: str) -> str:
    return code.replace("\n", "\n  ")


def _example(rule: Rule) -> Iterable[str]:
    """What the rule says of its own example, with real numbers."""
    for build in rule.fires_on[:1]:
        for finding in run_rule(rule, build(), limits_of(rule, {}))[:1]:
            yield f"> {finding.severity} {finding.code} {finding.name}: {finding.message}"
            numbers = ", ".join(f"{name} = {_number(value)}" for name, value in finding.evidence.items())
            yield f">\n> {numbers}" if numbers else ""


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _links(codes: Iterable[str]) -> str:
    names = {rule.code: rule.name for rule in RULES}
    return ", ".join(f"[{code} {names[code]}]({code}.md)" for code in codes if code in names)


def explain(word: str) -> str:
    """The page of a rule by code or name, as Markdown; raises UserError for an unknown one."""
    return page(find_rule(word))


def page(rule: Rule) -> str:
    """What, why, evidence, fix, when it is wrong, thresholds and sources, as Markdown."""
    lines = [f"# {rule.code} {rule.name}", "", f"{rule.severity} · {FAMILIES[rule.family]} · {rule.stage}"]
    lines += _section("What is found", (rule.what,))
    lines += _section("Why it hurts", (rule.why,))
    lines += _section("What the evidence looks like", _example(rule))
    lines += _section("How to fix it", _cures(rule))
    lines += _section("When it is wrong", (f"- {one}" for one in rule.false_positives))
    thresholds = [f"| `{name}` | {limit.value:g} | {limit.source} |" for name, limit in rule.limits.items()]
    if thresholds:
        lines += _section("Thresholds", ("| name | value | why this value |", "|---|---|---|", *thresholds))
    caused_by = _links(other.code for other in RULES if rule.code in other.causes)
    story = (
        f"- Explains: {_links(rule.causes)}" if rule.causes else "",
        f"- Explained by: {caused_by}" if caused_by else "",
    )
    lines += _section("Related", story)
    lines += _section("Sources", (f"- {one}" for one in rule.sources))
    return "\n".join(lines) + "\n"


def index() -> str:
    """The list of all rules by family, as Markdown."""
    lines = ["# Rules", "", "Every issue that babysit knows. Severity INFO is a remark and never an alarm."]
    for family, title in FAMILIES.items():
        rules = [rule for rule in RULES if rule.family == family]
        if rules:
            lines += ["", f"## {title}", "", "| code | name | severity | found when |", "|---|---|---|---|"]
            lines += [f"| [{one.code}]({one.code}.md) | {one.name} | {one.severity} | {one.what} |" for one in rules]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """All pages by file name."""
    return {"index.md": index()} | {f"{rule.code}.md": page(rule) for rule in RULES}


def write_pages(folder: Path) -> tuple[Path, ...]:
    """Writes every page into a folder, which is made when missing; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages().items():
        target = folder / name
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return tuple(written)
