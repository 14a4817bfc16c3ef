"""What a record may do when its run is gone on with: nothing that the person who goes on did not say again."""

from __future__ import annotations

import builtins
import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

from babysit.cli.resuming import confirmed, latest_own
from babysit.nn import factory
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.records.secrets import MASK
from babysit.store.origin import PART, Origin, origin_of
from babysit.store.run_file import RunFile, write_run
from babysit.store.schema import PARTS
from babysit.store.store import Store
from babysit.testing.synthetic_runs import diverging_run

PAYLOAD = """
open({mark!r}, "w").close()
from torch import nn
def build(inputs, outputs): return nn.Linear(inputs, outputs)
"""
TABLE_SETTINGS = {"target": "y", "seed": 0, "skip_invalid": False, "epochs": 1, "patience": 1, "gap_patience": 1}
SEARCH_SETTINGS = {
    "target": "", "seed": 0, "skip_invalid": False, "trials": 2, "epochs": 1, "fine": 0, "fine_epochs": 0, "stages": 1,
    "sampler": "random", "halving": 3.0, "ensemble": 0, "optimizer": "adam", "batch_size": 64, "precision": "32",
}  # fmt: skip


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text(PAYLOAD.format(mark=str(tmp_path / "RAN")))
    rows = np.random.default_rng(0).normal(size=(80, 3))
    lines = [f"{a:.3f},{b:.3f},{c:.3f},{int(a > 0)}" for a, b, c in rows]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,c,y", *lines]) + "\n")
    return tmp_path


@pytest.fixture
def started(monkeypatch):
    """Every module that is imported for a model, and every program that is started."""
    seen = []
    usual = factory._module

    def import_module(name, *, where):
        seen.append(name)
        return usual(name, where=where)

    monkeypatch.setattr(factory, "_module", import_module)
    monkeypatch.setattr(os, "system", seen.append)
    monkeypatch.setattr("subprocess.getoutput", lambda *words, **named: seen.append((words, named)))
    return seen


def interrupted(kind, **config):
    told = SEARCH_SETTINGS if kind == "search" else TABLE_SETTINGS
    return Run(
        id="20991231-000000-evil", kind=kind, status=Status.INTERRUPTED, created="2026-11-29T16:42:56+00:00",
        config={"source": "t.csv", "model": "", "space": "lr=1e-3..1e-2", **told, **config},
        artifacts={"search": "/tmp/elsewhere", "model": "/etc/passwd"},
    )  # fmt: skip


def imported(call, run, *, store="s"):
    write_run(RunFile(run=run), Path("evil.json"))
    assert call("runs", "import", "evil.json", "--store", store, "--replace")[0] == 0
    return run.id


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if "s/babysit.sqlite" not in str(path)}


ATTACKS = [
    {"model": "evil.py:build"},
    {"model": "evil:build"},
    {"model": "subprocess:getoutput", "space": "lr=1e-4..1e-1 cmd=touch${IFS}RAN"},
    {"model": "os:system", "space": "lr=1e-4..1e-1 command=touch"},
    {"model": "builtins:exec"},
    {"model": "evil:build.__globals__"},
    {"source": "/etc/passwd"},
    {"source": "https://example.org/data.csv"},
    {"source": "../../etc/shadow.csv"},
    {"source": "digits"},
    {"folder": "anywhere/at/all"},
    {"folder": "../outside"},
    {"executor": "ray", "address": "ray://203.0.113.1:10001"},
    {"seed": "x", "epochs": "y"},
]


@pytest.mark.parametrize("config", ATTACKS)
@pytest.mark.parametrize(("command", "kind"), [("run", "pipeline"), ("search", "search")])
def test_an_imported_run_does_not_go_on_by_itself(command, kind, config, call, folder, started):
    run_id = imported(call, interrupted(kind, **config))
    there = files(folder)
    for wanted in (run_id, "latest"):
        code, out, err = call(command, "--resume", wanted, "--store", "s")
        assert code == 2, out
        assert len(err.strip().splitlines()) == 1
    assert files(folder) == there
    assert not started


