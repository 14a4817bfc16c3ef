"""Import of user models, named as `package.module:factory`, and the check of their output shape."""

from __future__ import annotations

import difflib
import functools
import importlib
import importlib.util
import inspect
import math
import os
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import torch
from torch import Tensor, nn

from babysit.records.errors import UserError

OFFERED: Final = ("inputs", "input_shape", "outputs")  # available to every factory


def import_model(
    name: str,
    samples_shape: Sequence[int],
    outputs: int,
    *,
    batch: Tensor | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> nn.Module:
    """Create a model with a factory and test it on a batch.

    The factory is a module class or a function defined in the named module; not one of the standard library or one
    that the module only imported. It is called with those of these keyword arguments that are its parameters:
    `inputs` (values per sample), `input_shape` (shape of one sample), `outputs` (number of outputs per sample), and
    the hyperparameters of a search by name. `**options` receives the first three only, so that hyperparameters do not
    reach the functions that the factory passes them to.

    Args:
        name: "package.module:factory" or "path/to/file.py:factory"; the working folder is searched as well.
        samples_shape: shape of one sample.
        outputs: classes, or target columns.
        batch: real inputs to test the model on; zeros when not given.
        parameters: the hyperparameters; only those that the factory accepts are passed.

    Raises:
        UserError: the name, the import, the factory or the model is invalid; says which.
    """
    factory = _factory(name)
    model = _made(factory, name, samples_shape, outputs, parameters or {})
    check_output(model, torch.zeros(2, *samples_shape) if batch is None else batch, outputs, where=name)
    return model


def check_output(model: nn.Module, x: Tensor, outputs: int, *, where: str = "") -> None:
    """Raise UserError unless the model has `outputs` outputs for each sample of x.

    The model runs once in eval mode; its parameters, buffers, modes and the random state are restored.
    """
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=()):
            output = model(x)
    except Exception as problem:
        raise UserError(
            f"the model fails on inputs of the shape {tuple(x.shape)}: {_error_text(problem)}",
            where=where,
            do=f"Make it for samples of the shape {tuple(x.shape[1:])}",
        ) from problem
    finally:
        for module, training in modes:
            module.training = training
    if not isinstance(output, Tensor):
        raise UserError(
            f"the model returns a {type(output).__name__} instead of a tensor", where=where, do="Return one tensor"
        )
    fits = output.shape == (len(x), outputs) or (outputs == 1 and output.shape == (len(x),))
    if not fits:
        raise UserError(
            f"the model returns outputs of shape {tuple(output.shape)} for {len(x)} samples; "
            f"the task needs {(len(x), outputs)}",
            where=where,
            do=f"Set its last layer to {outputs} output{'s' * (outputs != 1)}",
        )


