"""Source locations of a finding: the line that creates the layer, the optimizer or the loss.

Recorded locations take precedence. Without them the current script is parsed, and a line is returned only if it is
unambiguous.
"""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from babysit.records.errors import UserError
from babysit.records.finding import Finding
from babysit.records.model_summary import Layer
from babysit.records.reading import require_file
from babysit.records.run import Run

# Larger files are generated code; parsing them would take seconds.
_LARGEST_SCRIPT: Final = 2_000_000
_MOST_PLACES: Final = 20


class SourceLocation(NamedTuple):
    """A line of the program (from 1) and its role; `recorded` is False if it was found by parsing the script."""

    file: str
    line: int
    words: str
    recorded: bool = False


def script_of(run: Run) -> str:
    """Return the script named in the command of the run, or ""."""
    try:
        words = shlex.split(run.command)
    except ValueError:  # an unbalanced quote
        words = run.command.split()
    # `babysit fit … --model mine.py` also names a file, but not the training script.
    started = words[:1] == ["python"] or words[:2] == ["babysit", "watch"]
    return next((word for word in words if word.endswith(".py")), "") if started else ""


def source_locations(run: Run, finding: Finding) -> tuple[SourceLocation, ...]:
    """Return the lines that a finding is about, the most specific first; empty if unknown."""
    recorded = tuple(_recorded(run, finding))
    if recorded:
        return recorded[:_MOST_PLACES]
    file = script_of(run)
    calls = _calls(file) if file else []
    if not calls:
        return ()
    found = []
    for subject in _subjects(finding):
        found += [SourceLocation(file, line, words) for line, words in _READ[subject](run, finding, calls)]
        if found:
            break
    return tuple(dict.fromkeys(found))[:_MOST_PLACES]


def _subjects(finding: Finding) -> tuple[str, ...]:
    """Return the kinds of source lines that a finding is about, in order of preference."""
    if finding.code in _ABOUT:
        return _ABOUT[finding.code]
    layers = ("layers",) if finding.layers else ()
    return (*layers, *_ABOUT_FAMILY.get(finding.code[:1], ("backward",)))


_ABOUT_FAMILY: Final[dict[str, tuple[str, ...]]] = {
    "A": ("layers",),
    "D": ("data",),
    "F": ("optimizer", "backward"),
    "G": ("backward",),
    "I": ("layers",),
    "N": ("layers",),
    "O": ("loss", "backward"),
    "U": ("optimizer",),
    "W": ("backward",),
}
_ABOUT: Final[dict[str, tuple[str, ...]]] = {
    "N806": ("output_ops", "loss"),
    "O201": ("output_ops", "loss"),
    "O202": ("output_ops", "loss"),
    "O211": ("output_ops", "loss"),
    "O212": ("optimizer",),
    "U601": ("optimizer",),
    "U602": ("optimizer",),
    "U603": ("optimizer",),
    "W701": ("backward",),
    "W703": ("optimizer",),
    "W704": ("optimizer",),
}


class _Call(NamedTuple):
    name: str  # the last part: Linear of torch.nn.Linear
    line: int
    target: str  # name the result is bound to: fc1 for self.fc1 = …, or ""


