"""Marks of experimental and deprecated functions."""

from __future__ import annotations

import inspect
import pickle
import warnings

import pytest

from babysit.records.stability import ExperimentalWarning, deprecated, experimental
from babysit.tuning.executors.ray_actors import ray_actors


@experimental("0.1")
def young(value: int, *, factor: int = 2) -> int:
    """Multiply.

    Args:
        value: any number.
    """
    return value * factor


@deprecated("0.2", removed="0.4", instead="young(value)")
def old(value: int) -> int:
    return value


def test_an_experimental_function_works_and_warns_where_it_is_called() -> None:
    with pytest.warns(
        ExperimentalWarning, match=r"young is experimental since 0\.1: any release may change it"
    ) as seen:
        assert young(3, factor=5) == 15
    assert seen[0].filename == __file__


def test_a_deprecated_function_says_when_it_goes_and_what_to_use() -> None:
    with pytest.warns(
        DeprecationWarning, match=r"old is deprecated since 0\.2 and removed in 0\.4: use young\(value\)"
    ):
        assert old(3) == 3


def test_a_marked_function_keeps_its_name_signature_and_documentation() -> None:
    assert young.__name__ == "young"
    assert list(inspect.signature(young).parameters) == ["value", "factor"]
    text = inspect.getdoc(young) or ""
    assert text.startswith("Multiply.\n\nArgs:\n    value: any number.")
    assert text.endswith("Note:\n    young is experimental since 0.1: any release may change it.")
    assert "use young(value)" in (inspect.getdoc(old) or "")
    assert pickle.loads(pickle.dumps(young)) is young


def test_calls_from_within_the_package_do_not_warn() -> None:
    inside = {"__name__": "babysit.cli.search", "young": young}
    with warnings.catch_warnings(action="error"):
        assert eval("young(1)", inside) == 2
    beside = {"__name__": "babysitter", "young": young}
    with pytest.warns(ExperimentalWarning):
        assert eval("young(1)", beside) == 2


def test_an_error_passes_unchanged() -> None:
    with pytest.warns(ExperimentalWarning), pytest.raises(TypeError, match="value"):
        young()  # type: ignore[call-arg]


def test_training_on_ray_is_experimental() -> None:
    with pytest.warns(ExperimentalWarning, match="ray_actors is experimental"):
        ray_actors(2)
