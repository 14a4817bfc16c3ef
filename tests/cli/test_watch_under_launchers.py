"""Under a launcher findings leave the exit code of a watched script alone, unless the command line says otherwise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from babysit.cli.launchers import launcher
from babysit.cli.options import RuleOptions
from babysit.cli.settings import Settings
from babysit.cli.watch import _exit_code
from babysit.testing.synthetic_runs import diverging_run

# The loss of a softmax of a softmax: O201 in every run of it.
SCRIPT = """
import os, torch, torch.distributed as dist
dist.init_process_group("gloo")
torch.manual_seed(0)
model = torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(6, 3))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
inputs = torch.randn(64, 6); labels = inputs[:, :3].argmax(1)
for _ in range(30):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(inputs).softmax(1), labels).backward()
    optimizer.step()
with open(f"trained_{os.environ['RANK']}", "a") as file:
    file.write("once\\n")
dist.destroy_process_group()
"""


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, ""),
        ({"TORCHELASTIC_RUN_ID": ""}, ""),
        ({"TORCHELASTIC_RUN_ID": "none", "RANK": "0"}, "torchrun"),
        ({"ACCELERATE_MIXED_PRECISION": "no"}, "accelerate launch"),
        ({"SLURM_PROCID": "0"}, "Slurm"),
        ({"OMPI_COMM_WORLD_RANK": "1"}, "mpirun"),
        ({"PMI_RANK": "1", "SLURM_PROCID": "1"}, "mpirun"),
        ({"LOCAL_RANK": "0"}, "a distributed launcher"),
    ],
)
def test_a_launcher_is_known_by_what_it_sets(environment: dict[str, str], name: str) -> None:
    assert launcher(environment) == name


@pytest.mark.parametrize(
    ("variables", "judging", "code"),
    [
        ({}, RuleOptions(), 1),
        ({}, RuleOptions(exit_zero=True), 0),
        ({"RANK": "0"}, RuleOptions(), 0),
        ({"RANK": "0"}, RuleOptions(fail_on="WARNING"), 1),
        ({"SLURM_PROCID": "3"}, RuleOptions(fail_on="ERROR", exit_zero=True), 0),
    ],
)
def test_findings_fail_a_job_only_where_the_command_line_asks_for_it(
    variables: dict[str, str], judging: RuleOptions, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if launcher({name: "0"})]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    run = diverging_run()
    assert run.findings
    assert _exit_code((run,), Settings(), judging) == code


@pytest.mark.slow
def test_torchrun_trains_once_when_something_is_found_and_fails_when_asked_to(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    codes = {}
    for options in ((), ("--fail-on", "WARNING")):
        command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
        command += ["--max-restarts", "0" if options else "1", "--standalone"]
        command += ["-m", "babysit", "watch", "--store", "runs", *options, "train.py"]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=500, check=False
        )
        assert "O201" in done.stderr
        codes[options] = done.returncode
        if not options:
            assert [(tmp_path / f"trained_{rank}").read_text() for rank in (0, 1)] == ["once\n", "once\n"]
    assert codes == {(): 0, ("--fail-on", "WARNING"): 1}
