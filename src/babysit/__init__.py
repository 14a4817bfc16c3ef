"""babysit goes with the training of a neural network: it prepares, experiments, watches, judges, proves, searches and
shows.

Names load when they are first used, so `import babysit` is quick and does not import torch.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from babysit.data.sources import load_data
    from babysit.experiments.check import check
    from babysit.fixes.try_fixes import try_fixes
    from babysit.integrations.hosts.loop import watch
    from babysit.nn.builders import cnn, mlp
    from babysit.nn.initialize import initialize_
    from babysit.nn.preprocess import Center, Standardize
    from babysit.records.errors import UserError
    from babysit.records.run import Run
    from babysit.reporting.report import report
    from babysit.rules.engine import judge
    from babysit.store.store import Store
    from babysit.training.fit import fit
    from babysit.tuning.search import search
    from babysit.tuning.space import Space

__version__ = "0.1.0"

# Nothing is printed unless the program that uses babysit asks for it; the command line shows it.
logging.getLogger(__name__).addHandler(logging.NullHandler())

_HOMES = {
    "Center": "babysit.nn.preprocess",
    "Run": "babysit.records.run",
    "Space": "babysit.tuning.space",
    "Standardize": "babysit.nn.preprocess",
    "Store": "babysit.store.store",
    "UserError": "babysit.records.errors",
    "check": "babysit.experiments.check",
    "cnn": "babysit.nn.builders",
    "fit": "babysit.training.fit",
    "initialize_": "babysit.nn.initialize",
    "judge": "babysit.rules.engine",
    "load_data": "babysit.data.sources",
    "mlp": "babysit.nn.builders",
    "report": "babysit.reporting.report",
    "search": "babysit.tuning.search",
    "try_fixes": "babysit.fixes.try_fixes",
    "watch": "babysit.integrations.hosts.loop",
}

__all__ = [  # noqa: RUF022  the order is the order of a training
    "load_data",
    "Center",
    "Standardize",
    "mlp",
    "cnn",
    "initialize_",
    "check",
    "watch",
    "fit",
    "judge",
    "try_fixes",
    "Space",
    "search",
    "report",
    "Run",
    "Store",
    "UserError",
]


if not TYPE_CHECKING:  # a type checker reads the imports above, and so refuses a name that is not among them

    def __getattr__(name: str) -> Any:
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'babysit' has no attribute {name!r}; it offers {', '.join(__all__)}")
        value = getattr(importlib.import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