@pytest.mark.parametrize("config", [one for one in ATTACKS if "source" in one or "model" in one])
def test_an_imported_run_is_not_treated_by_itself(config, call, folder, started):
    found = diverging_run()
    run = msgspec.structs.replace(
        found,
        id="20991231-000000-evil",
        kind="fit",
        config={"source": "t.csv", "model": "", **TABLE_SETTINGS, **config},
    )
    imported(call, run)
    there = files(folder)
    code, out, err = call("fix", "latest", "--store", "s")
    assert (code, len(err.strip().splitlines())) == (2, 1), out
    assert files(folder) == there
    assert not started


def test_an_imported_run_with_status_running_is_not_the_latest_to_go_on_with(call):
    imported(call, msgspec.structs.replace(interrupted("search"), status=Status.RUNNING))
    code, _, err = call("search", "--resume", "--store", "s")
    assert code == 2
    assert "no interrupted search that you started here" in err


def test_the_latest_to_go_on_with_is_this_users_own_though_that_of_another_is_newer(call):
    with Store("s") as store:
        mine = msgspec.structs.replace(interrupted("search"), id="mine", status=Status.RUNNING)
        writer = store.open_writer(mine)
        writer.update(status=Status.CRASHED)
        writer.close()
    imported(call, interrupted("search"))
    with Store("s") as store:
        assert [line.id for line in store.list()] == ["20991231-000000-evil", "mine"]
        assert latest_own(store, kind="search", states=("crashed", "interrupted")).id == "mine"


def test_a_run_that_claims_to_be_this_users_is_still_not_theirs(call):
    """Whoever writes to a shared store can copy every word of an origin, but not its seal."""
    with Store("s") as store:
        writer = store.open_writer(msgspec.structs.replace(interrupted("pipeline"), id="mine"))
        writer.close()
        assert store.origin("mine")[1]
        with store._backend.reading() as connection:
            seal = connection.execute(PARTS.select().where(PARTS.c.run_id == "mine", PARTS.c.name == PART)).one()
        store.save(interrupted("pipeline", source="/etc/passwd"))
        with store._backend.writing() as connection:
            of_evil = PARTS.c.run_id == "20991231-000000-evil"
            connection.execute(PARTS.update().where(of_evil, PARTS.c.name == PART).values(payload=seal.payload))
            connection.execute(
                PARTS.update()
                .where(PARTS.c.run_id == "mine", PARTS.c.name == "config")
                .values(payload=msgspec.msgpack.encode({"source": "/etc/passwd", "model": ""}))
            )
        assert store.origin("20991231-000000-evil")[0].how == "begun"
        assert not store.origin("20991231-000000-evil")[1]
        assert not store.origin("mine")[1]


def test_a_key_that_others_can_read_proves_nothing(folder, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(folder / "state"))
    run = interrupted("pipeline")
    assert origin_of(run, "begun").is_own(run)
    key = folder / "state" / "babysit" / "origin.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.chmod(0o644)
    assert not origin_of(run, "begun").is_own(run)
    assert not Origin(how="begun", seal="").is_own(run)


def test_named_again_a_run_of_another_goes_on_in_the_folder_of_the_store(call, folder):
    """With the data and the model given by the person who goes on, both are used; the folder is never the record's."""
    run_id = imported(call, interrupted("pipeline", model="evil.py:build", folder="anywhere", source="/home/x/t.csv"))
    words = ("run", "--resume", run_id, "--store", "s", "--exit-zero")
    assert "a model is code, which is never executed just because a record names it" in call(*words)[2]
    assert not (folder / "RAN").exists()
    code, _, err = call("run", "t.csv", "--resume", run_id, "--store", "s", "--model", "evil:other")
    assert (code, (folder / "RAN").exists()) == (2, False)
    assert "was started with the model" in err
    # The record has no fingerprint of its data, so they must be called as it calls them.
    assert "uses other data than" in call("run", "t.csv", *words[1:], "--model", "evil.py:build")[2]
    run_id = imported(call, interrupted("pipeline", model="evil.py:build", folder="anywhere"))
    code, _, err = call("run", "t.csv", *words[1:], "--model", "evil.py:build")
    assert code == 0, err
    assert (folder / "RAN").exists()
    assert (folder / "s" / run_id / "report.html").is_file()
    assert not (folder / "anywhere").exists()
    with Store("s") as store:
        assert store.origin(run_id)[1]  # from now on it is this user's


