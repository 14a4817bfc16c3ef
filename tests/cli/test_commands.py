"""The commands on small data: results on standard output, exit codes, runs kept."""

import json
import signal
import subprocess
import sys
import time

import msgspec
import numpy as np
import pytest

from babysit.cli.options import RuleOptions
from babysit.cli.settings import Settings
from babysit.cli.watch import _exit_code as exit_code_of
from babysit.records.finding import Finding, Severity
from babysit.store.store import Store
from babysit.testing.synthetic_runs import diverging_run, healthy_run


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def table(folder):
    random = np.random.default_rng(0)
    x = random.normal(size=(200, 4))
    rows = [",".join([*(f"{v:.4f}" for v in row), str(int(row[0] + row[1] > 0))]) for row in x]
    (folder / "t.csv").write_text("\n".join(["a,b,c,d,y", *rows]) + "\n")
    return "t.csv"


@pytest.fixture
def kept():
    sick, healthy = diverging_run(), healthy_run()
    with Store() as store:
        store.save(sick)
        store.save(healthy)
    return sick, healthy


def test_check_shows_measured_beside_expected(call, table):
    code, out, err = call("check", table, "--target", "y", "--exit-zero")
    assert (code, err) == (0, "")
    assert "ln 2 = 0.693" in out
    assert "140 / 30 / 30 samples" in out


def test_check_gives_json_and_nothing_else(call, table):
    code, out, _ = call("check", table, "--target", "y", "--json")
    said = json.loads(out)
    assert {experiment["name"] for experiment in said["run"]["experiments"]} >= {"initial-loss", "overfit-tiny"}
    assert code in (0, 1)


def test_check_fails_where_an_experiment_fails(call, folder, table, monkeypatch):
    """A model of zeros cannot learn: its experiments say so, and the exit code with them."""
    monkeypatch.syspath_prepend(str(folder))
    (folder / "zero_net.py").write_text(
        "from torch import nn\ndef build(inputs, outputs):\n    net = nn.Sequential(nn.Linear(inputs, 8), nn.ReLU(), "
        "nn.Linear(8, outputs))\n    [nn.init.zeros_(p) for p in net.parameters()]\n    return net\n"
    )
    words = ("check", table, "--target", "y", "--model", "zero_net:build")
    assert call(*words)[0] == 1
    assert call(*words, "--exit-zero")[0] == 0


def test_fit_trains_tests_saves_and_keeps(call, folder, table):
    code, out, _ = call("fit", table, "--target", "y", "--epochs", "3", "--lr", "1e-2", "--exit-zero")
    assert code == 0
    assert "Test accuracy" in out
    with Store() as store:
        run = store.load("latest")
    assert run.kind == "fit"
    assert run.config["lr"] == 0.01
    assert (folder / run.artifacts["model"]).is_file()
    assert (folder / run.artifacts["report"]).is_file()


def test_search_lists_the_best_first_and_says_why_ranges_moved(call, table):
    words = ("search", table, "lr=1e-3..1e-1", "hidden=4,8", "--target", "y", "--coarse", "4", "--fine", "2")
    code, out, _ = call(*words, "--exit-zero")
    assert code == 0
    metrics = [float(line.split()[1]) for line in out.splitlines() if line.startswith(("coarse ", "fine ", "final"))]
    assert metrics == sorted(metrics, reverse=True)
    assert "as given" in out
    with Store() as store:
        assert store.load("latest").kind == "search"


def test_runs_lists_what_is_kept_newest_first(call, kept):
    sick, healthy = kept
    code, out, _ = call("runs")
    assert code == 0
    assert out.index(healthy.id) < out.index(sick.id)
    assert call("runs", "--json")[1].count('"id"') == 2


def test_a_run_is_shown_as_text_and_as_json(call, kept):
    sick = kept[0]
    code, out, _ = call("runs", sick.id)
    assert code == 0
    assert "Verdict" in out
    assert json.loads(call("runs", sick.id, "--json")[1])["verdict"] == sick.verdict


def test_a_deleted_run_is_gone(call, kept):
    sick, healthy = kept
    assert call("runs", "delete", sick.id, "--yes")[0] == 0
    with Store() as store:
        assert [line.id for line in store.list()] == [healthy.id]


