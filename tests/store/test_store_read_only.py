"""A store that can be read and not written, as a user who is not root meets it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from babysit.store.store import Store
from babysit.testing.synthetic_runs import full_run

# Root may write everywhere, unless it lays that right down.
_AS_OTHERS = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0

pytestmark = pytest.mark.skipif(_ROOT and shutil.which("setpriv") is None, reason="root may write everywhere")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A store with one run in a folder that takes nothing more."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="babysit-read-only-") as name:
        outer, inner = Path(name), Path(name) / "runs"
        outer.chmod(0o777)
        with Store(str(inner)) as store:
            store.save(full_run("a"))
        (outer / "temporary").mkdir()
        (outer / "temporary").chmod(0o777)
        for path in inner.iterdir():
            path.chmod(0o444)
        inner.chmod(0o555)
        yield inner
        inner.chmod(0o755)


def done_by_somebody(program: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*(_AS_OTHERS if _ROOT else ()), sys.executable, "-c", program, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        cwd=folder.parent,
        env={**os.environ, "TMPDIR": str(folder.parent / "temporary"), "HOME": str(folder.parent / "temporary")},
    )


COMMAND = """
import sys
from babysit.cli.app import main
words = {words!r} + ["--store", sys.argv[1]]
sys.exit(main(words))
"""


@pytest.mark.parametrize("words", [["runs"], ["report", "a", "--format", "text"], ["runs", "a"]])
def test_a_store_that_can_only_be_read_is_read(folder: Path, words: list[str]) -> None:
    before = sorted(folder.iterdir())
    end = done_by_somebody(COMMAND.format(words=words), folder)
    assert "R301" in end.stdout, end.stderr
    assert end.returncode == 0
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("words", [["runs", "tag", "a", "best"], ["runs", "delete", "a", "--yes"]])
def test_to_write_it_is_refused_in_one_line(folder: Path, words: list[str]) -> None:
    end = done_by_somebody(COMMAND.format(words=words), folder)
    assert end.returncode == 2
    assert "is read-only" in " ".join(end.stderr.split())
    assert "Traceback" not in end.stderr


JOURNAL = """
import sys
from babysit.store.store import Store
store = Store(sys.argv[1])
print([line.id for line in store.list()])
"""


def test_what_another_program_is_writing_is_seen(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    store = Store(str(folder))
    writer = store.open_writer(full_run("b"))
    assert writer.flush()
    assert (folder / "babysit.sqlite-wal").stat().st_size > 0
    folder.chmod(0o555)
    end = done_by_somebody(JOURNAL, folder)
    assert end.stdout == "['b', 'a']\n", end.stderr
    folder.chmod(0o755)
    store.close()


def test_a_journal_that_nobody_tends_does_not_keep_it_from_being_read(folder: Path) -> None:
    folder.chmod(0o755)
    for path in folder.iterdir():
        path.chmod(0o644)
    (folder / "babysit.sqlite-wal").write_bytes(b"\0" * 4152)
    folder.chmod(0o555)
    end = done_by_somebody(JOURNAL, folder)
    assert end.stdout == "['a']\n", end.stderr


TRAINING = """
import sys
from babysit.store.store import Store
store = Store(sys.argv[1])
from babysit.records.run import Run
from babysit.testing.synthetic_runs import losses
writer = store.open_writer(Run(id="b"))
writer.append(curves=losses(0, 4))
print(writer.flush())
store.close()
print(*store.problems)
"""


def test_a_training_goes_on_beside_it_and_its_records_come_in_later(folder: Path) -> None:
    end = done_by_somebody(TRAINING, folder)
    assert end.stdout.startswith("True\n"), end.stderr
    assert f"records are spooled in {folder.parent / 'temporary'}" in end.stdout
    assert list((folder.parent / "temporary").glob("*/*.spool"))


SCRIPT = """
import torch
torch.manual_seed(0)
model = torch.nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
for _ in range(30):
    x = torch.randn(64, 4)
    optimizer.zero_grad()
    torch.nn.functional.mse_loss(model(x), x[:, :2]).backward()
    optimizer.step()
print("trained to the end")
"""


@pytest.mark.slow
@pytest.mark.parametrize("database", [True, False])
def test_a_watched_training_goes_on_and_its_records_are_kept_elsewhere(folder: Path, database: bool) -> None:
    if not database:
        folder.chmod(0o755)
        for path in folder.iterdir():
            path.unlink()
        folder.chmod(0o555)
    script = folder.parent / "train.py"
    script.write_text(SCRIPT)
    watching = f"""
import sys
from babysit.cli.app import main
sys.exit(main(["watch", "--store", sys.argv[1], {str(script)!r}]))
"""
    done = done_by_somebody(watching, folder)
    assert done.returncode == 0, done.stderr
    assert "trained to the end" in done.stdout
    assert "Traceback" not in done.stderr
    assert str(folder.parent / "temporary") in done.stderr
    if not database:
        kept = next((folder.parent / "temporary").glob("babysit-runs-*"))
        with Store(str(kept)) as store:
            assert [line.steps for line in store.list()] == [30]
