"""A fixed sample of real faulty and healthy programs, unchanged, through the real command."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED = Path(os.environ.get("BABYSIT_SHARED", Path(__file__).parents[3] / "shared"))
CASES = SHARED / "cases"
SICK = (
    "so-59278771", "so-33969059", "so-55328966", "tdc-low-lr", "tdc-constant-init", "ptf-broadcast",
    "pt-uncleared-gradients", "at-vanish", "tdc-ips5",
)  # fmt: skip
HEALTHY = ("h-mlp-digits", "h-gan-2d", "h-lbfgs-regression", "h-gru-rows", "h-grad-accumulation", "h-lora-finetune")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.cases,
    pytest.mark.skipif(not (CASES / "truth.json").is_file(), reason="the programs with known truth are not here"),
]


def watched(folder: Path, case: str, variant: str) -> dict[str, object]:
    out = folder / "out.json"
    done = subprocess.run(
        [sys.executable, "-m", "babysit", "watch", "--exit-zero", "--json", str(out), str(CASES / case / variant)],
        cwd=folder,
        env={**os.environ, "CASE_SEED": "0", "CASE_DATA": str(SHARED / "data"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "metric:" in done.stdout
    result: dict[str, object] = json.loads(out.read_text())
    return result


@pytest.mark.parametrize("case", SICK)
def test_a_faulty_program_is_found_sick(case: str, tmp_path: Path) -> None:
    truth = {entry["id"]: entry for entry in json.loads((CASES / "truth.json").read_text())}[case]
    report = watched(tmp_path, case, "buggy.py")
    assert report["verdict"] == "problems"
    first = report["findings"][0]  # type: ignore[index]
    assert first["rank"] == 1
    assert first["code"] in truth["accept"] + truth["primary"]


@pytest.mark.parametrize("case", HEALTHY)
def test_a_healthy_program_is_found_healthy(case: str, tmp_path: Path) -> None:
    report = watched(tmp_path, case, "healthy.py")
    assert report["verdict"] == "healthy", [finding["code"] for finding in report["findings"]]  # type: ignore[attr-defined]
