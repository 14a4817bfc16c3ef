"""`babysit runs`: what is listed, in which order, and what changes, moves and deletes runs."""

import io
import json
from pathlib import Path

import pytest

from babysit.cli.plain_text import on_one_line, visible
from babysit.cli.settings import Settings, load_settings
from babysit.records.errors import UserError
from babysit.records.run import Run, Status
from babysit.store.backend import MEGABYTES
from babysit.store.store import Store
from babysit.testing.store_contract_hard import HOSTILE
from babysit.testing.synthetic_runs import full_run, losses, same


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


@pytest.fixture
def three():
    """A fit that is sick, a search, and a watch; in this order."""
    with Store() as store:
        store.save(full_run("amber"))
        store.save(Run(id="birch", name="Coarse", kind="search", status=Status.FINISHED, curves=losses(0, 900)))
        store.save(Run(id="cedar", name="alpha", kind="watch", status=Status.CRASHED, result={"test/accuracy": 0.75}))
        store.annotate("birch", tags=["paper", "best"], notes="for Table 2")


def ids(said):
    return [line["id"] for line in json.loads(said)]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), ["cedar", "birch", "amber"]),
        (("--sort", "oldest"), ["amber", "birch", "cedar"]),
        (("--sort", "name"), ["cedar", "birch", "amber"]),
        (("--sort", "steps"), ["birch", "amber", "cedar"]),
        (("--sort", "result"), ["cedar", "amber", "birch"]),
        (("--sort", "size"), ["birch", "amber", "cedar"]),
        (("--limit", "1"), ["cedar"]),
        (("--find", "TABLE 2"), ["birch"]),
        (("--find", "lr-too-high"), ["amber"]),
        (("--find", "cedar"), ["cedar"]),
        (("--kind", "search"), ["birch"]),
        (("--status", "crashed"), ["cedar"]),
        (("--verdict", "problems"), ["amber"]),
        (("--tag", "paper"), ["birch"]),
        (("--tag", "paper", "--tag", "best"), ["birch"]),
        (("--tag", "paper", "--tag", "worst"), []),
        (("--kind", "fit", "--find", "🙂"), ["amber"]),
    ],
    ids=lambda value: " ".join(value) or "all",
)
def test_the_list_answers_what_is_asked(call, three, words, expected):
    code, out, err = call("runs", *words, "--json")
    assert (code, err) == (0, "")
    assert ids(out) == expected


def test_the_table_shows_tags_only_where_there_are_some(call, three):
    assert "tags" in call("runs")[1]
    assert "tags" not in call("runs", "--kind", "fit")[1]
    assert "None of the 3 runs matches" in call("runs", "--kind", "nothing")[1]


def test_a_wrong_question_is_one_line(call, three):
    for words in (("--sort", "luck"), ("--status", "good"), ("--limit", "x")):
        code, out, err = call("runs", *words)
        assert (code, out, err.count("\n")) == (2, "", 1)


def test_tags_are_put_on_and_taken_away(call, three):
    assert call("runs", "tag", "cedar", "a", "b c", "a")[1] == "cedar: a, b c\n"
    assert call("runs", "tag", "cedar", "d", "--remove", "a")[1] == "cedar: b c, d\n"
    assert json.loads(call("runs", "tag", "cedar", "--remove", "d", "--json")[1])["tags"] == ["b c"]
    assert call("runs", "tag", "cedar", "--remove", "b c")[1] == "cedar: no tags\n"
    assert "Tags     paper, best" in call("runs", "birch")[1]


def test_a_note_is_written_shown_and_taken_away(call, three):
    assert call("runs", "note", "amber", "the one\nwith new data")[0] == 0
    assert "Notes    the one\nwith new data" in call("runs", "amber")[1]
    assert call("runs", "note", "amber", "")[1] == "amber: no note\n"
    assert "Notes" not in call("runs", "amber")[1]


