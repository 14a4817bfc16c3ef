"""A user's model by name, and all that can be wrong with it."""

import sys

import pytest
import torch
from torch import nn

from babysit.nn.builders import mlp
from babysit.nn.factory import check_output, import_model
from babysit.records.errors import UserError

SOURCE = """
import torch
from torch import nn

number = 3
ready = nn.Linear(4, 2)

def plain(): return nn.Linear(4, 2)
def by_name(inputs, outputs, width=8):
    return nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, outputs))
def by_shape(*, input_shape, outputs): return nn.Sequential(nn.Flatten(), nn.Linear(input_shape[0], outputs))
def anything(**options): return nn.Linear(options["inputs"], options["outputs"])
def needy(inputs, secret): return None
def broken(): raise ValueError("no idea\\nsecond line")
def leaving(): raise SystemExit(3)
def wrong_kind(): return "a model"
def narrow(): return nn.Linear(4, 1)
def other_inputs(): return nn.Linear(7, 2)

class Net(nn.Module):
    def __init__(self, outputs):
        super().__init__()
        self.layer = nn.Linear(4, outputs)
    def forward(self, x): return self.layer(x)

class Pair(nn.Module):
    def forward(self, x): return x, x

class Group:
    @staticmethod
    def build(): return nn.Linear(4, 2)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(SOURCE)
    (tmp_path / "syntax_trouble.py").write_text("def (:\n")
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(1)\n")
    (tmp_path / "needs_more.py").write_text("import a_package_nobody_has\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name in ("own_models", "syntax_trouble", "leaves", "needs_more"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("factory", ["plain", "by_name", "by_shape", "anything", "Net", "Group.build"])
def test_a_factory_in_the_working_folder_gets_what_it_accepts(factory, folder):
    model = import_model(f"own_models:{factory}", (4,), 2)
    assert model(torch.zeros(3, 4)).shape == (3, 2)


def test_a_file_can_be_named_instead_of_a_module(folder):
    (folder / "nets").mkdir()
    (folder / "nets" / "mine.py").write_text(SOURCE)
    assert isinstance(import_model("nets/mine.py:plain", (4,), 2), nn.Linear)


def test_the_builders_can_be_named_like_any_factory():
    assert import_model("babysit.nn.builders:cnn", (1, 8, 8), 5)(torch.zeros(2, 1, 8, 8)).shape == (2, 5)
    assert import_model("babysit.nn.builders:mlp", (64,), 5)(torch.zeros(2, 64)).shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("own_models", "package.module:factory"),
        ("own_models:", "package.module:factory"),
        (":plain", "package.module:factory"),
        ("", "package.module:factory"),
        ("nowhere:plain", "there is no module 'nowhere'"),
        ("own_models.inner:plain", "own_models"),
        ("missing.py:plain", "there is no file 'missing.py'"),
        ("..:plain", "failed"),
        ("own_models:plane", "Did you mean 'plain'"),
        ("own_models:number", "'number' is a int, not a function"),
        ("own_models:ready", "already a model"),
        ("own_models:needy", "requires parameters that are not available: secret"),
        ("own_models:broken", "failed: ValueError: no idea"),
        ("own_models:leaving", "failed: SystemExit: 3"),
        ("own_models:wrong_kind", "returns a str, not a model"),
        ("own_models:narrow", "shape (2, 1) for 2 samples; the task needs (2, 2). Set its last layer to 2 outputs"),
        ("own_models:other_inputs", "fails on inputs of the shape (2, 4)"),
        ("own_models:Pair", "returns a tuple instead of a tensor"),
        ("syntax_trouble:plain", "failed: SyntaxError"),
        ("leaves:plain", "failed: SystemExit"),
        ("needs_more:plain", "requires 'a_package_nobody_has', which is not installed"),
    ],
)
def test_every_mistake_on_the_way_to_a_model_is_one_clear_line(name, words, folder):
    with pytest.raises(UserError) as error:
        import_model(name, (4,), 2)
    said = str(error.value).replace(f" ({name})", "")
    assert words in said
    assert len(said.splitlines()) == 1


def test_checking_a_model_leaves_it_and_the_random_state_as_they_were():
    model = mlp(4, 2, hidden=(8,), batch_norm=True, dropout=0.5)
    model[1].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.get_rng_state()
    check_output(model, torch.randn(5, 4, generator=torch.Generator().manual_seed(0)), 2)
    assert [module.training for module in model] == [True, False, True, True, True]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_single_output_may_have_one_axis():
    check_output(nn.Sequential(nn.Linear(4, 1), nn.Flatten(0)), torch.zeros(3, 4), 1)
    with pytest.raises(UserError, match=r"1 output$"):
        check_output(nn.Linear(4, 2), torch.zeros(3, 4), 1)


REACH = """
import functools
import os, subprocess
from os import system
from subprocess import getoutput
import torch
from torch import nn

class Runner:
    def __call__(self, cmd=""): return os.system(cmd)
runner = Runner()
bound = functools.partial(subprocess.getoutput, "touch PWNED")
def build(inputs, outputs, width=4): return nn.Sequential(nn.Linear(inputs, width), nn.Linear(width, outputs))
narrow = functools.partial(build, width=2)
def passing_on(inputs, outputs, **options):
    assert not set(options) - {"input_shape"}, options
    return nn.Linear(inputs, outputs)
@functools.lru_cache
def cached(inputs, outputs): return nn.Linear(inputs, outputs)
class Net(nn.Linear):
    @classmethod
    def small(cls, inputs, outputs): return cls(inputs, outputs)
"""


@pytest.fixture
def reach(folder):
    (folder / "reach.py").write_text(REACH)
    yield folder
    sys.modules.pop("reach", None)


@pytest.mark.parametrize(
    "name",
    [
        "subprocess:getoutput", "os:system", "builtins:exec", "posix:system", "os.path:join", "antigravity:webbrowser",
        "reach:system", "reach:getoutput", "reach:os.system", "reach:subprocess.Popen", "reach:torch.hub.load",
        "reach:runner", "reach:bound", "reach:__builtins__.exec", "reach:build.__globals__.get", "reach:Runner",
        "reach.py:getoutput", "reach.py:os.system", "torch:load", "torch.hub:load", "runpy:run_path", "ctypes:CDLL",
    ],
)  # fmt: skip
def test_what_makes_no_model_is_refused_before_it_is_called(name, reach, monkeypatch):
    called = []
    monkeypatch.setattr("subprocess.getoutput", lambda *a, **k: called.append(a))
    before = set(sys.modules)
    with pytest.raises(UserError):
        import_model(name, (4,), 2, parameters={"cmd": "touch PWNED", "command": "touch PWNED", "f": "PWNED"})
    assert not called
    assert not (reach / "PWNED").exists()
    assert "antigravity" not in set(sys.modules) - before


@pytest.mark.parametrize("factory", ["build", "narrow", "passing_on", "cached", "Net.small"])
def test_functions_and_methods_of_the_named_module_are_called(factory, reach):
    model = import_model(f"reach:{factory}", (4,), 2, parameters={"cmd": "x"})
    assert model(torch.zeros(3, 4)).shape == (3, 2)


def test_a_file_of_the_users_own_may_be_called_like_a_module_of_python(folder):
    (folder / "antigravity.py").write_text("from torch import nn\ndef build(inputs, outputs): return nn.Linear(4, 2)\n")
    try:
        assert isinstance(import_model("antigravity:build", (4,), 2), nn.Linear)
    finally:
        sys.modules.pop("antigravity", None)