def test_a_run_of_ones_own_needs_its_model_named_again_and_nothing_else(folder):
    with Store("s") as store:
        store.open_writer(interrupted("pipeline")).close()
        run = store.load("latest")
        assert confirmed(store, run, source="", model="", command="{data}{model}").source == "t.csv"
        with pytest.raises(UserError, match=r"uses other data than other\.csv"):
            confirmed(store, run, source="other.csv", model="", command="{data}{model}")
        store.open_writer(interrupted("pipeline", model="evil.py:build")).close()
        run = store.load("latest")
        with pytest.raises(UserError, match=r"name it again: go --model evil\.py:build"):
            confirmed(store, run, source="", model="", command="go{model}")
        assert confirmed(store, run, source="", model="evil.py:build", command="{data}{model}").own
        store.open_writer(interrupted("pipeline", source=f"db://u:{MASK}@h/t.csv")).close()
        with pytest.raises(UserError, match="a secret was removed"):
            confirmed(store, store.load("latest"), source="", model="", command="{data}{model}")


def test_settings_of_the_wrong_kind_are_told_in_one_line(call):
    run_id = imported(call, interrupted("pipeline", seed="x"))
    code, _, err = call("run", "t.csv", "--resume", run_id, "--store", "s")
    assert code == 2
    assert "are invalid" in err
    run_id = imported(call, interrupted("search", trials="many"))
    assert "are invalid" in call("search", "t.csv", "--resume", run_id, "--store", "s")[2]


def test_a_run_whose_id_leads_elsewhere_gets_no_folder(call, folder):
    with Store("s") as store:
        store.save(interrupted("pipeline"))
        with store._backend.writing() as connection:
            for table, column in (("runs", "id"), ("parts", "run_id")):
                connection.exec_driver_sql(f"UPDATE {table} SET {column} = '../../outside'")
            connection.exec_driver_sql(
                "UPDATE parts SET payload = ? WHERE name = 'id'", (msgspec.msgpack.encode("../../outside"),)
            )
    assert call("report", "latest", "--store", "s")[0] == 2
    assert call("run", "t.csv", "--resume", "../../outside", "--store", "s")[0] == 2
    assert not (folder.parent / "outside").exists()
    assert not (folder.parent.parent / "outside").exists()


def test_an_export_carries_no_origin(call, folder):
    with Store("s") as store:
        store.open_writer(interrupted("pipeline")).close()
        assert store.origin("latest")[1]
    assert call("runs", "export", "latest", "--to", "out.json", "--store", "s")[0] == 0
    assert "seal" not in (folder / "out.json").read_text()
    assert call("runs", "import", "out.json", "--store", "other")[0] == 0
    with Store("other") as store:
        origin, own = store.origin("latest")
    assert (origin.how, own) == ("imported", False)


def test_a_checkpoint_that_holds_code_is_refused(call, folder):
    import pickle

    class Evil:
        def __reduce__(self):
            return (builtins.open, (str(folder / "RAN"), "w"))

    run_id = imported(call, msgspec.structs.replace(interrupted("pipeline"), config={
        **interrupted("pipeline").config, "stage": "searched", "lr": 0.01, "weight_decay": 0.0,
    }))  # fmt: skip
    place = folder / "s" / run_id
    place.mkdir(parents=True)
    (place / "checkpoint.pt").write_bytes(pickle.dumps(Evil()))
    code, _, err = call("run", "t.csv", "--resume", run_id, "--store", "s")
    assert code == 2
    assert "not a readable checkpoint" in err
    assert not (folder / "RAN").exists()