def test_a_deletion_asks_and_takes_no_for_an_answer(call, three, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    code, _, err = call("runs", "delete", "amber", "birch")
    assert code == 2
    assert "Delete these 2 runs permanently?" in err
    assert "amber  fit größer als 1 🙂  6 steps" in err
    assert "nothing was deleted" in err
    monkeypatch.setattr("sys.stdin", Terminal("yes\n"))
    assert call("runs", "delete", "amber", "birch")[:2] == (0, "deleted amber, birch\n")
    with Store() as store:
        assert [line.id for line in store.list()] == ["cedar"]


def test_a_deletion_where_nobody_can_be_asked_wants_a_word(call, three, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, out, err = call("runs", "delete", "amber")
    assert (code, out) == (2, "")
    assert "--yes" in err
    assert json.loads(call("runs", "delete", "amber", "--yes", "--json")[1]) == {"deleted": ["amber"]}


def test_a_run_that_is_being_written_is_deleted_only_when_that_is_said(call, three):
    with Store() as store:
        writer = store.open_writer(Run(id="oak"))
        code, _, err = call("runs", "delete", "oak", "amber", "--yes")
        assert code == 2
        assert "oak is still being written" in " ".join(err.split())
        assert len(store.list()) == 4
        assert call("runs", "delete", "oak", "--yes", "--force")[0] == 0
        writer.close()
        assert len(store.list()) == 3


@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_below_one_is_refused(call, three, limit):
    code, out, err = call("runs", "--limit", limit)
    assert (code, out) == (2, "")
    assert "--limit 1 or more" in " ".join(err.split())


@pytest.mark.parametrize("to", ["nowhere/a.csv", "nowhere/folder"])
def test_an_export_makes_no_folders_above_its_own(call, three, folder, to):
    code, _, err = call("runs", "export", "amber", "--to", to)
    assert code == 2
    assert "there is no such folder" in err
    assert not (folder / "nowhere").exists()


def test_one_wrong_name_among_many_deletes_nothing(call, three):
    assert call("runs", "delete", "amber", "oak", "--yes")[0] == 2
    with Store() as store:
        assert len(store.list()) == 3


@pytest.mark.parametrize("ending", ["parquet", "csv", "json"])
def test_an_exported_run_comes_back_into_another_store(call, three, folder, ending):
    assert call("runs", "export", "birch", "--to", f"out.{ending}")[1] == f"out.{ending}\n"
    assert call("runs", "import", f"out.{ending}", "--store", "other")[1] == "birch\n"
    with Store() as store, Store("other") as other:
        assert same(store.load("birch"), other.load("birch"))
        line = other.list()[0]
        assert (line.tags, line.notes, line.steps) == (("paper", "best"), "for Table 2", 900)


def test_many_runs_go_into_a_folder_and_come_back_from_it(call, three, folder):
    out = json.loads(call("runs", "export", "amber", "birch", "--to", "archive", "--format", "csv", "--json")[1])
    assert sorted(out["written"]) == ["archive/amber.csv", "archive/birch.csv"]
    assert json.loads(call("runs", "import", "archive", "--store", "other", "--json")[1]) == {
        "imported": ["amber", "birch"]
    }


def test_a_run_that_is_here_already_is_not_written_over_in_silence(call, three):
    call("runs", "export", "cedar", "--to", "cedar.json")
    with Store() as store:
        store.annotate("cedar", notes="mine")
    code, _, err = call("runs", "import", "cedar.json")
    assert code == 2
    assert "already exists" in err
    assert "--replace" in err
    assert call("runs", "import", "cedar.json", "--replace")[0] == 0
    assert call("runs", "import", "nothing.json")[0] == 2
    Path("empty").mkdir()
    assert "no exported run" in call("runs", "import", "empty")[2]


def test_an_imported_id_cannot_lead_out_of_its_folder(call, three):
    call("runs", "export", "cedar", "--to", "cedar.json")
    text = Path("cedar.json").read_text()
    Path("cedar.json").write_text(text.replace('"cedar"', '"../../up"'))
    code, _, err = call("runs", "import", "cedar.json")
    assert code == 2
    assert "is not a valid run ID" in err
    assert err.count("\n") == 1


def test_hostile_text_neither_moves_the_cursor_nor_breaks_the_table(call):
    with Store() as store:
        for number, text in enumerate(HOSTILE):
            store.save(Run(id=f"h{number}", name=text, kind=text))
            store.annotate(f"h{number}", notes=text)
    for words in (("runs",), *(("runs", f"h{number}") for number in range(len(HOSTILE)))):
        code, out, err = call(*words)
        assert (code, err) == (0, "")
        assert not [sign for sign in out if ord(sign) < 32 and sign not in "\n\t"]
        assert not set(out) & set("\x7f\x9b\u202e\u2066")
        if len(words) == 1:
            assert len(out) < 20_000
            assert "[bold]rich[/bold] [/] [link=file:///etc]" in out
    assert len(json.loads(call("runs", "--json")[1])) == len(HOSTILE)


def test_visible_text_keeps_its_letters_and_lines():
    assert visible("a\x1b[31mb\x1b[0m\x1b]0;title\x07c\nd\te\rf") == "abc\nd\tef"
    assert on_one_line("a\n b" + "c" * 100, longest=10) == "a bcccccc…"
    assert visible("👩‍👩‍👧 Größe 層") == "👩‍👩‍👧 Größe 層"


def test_where_runs_are_comes_from_the_command_then_the_environment_then_the_file(call, folder, monkeypatch):
    (folder / "babysit.toml").write_text('store = "of_file"\nmax-run-size = 3\n')
    with Store("of_file") as store:
        store.save(Run(id="file"))
    with Store("of_environment") as store:
        store.save(Run(id="environment"))
    with Store("of_command") as store:
        store.save(Run(id="command"))
    assert ids(call("runs", "--json")[1]) == ["file"]
    monkeypatch.setenv("BABYSIT_STORE", "of_environment")
    assert ids(call("runs", "--json")[1]) == ["environment"]
    assert ids(call("runs", "--json", "--store", "of_command")[1]) == ["command"]
    with Store() as store:  # Python hears the environment as well
        assert store.list()[0].id == "environment"
        assert store.option == ""


def test_the_bound_of_a_run_comes_from_the_environment_or_the_file(folder, monkeypatch):
    assert Settings().max_run_size == MEGABYTES
    (folder / "babysit.toml").write_text("max-run-size = 3\n")
    assert load_settings().max_run_size == 3
    monkeypatch.setenv("BABYSIT_MAX_RUN_SIZE", "0.25")
    assert load_settings().max_run_size == 0.25
    with Store("runs") as store:
        store.save(Run(id="a", curves=losses(0, 100_000)))
        assert store.list()[0].bytes <= 250_000
    for wrong in ("-1", "many"):
        monkeypatch.setenv("BABYSIT_MAX_RUN_SIZE", wrong)
        with pytest.raises(UserError):
            load_settings()
        with pytest.raises(UserError, match="megabytes"):
            Store("runs")
