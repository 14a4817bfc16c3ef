"""The shape of the house: what every folder and file promises."""

import ast
from pathlib import Path

import pytest

import babysit

ROOT = Path(babysit.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
INNER = [path for path in FILES if path.name == "__init__.py" and path.parent != ROOT]
FORBIDDEN = {"utils", "util", "common", "helpers", "core", "misc"}
# A plug-in is one small file; a concept of an engine is better in one longer file than in eight that call each other.
PLUGINS = ("rules", "plots", "experiments", "metrics")
LONGEST_PLUGIN, LONGEST = 300, 500


def named(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", INNER, ids=named)
def test_an_inner_init_holds_a_docstring_only(path):
    body = ast.parse(path.read_text(encoding="utf-8")).body
    assert len(body) == 1
    assert isinstance(body[0], ast.Expr)
    assert isinstance(body[0].value, ast.Constant)
    assert isinstance(body[0].value.value, str)


def test_every_room_says_its_purpose_what_it_may_import_and_where_to_start():
    rooms = [path for path in INNER if path.parent.parent == ROOT]
    assert len(rooms) >= 16
    for path in rooms:
        text = path.read_text(encoding="utf-8")
        assert all(word in text for word in ("Purpose:", "May import:", "Start at:")), named(path)


def test_the_top_exports_at_most_twenty_names_and_each_loads():
    assert 0 < len(babysit.__all__) <= 20
    assert len(set(babysit.__all__)) == len(babysit.__all__)
    assert all(getattr(babysit, name) is not None for name in babysit.__all__)
    assert set(babysit.__all__) <= set(dir(babysit))


def test_no_public_function_is_shadowed_by_a_room():
    rooms = {path.name for path in ROOT.iterdir() if path.is_dir()} | {path.stem for path in ROOT.glob("*.py")}
    assert not rooms & set(babysit.__all__)


def test_an_unknown_name_is_answered_with_what_there_is():
    with pytest.raises(AttributeError, match="load_data"):
        babysit.lod_data  # noqa: B018  the access is the test


def test_no_folder_or_file_is_named_for_nothing():
    names = {part.removesuffix(".py") for path in FILES for part in path.relative_to(ROOT).parts}
    assert not names & FORBIDDEN


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_is_short_enough_to_read(path):
    longest = LONGEST_PLUGIN if path.relative_to(ROOT).parts[0] in PLUGINS else LONGEST
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest


@pytest.mark.parametrize("path", FILES, ids=named)
def test_a_file_says_what_it_is_in_its_first_line(path):
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]
    assert first.strip(), named(path)


def test_test_files_have_names_of_their_own():
    names = [path.name for path in (ROOT.parent.parent / "tests").rglob("test_*.py")]
    assert len(names) == len(set(names))
