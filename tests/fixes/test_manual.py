"""Every word that a rule proposes is known: a trial carries it out, or a person has to."""

from __future__ import annotations

import ast
from pathlib import Path

import babysit.rules
from babysit.fixes.apply import ACTIONS
from babysit.fixes.manual import BY_HAND
from babysit.rules.catalogue import RULES

# Words that no rule proposes and callers of babysit.treat may use: the plain form beside the one that scales, or the
# other way round.
FOR_CALLERS = {"set_lr", "scale_weight_decay", "set_epochs"}


def proposed() -> dict[str, str]:
    """Each action written in the rules, also in those fixes that are made while judging, and where."""
    found = {}
    for path in sorted(Path(babysit.rules.__path__[0]).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Fix":
                action = {word.arg: word.value for word in node.keywords}["action"]
                assert isinstance(action, ast.Constant), f"{path.name}: the action is not a plain word"
                found[str(action.value)] = path.name
    return found


def test_each_proposed_action_is_tried_or_listed_as_one_to_make_by_hand():
    unknown = {word: where for word, where in proposed().items() if word not in ACTIONS and word not in BY_HAND}
    assert not unknown
    assert {fix.action for rule in RULES for fix in rule.fixes} <= set(proposed())


def test_no_action_is_both_and_none_is_listed_in_vain():
    assert not set(ACTIONS) & set(BY_HAND)
    assert set(BY_HAND) <= set(proposed())
    assert set(ACTIONS) - set(proposed()) == FOR_CALLERS


def test_each_proposed_fix_has_words_for_people():
    assert all(fix.say.strip() for rule in RULES for fix in rule.fixes)
