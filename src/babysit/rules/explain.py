"""Documentation pages of the rules, generated from the rules."""

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
    "W": "Training loop",
    "N": "Normalization and dropout",
    "F": "Fit",
    "S": "Search",
    "T": "Monitoring",
}


def _section(title: str, lines: Iterable[str]) -> list[str]:
    body = [line for line in lines if line]
    return ["", f"## {title}", "", *body] if body else []


def _fixes(rule: Rule) -> Iterable[str]:
    yield rule.recommendation
    for fix in rule.fixes:
        yield ""
        yield f"- {fix.say}" + (f"\n\n  ```python\n  {_indent(fix.code)}\n  ```" if fix.code else "")


def _indent(code: str) -> str:
    return code.replace("\n", "\n  ")


def _example(rule: Rule) -> Iterable[str]:
    """Return the finding of the rule on its first example."""
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
    """Return the page of a rule by code or name, as Markdown; raises UserError for an unknown one."""
    return page(find_rule(word))


def page(rule: Rule) -> str:
    """Return the page of a rule as Markdown."""
    lines = [f"# {rule.code} {rule.name}", "", f"{rule.severity} · {FAMILIES[rule.family]} · {rule.stage}"]
    lines += _section("What it detects", (rule.what,))
    lines += _section("Why it matters", (rule.why,))
    lines += _section("Example", _example(rule))
    lines += _section("How to fix it", _fixes(rule))
    lines += _section("Known false positives", (f"- {one}" for one in rule.false_positives))
    thresholds = [f"| `{name}` | {limit.value:g} | {limit.source} |" for name, limit in rule.limits.items()]
    if thresholds:
        lines += _section("Thresholds", ("| name | value | source |", "|---|---|---|", *thresholds))
    caused_by = _links(other.code for other in RULES if rule.code in other.causes)
    related = (
        f"- Explains: {_links(rule.causes)}" if rule.causes else "",
        f"- Explained by: {caused_by}" if caused_by else "",
    )
    lines += _section("Related", related)
    lines += _section("Sources", (f"- {one}" for one in rule.sources))
    return "\n".join(lines) + "\n"


def index() -> str:
    """Return the list of all rules by family, as Markdown."""
    lines = ["# Rules", "", "All rules of babysit. Findings of severity INFO are notes and never change the verdict."]
    for family, title in FAMILIES.items():
        rules = [rule for rule in RULES if rule.family == family]
        if rules:
            lines += ["", f"## {title}", "", "| code | name | severity | detects |", "|---|---|---|---|"]
            lines += [f"| [{one.code}]({one.code}.md) | {one.name} | {one.severity} | {one.what} |" for one in rules]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Return all pages by file name."""
    return {"index.md": index()} | {f"{rule.code}.md": page(rule) for rule in RULES}


def write_pages(folder: Path) -> tuple[Path, ...]:
    """Write all pages into a folder, creating it if necessary; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in pages().items():
        target = folder / name
        target.write_text(text, encoding="utf-8")
        written.append(target)
    return tuple(written)