def test_without_runs_the_list_says_how_to_begin(call):
    assert "babysit run digits" in call("runs")[1]


def test_a_report_is_written_beside_the_run_unless_told_otherwise(call, kept, folder):
    sick = kept[0]
    code, out, _ = call("report", sick.id)
    assert code == 0
    assert out.strip() == f"babysit_runs/{sick.id}/report.html"
    assert "<html" in (folder / out.strip()).read_text()
    call("report", sick.id, "--output", "there/mine.html")
    assert (folder / "there" / "mine.html").is_file()


def test_a_report_as_text_or_json_goes_to_standard_output(call, kept):
    sick = kept[0]
    assert "Verdict" in call("report", sick.id, "--format", "text")[1]
    assert json.loads(call("report", sick.id, "--json")[1])["verdict"] == sick.verdict


def test_explain_and_rules_say_the_same_of_a_rule(call):
    listed = {rule["code"]: rule for rule in json.loads(call("rules", "--json")[1])}
    page = json.loads(call("explain", "O201", "--json")[1])
    assert page["name"] == listed["O201"]["name"] == "double-softmax"
    assert "# O201 double-softmax" in call("explain", "double-softmax")[1]
    assert call("rules", "O2")[1].count("\nO2") >= 3


def test_treat_without_cures_says_so(call, kept):
    code, out, _ = call("fix", kept[1].id)
    assert code == 0
    assert "proposes a fix" in out


SCRIPT = """
import sys, torch
from torch import nn
print("arguments", sys.argv[1:])
torch.manual_seed(0)
x = torch.randn(256, 20)
y = (x @ torch.randn(20, 5)).argmax(-1)
net = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 5), nn.Softmax(-1))
optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
for step in range(60):
    loss = nn.functional.cross_entropy(net(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(f"loss {loss.item():.6f}")
if "--crash" in sys.argv:
    raise ValueError("the script's own fault")
if "--leave" in sys.argv:
    sys.exit(7)
"""


def watched(folder, *words):
    (folder / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "babysit", "watch", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.slow
def test_a_watched_script_keeps_its_output_and_arguments(folder):
    done = watched(folder, "--json", "found.json", "train.py", "--json", "mine", "--help", "--", "x")
    plain = subprocess.run(
        [sys.executable, "train.py", "--json", "mine", "--help", "--", "x"],
        capture_output=True,
        text=True,
        cwd=folder,
        check=True,
    )
    assert done.stdout == plain.stdout
    assert "double softmax (O201)" in done.stderr
    found = json.loads((folder / "found.json").read_text())
    assert found["findings"][0]["code"] == "O201"
    assert found["findings"][0]["explained_by"] is None
    assert done.returncode == 1
    with Store(str(folder / "babysit_runs")) as store:
        run = store.load("latest")
    assert run.kind == "watch"
    assert run.findings[0].code == "O201"
    assert len(run.curves.get("train/loss")) == 60


@pytest.mark.slow
def test_a_watched_script_that_crashes_gets_findings_its_traceback_and_exit_code(folder):
    done = watched(folder, "--exit-zero", "train.py", "--crash")
    assert done.returncode == 1
    assert "double softmax (O201)" in done.stderr
    assert "ValueError: the script's own fault" in done.stderr
    assert "babysit/" not in done.stderr.split("Traceback")[1].split("ValueError")[0]


@pytest.mark.slow
def test_a_watched_script_keeps_its_exit_code(folder):
    assert watched(folder, "--exit-zero", "train.py", "--leave").returncode == 7


@pytest.mark.slow
def test_rules_can_be_ignored(folder):
    done = watched(folder, "--ignore", "O201", "--fail-on", "ERROR", "train.py")
    assert "O201" not in done.stderr


@pytest.mark.slow
def test_run_digits_carries_the_whole_method_out(folder):
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "babysit", "run", "digits"], capture_output=True, text=True, cwd=folder, check=True
    )
    assert time.monotonic() - began < 90
    assert "ln 10 = 2.303" in done.stderr
    assert "Verdict" in done.stdout
    with Store(str(folder / "babysit_runs")) as store:
        run = store.load("latest")
    assert run.result["test/accuracy"] >= 0.97
    assert run.verdict == "healthy"
    assert run.experiment("overfit-tiny").measured["accuracy"] == 1.0
    assert 2.2 < run.experiment("initial-loss").measured["loss"] < 2.45
    page = folder / "babysit_runs" / run.id / "report.html"
    assert str(page) in done.stdout
    assert page.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C is not a signal there")
