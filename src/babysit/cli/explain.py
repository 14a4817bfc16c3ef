"""`babysit explain`: one rule in full."""

from __future__ import annotations

import json as json_format
import sys

from rich.markdown import Markdown

from babysit.cli.options import Json
from babysit.cli.terminal import out, say


def explain(rule: str, /, *, json: Json = False) -> int:
    """Say what a rule looks for, why it matters, what to do, and when it is wrong.

    Examples:

        $ babysit explain O201
        $ babysit explain double-softmax
        $ babysit explain O201 --json

    Args:
        rule: Code or name, as `babysit rules` lists them.
    """
    from babysit.rules.explain import page
    from babysit.rules.selection import find_rule

    found = find_rule(rule)
    if json:
        from babysit.cli.rules import facts

        say(json_format.dumps({**facts(found), "page": page(found)}, indent=2))
    elif sys.stdout.isatty():
        out().print(Markdown(page(found)))
    else:
        say(page(found))
    return 0