def _calls(file: str) -> list[_Call]:
    """Return every call in a script in line order; empty if it cannot be parsed."""
    path = Path(file)
    try:
        require_file(path, most_bytes=_LARGEST_SCRIPT)
        tree = ast.parse(path.read_bytes())
    except (UserError, OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    targets = {id(value): name for node in ast.walk(tree) for name, value in _bindings(node)}
    found = [
        _Call(_last(node.func), node.lineno, targets.get(id(node), ""))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    ]
    return sorted(found, key=lambda call: call.line)


def _bindings(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield names and the nodes bound to them: by assignment, as a keyword, or as a dictionary key."""
    if isinstance(node, ast.Assign):
        yield from ((_last(target), node.value) for target in node.targets)
    elif isinstance(node, ast.keyword) and node.arg:
        yield node.arg, node.value
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if isinstance(key, ast.Constant) and isinstance(key.value, str):
                yield key.value, value
    elif isinstance(node, ast.Tuple) and len(node.elts) == 2 and isinstance(node.elts[0], ast.Constant):
        yield str(node.elts[0].value), node.elts[1]  # a pair of an OrderedDict


def _last(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


Found = Iterable[tuple[int, str]]


def _optimizer(run: Run, finding: Finding, calls: list[_Call]) -> Found:
    kinds = {optimizer.kind for optimizer in run.model_summary.optimizers} if run.model_summary else set()
    return [(call.line, f"the optimizer {call.name} is created") for call in calls if call.name in kinds]


def _loss(run: Run, finding: Finding, calls: list[_Call]) -> Found:
    kinds = {_plain(objective.loss) for objective in run.model_summary.objectives} if run.model_summary else set()
    return [(call.line, f"the loss {call.name}") for call in calls if _plain(call.name) in kinds]


def _chain(run: Run, finding: Finding, calls: list[_Call]) -> Found:
    """Find an operation between the last layer and the loss, such as a redundant softmax."""
    steps = {
        _plain(step.name)
        for one in (run.model_summary.objectives if run.model_summary else ())
        for step in one.output_ops
    }
    found = [(call.line, f"{call.name} comes before the loss") for call in calls if _plain(call.name) in steps]
    return found if len(found) == 1 else []


def _plain(loss: str) -> str:
    """Normalize the name of a loss: cross_entropy and CrossEntropyLoss become equal."""
    plain = re.sub(r"[^a-z0-9]", "", loss.lower()).removesuffix("loss")
    return plain.replace("bce", "binarycrossentropy", 1) if plain.startswith("bce") else plain


def _layers(run: Run, finding: Finding, calls: list[_Call]) -> Found:
    known = run.model_summary.layers if run.model_summary else ()
    named = [layer for layer in known if layer.name in set(finding.layers)] if finding.layers else []
    for layer in named[:_MOST_PLACES]:
        line = _line_of(layer, known, calls)
        if line:
            yield line, f"the layer {layer.name} ({layer.kind}) is created"


def _line_of(layer: Layer, known: tuple[Layer, ...], calls: list[_Call]) -> int | None:
    made = [call for call in calls if call.name == layer.kind]
    by_name = {call.line for call in made if call.target and call.target == layer.name.rpartition(".")[2]}
    if len(by_name) == 1:
        return by_name.pop()
    alike = [other.name for other in known if other.kind == layer.kind]
    # As many calls as layers of the kind: assume the order of creation.
    if len(alike) == len(made) and layer.name in alike:
        return made[alike.index(layer.name)].line
    lines = {call.line for call in made}
    return lines.pop() if len(lines) == 1 else None


def _backward(run: Run, finding: Finding, calls: list[_Call]) -> Found:
    return [(call.line, "backward is called") for call in calls if call.name == "backward"]


def _data(run: Run, finding: Finding, calls: list[_Call]) -> Found:
    return [(call.line, "the data are loaded") for call in calls if call.name == "DataLoader"]


_READ: Final[dict[str, Callable[[Run, Finding, list[_Call]], Found]]] = {
    "backward": _backward,
    "output_ops": _chain,
    "data": _data,
    "layers": _layers,
    "loss": _loss,
    "optimizer": _optimizer,
}


def _recorded(run: Run, finding: Finding) -> Iterator[SourceLocation]:
    """Yield the locations recorded in the field `made_at` ("train.py:12")."""
    if run.model_summary is None:
        return
    named = set(finding.layers)
    records: dict[str, list[tuple[str, Any]]] = {
        "layers": [(f"the layer {one.name} is created", one) for one in run.model_summary.layers if one.name in named],
        "optimizer": [(f"the optimizer {one.kind} is created", one) for one in run.model_summary.optimizers],
        "loss": [(f"the loss {one.loss}", one) for one in run.model_summary.objectives],
    }
    for subject in _subjects(finding):
        found = [(words, getattr(record, "made_at", "")) for words, record in records.get(subject, [])]
        parsed = [(words, *at.rpartition(":")[::2]) for words, at in found if at]
        made = [
            SourceLocation(file, int(line), words, recorded=True) for words, file, line in parsed if line.isdecimal()
        ]
        if made:
            yield from (location for location in made if location.line > 0)
            return
