"""`babysit explain`: documentation of one rule."""

from __future__ import annotations

import json as json_format
import sys
from typing import Annotated

from cyclopts import Parameter
from rich.markdown import Markdown

from babysit.cli.options import Json
from babysit.cli.terminal import out, say


def explain(
    rule: Annotated[str, Parameter(help="Explain this rule: a code or name listed by `babysit rules`.")],
    /,
    *,
    json: Json = False,
) -> int:
    """Explain a rule: what it detects, why it matters, how to fix the issue, and known false positives."""
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