def test_ctrl_c_leaves_a_readable_run_that_can_be_resumed(folder):
    running = subprocess.Popen(
        [sys.executable, "-m", "babysit", "run", "digits", "--seed", "5", "--epochs", "8"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )
    for line in running.stderr:  # the first stage has been told, the next is under way
        if line.startswith("Data:"):
            break
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert "is saved; resume with `babysit run --resume" in err
    assert "Traceback" not in err
    babysit = [sys.executable, "-m", "babysit"]
    shown = subprocess.run([*babysit, "runs", "latest"], capture_output=True, text=True, cwd=folder, check=True)
    assert "interrupted" in shown.stdout
    resumed = subprocess.run(
        [*babysit, "run", "--resume", "--json"], capture_output=True, text=True, cwd=folder, check=True
    )
    assert json.loads(resumed.stdout)["run"]["status"] == "finished"


def test_a_sick_training_is_found_sick_and_its_cure_is_tried(call, table):
    """A learning rate ten thousand times too high: named, exit code 1, and dividing it is what fix tries."""
    code, out, _ = call("fit", table, "--target", "y", "--lr", "30", "--optimizer", "momentum", "--epochs", "12")
    assert code == 1
    assert "PROBLEMS" in out
    with Store() as store:
        run = store.load("latest")
    assert run.root_cause is not None
    assert run.root_cause.code in out
    assert any(fix.action == "scale_lr" for finding in run.problems for fix in finding.fixes)
    code, out, _ = call("fix", "latest", "--json")
    tried = json.loads(out)
    assert any(trial["fix"]["action"] == "scale_lr" for trial in tried)
    assert code == (0 if any(trial["outcome"] == "helped" for trial in tried) else 1)


TWO_STAGES = """
import torch
import torch.nn.functional as F

torch.manual_seed(0)
x = torch.randn(256, 8)
y = (x @ torch.randn(8, 3)).argmax(1)
body = torch.nn.Sequential(torch.nn.Linear(8, 32), torch.nn.ReLU())
for stage in range(2):
    model = torch.nn.Sequential(body, torch.nn.Linear(32, 3))
    optimizer = torch.optim.Adam((model if stage == 0 else body).parameters(), lr=1e-2)
    for parameter in body.parameters():
        parameter.requires_grad = stage == 0
    for step in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
"""


@pytest.mark.slow
def test_a_script_that_fine_tunes_is_judged_by_both_of_its_trainings(folder):
    """The second optimizer holds only frozen weights: the first training is healthy, the program is not."""
    (folder / "stages.py").write_text(TWO_STAGES)
    command = [sys.executable, "-m", "babysit", "watch", "--json", "out.json", "stages.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "This program trained 2 times, each saved as a run." in done.stderr
    report = json.loads((folder / "out.json").read_text())
    assert report["verdict"] == "problems"
    with Store() as store:
        runs = {run.name: str(run.verdict) for run in store.list()}
    assert runs == {"stages": "healthy", "stages, training 2": "problems"}


def test_the_exit_code_counts_the_findings_of_every_training():
    """The first with problems is shown; a worse finding in a later one still fails with --fail-on ERROR."""
    warned, failed = (
        msgspec.structs.replace(diverging_run(), findings=(Finding(code="U601", name="x", severity=severity),))
        for severity in (Severity.WARNING, Severity.ERROR)
    )
    settings = Settings(fail_on=Severity.ERROR)
    assert exit_code_of((warned,), settings, RuleOptions()) == 0
    assert exit_code_of((warned, failed), settings, RuleOptions()) == 1
    assert exit_code_of((), settings, RuleOptions()) == 0
