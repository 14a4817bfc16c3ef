"""The public signatures are usable from typed code: programs of users pass mypy --strict."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import babysit

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PROGRAMS = sorted(path for path in HERE.glob("*.py") if not path.name.startswith("test_"))


def test_the_package_says_that_it_is_typed() -> None:
    assert Path(babysit.__file__).with_name("py.typed").is_file()


@pytest.mark.slow
def test_typed_programs_pass_and_misuse_is_refused() -> None:
    # The settings and the cache of `make types`, so that only these programs are read anew.
    assert len(PROGRAMS) >= 4
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", *map(str, PROGRAMS)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