def _factory(name: str) -> Callable[..., Any]:
    module_name, colon, attribute = name.rpartition(":")
    if not colon or not module_name or not attribute:
        raise UserError(f"{name!r:.100} does not name a model", do="Write it as package.module:factory")
    module = _module(module_name, where=name)
    found: Any = module
    for part in attribute.split("."):
        if part.startswith("__") or not hasattr(found, part):
            callables = [key for key, value in vars(found).items() if callable(value) and not key.startswith("_")]
            near = difflib.get_close_matches(part, callables, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"It has {', '.join(callables[:10]) or 'nothing to call'}"
            raise UserError(f"{module_name} has no {attribute!r:.60}", where=name, do=hint)
        found = getattr(found, part)
    if isinstance(found, nn.Module) or not callable(found):
        kind = "already a model" if isinstance(found, nn.Module) else f"a {type(found).__name__}"
        raise UserError(
            f"{attribute!r} is {kind}, not a function", where=name, do="Name a function or class that creates a model"
        )
    _require_own(found, module, attribute, where=name)
    return found  # type: ignore[no-any-return]  # checked above to be callable


def _require_own(found: Any, module: ModuleType, attribute: str, *, where: str) -> None:
    """Raise UserError unless this is a module class or a function of the named module or its package."""
    if inspect.isclass(found) and issubclass(found, nn.Module):
        return
    inner = found.func if isinstance(found, functools.partial) else found
    plain = inspect.unwrap(inner.__func__ if inspect.ismethod(inner) else inner)
    if not inspect.isfunction(plain):
        raise UserError(
            f"{attribute!r} is neither a function nor a class of torch modules", where=where, do="Name one that is"
        )
    home = plain.__module__ or ""
    if home.partition(".")[0] == "torch":  # its classes are modules; its functions load files and fetch repositories
        raise UserError(f"{attribute!r} is a function of torch, not a model factory", where=where, do="Name a class")
    if home.partition(".")[0] != module.__name__.partition(".")[0]:
        raise UserError(
            f"{attribute!r} was imported from {home!r:.60}",
            where=where,
            do="Name a function defined in your own file, or the module that defines it",
        )


def _require_no_library(module_name: str, *, where: str) -> None:
    """Raise UserError for a standard library module, unless a user file precedes it on the path."""
    root = module_name.partition(".")[0]
    if root not in sys.stdlib_module_names:
        return
    spec = importlib.util.find_spec(root)
    path = Path(spec.origin).resolve() if spec is not None and spec.origin and spec.has_location else None
    library = Path(sysconfig.get_path("stdlib")).resolve()
    installed = {Path(sysconfig.get_path(kind)).resolve() for kind in ("purelib", "platlib")}
    inside = path is None or library in path.parents or "lib-dynload" in path.parts
    if inside and not (path is not None and installed & set(path.parents)):
        raise UserError(
            f"{root!r} is a module of the Python standard library, which contains no models",
            where=where,
            do="Name your own file: path/to/file.py:factory",
        )


def _module(module_name: str, *, where: str) -> ModuleType:
    folder = os.getcwd()
    if folder not in sys.path and "" not in sys.path:
        # Console scripts do not search the working folder, where the model is. It stays on the path: the model may
        # import from there later.
        sys.path.insert(0, folder)
    try:
        if module_name.endswith(".py"):
            return _module_of_file(Path(module_name))
        _require_no_library(module_name, where=where)
        return importlib.import_module(module_name)
    except ModuleNotFoundError as problem:
        missing = problem.name or ""
        if module_name == missing or module_name.startswith(f"{missing}."):
            what = f"there is no module {missing!r}"
            do = f"Searched {folder} and the installed packages"
        else:
            what, do = f"importing {module_name!r} requires {missing!r}, which is not installed", f"Install {missing!r}"
        raise UserError(what, where=where, do=do) from problem
    except UserError:
        raise
    # Importing a user module may raise anything, including SystemExit.
    except (Exception, SystemExit) as problem:
        raise UserError(f"importing {module_name!r:.100} failed: {_error_text(problem)}", where=where) from problem


def _module_of_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"there is no file {str(path)!r:.100}", do="Write it as path/to/file.py:factory")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _made(
    factory: Callable[..., Any], name: str, shape: Sequence[int], outputs: int, parameters: Mapping[str, Any]
) -> nn.Module:
    own = dict(zip(OFFERED, (math.prod(shape), tuple(shape), outputs), strict=True))
    taken = _accepted(factory, name, dict.fromkeys(parameters.keys()) | own)
    accepted = {key: own[key] if key in own else parameters[key] for key in taken}
    try:
        model = factory(**accepted)
    except (Exception, SystemExit) as problem:
        shown = ", ".join(f"{key}={value}" for key, value in accepted.items())
        raise UserError(
            f"creating the model with ({shown}) failed: {_error_text(problem)}", where=name, do="Fix the factory"
        ) from problem
    if not isinstance(model, nn.Module):
        raise UserError(
            f"the factory returns a {type(model).__name__}, not a model", where=name, do="Return a torch.nn.Module"
        )
    return model


def _accepted(factory: Callable[..., Any], name: str, offered: dict[str, Any]) -> dict[str, Any]:
    if getattr(factory, "__init__", None) is nn.Module.__init__:
        return {}  # a model class without its own __init__: the inherited signature accepts more than it uses
    try:
        parameters = list(inspect.signature(factory).parameters.values())
    except (ValueError, TypeError):  # some builtins have no signature
        return {}
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters):
        parameters = [one for one in parameters if one.kind is not inspect.Parameter.VAR_KEYWORD]
        own = [inspect.Parameter(one, inspect.Parameter.KEYWORD_ONLY) for one in OFFERED]
        named = {one.name for one in parameters}
        parameters = [*parameters, *(one for one in own if one.name not in named)]
    needed = [
        parameter.name
        for parameter in parameters
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_POSITIONAL
        and (parameter.name not in offered or parameter.kind is inspect.Parameter.POSITIONAL_ONLY)
    ]
    if needed:
        raise UserError(
            f"the factory requires parameters that are not available: {', '.join(needed)}",
            where=name,
            do="A factory may take inputs, input_shape and outputs; give its other parameters defaults",
        )
    return {parameter.name: offered[parameter.name] for parameter in parameters if parameter.name in offered}


def _error_text(problem: BaseException) -> str:
    """Return the type of an exception and the first line of its message."""
    lines = str(problem).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0][:200]}" if lines else type(problem).__name__
