"""What is imported, and how quickly, in a fresh process."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent / "src" / "babysit"
NO_TORCH_ROOMS = ("records", "analysis", "rules", "store", "plots", "reporting")

# Imports every module of a room one after the other; says which one first brought torch.
WALK = """
import importlib, json, sys
guilty, broken = [], []
for name in json.loads(sys.argv[1]):
    try:
        importlib.import_module(name)
    except Exception as problem:
        broken.append(f"{name}: {problem!r}")
    if not guilty and any(torch in sys.modules for torch in ("torch", "lightning_fabric", "lightning")):
        guilty.append(name)
print(json.dumps({"guilty": guilty, "broken": broken}))
"""
CLOCK = """
import json, sys, time
before = time.process_time()
import {module}
print(json.dumps([time.process_time() - before, "torch" in sys.modules]))
"""


def modules(room):
    folder = ROOT / room
    relative = (path.relative_to(ROOT.parent).with_suffix("") for path in sorted(folder.rglob("*.py")))
    return [".".join(path.parts).removesuffix(".__init__") for path in relative]


def fresh(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@pytest.mark.parametrize("room", NO_TORCH_ROOMS)
def test_every_module_of_the_room_imports_without_torch(room):
    assert fresh(WALK, json.dumps(modules(room))) == {"guilty": [], "broken": []}


def test_the_walk_notices_torch():
    assert fresh(WALK, json.dumps(["json", "torch"])) == {"guilty": ["torch"], "broken": []}


@pytest.mark.parametrize(("module", "limit_seconds"), [("babysit", 0.15), ("babysit.cli.app", 0.3)])
def test_importing_is_quick_and_brings_no_torch(module, limit_seconds):
    # Seconds of CPU, the best of several: a busy machine can only make it slower.
    measured = [fresh(CLOCK.format(module=module)) for _ in range(5)]
    assert min(seconds for seconds, _ in measured) < limit_seconds
    assert not any(torch for _, torch in measured)


def test_importing_a_command_brings_no_torch():
    commands = [name for name in modules("cli") if name != "babysit.cli"]
    assert commands
    assert fresh(WALK, json.dumps(commands)) == {"guilty": [], "broken": []}
