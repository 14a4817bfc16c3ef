from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path
from typing import BinaryIO

import pytest
import torch

from babysit.records.errors import UserError
from babysit.training import checkpoint as module
from babysit.training.checkpoint import NAME, Checkpoints, read_checkpoint, write_atomically

STATE = {"stopping": {}, "weights": torch.arange(3.0)}


def test_a_checkpoint_reads_back_from_its_file_and_from_its_folder(tmp_path: Path) -> None:
    Checkpoints(tmp_path / "new" / "folder").begin(STATE)
    for path in (tmp_path / "new" / "folder", tmp_path / "new" / "folder" / NAME):
        assert torch.equal(read_checkpoint(path)["weights"], STATE["weights"])
    assert os.listdir(tmp_path / "new" / "folder") == [NAME]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, OSError(errno.ENOSPC, "No space left on device")])
def test_a_writing_that_is_cut_off_leaves_the_old_file_and_no_rest(tmp_path: Path, stop: BaseException) -> None:
    path = tmp_path / "file"
    write_atomically(path, lambda file: file.write(b"old"))

    def half(file: BinaryIO) -> None:
        file.write(b"half of the ne")
        raise stop

    with pytest.raises((KeyboardInterrupt, OSError)):
        write_atomically(path, half)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def full_disk(path: Path, write: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_at_the_start_is_the_users_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "write_atomically", full_disk)
    with pytest.raises(UserError, match="No space left on device"):
        Checkpoints(tmp_path).begin(STATE)


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(UserError, match="the checkpoint cannot be written"):
        Checkpoints(tmp_path / "taken").begin(STATE)


def test_a_disk_that_fills_up_later_is_logged_once_and_keeps_the_old_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.begin(STATE)
    monkeypatch.setattr(module, "write_atomically", full_disk)
    for _ in range(2):
        checkpoints.keep(lambda: {"stopping": {}, "weights": torch.zeros(3)}, now=True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "training continues" in caplog.text
    assert torch.equal(read_checkpoint(tmp_path)["weights"], STATE["weights"])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs the device that is always full")
def test_a_full_disk_met_by_torch_itself_is_an_os_error() -> None:
    with pytest.raises(OSError), open("/dev/full", "wb", buffering=0) as file:
        module._write_or_os_error(file, lambda target: torch.save({"weights": torch.zeros(100_000)}, target))


def test_writing_takes_its_share_of_the_time_only(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path)
    checkpoints.begin(STATE)
    checkpoints._write_seconds = 60.0  # a write that takes a minute is due again after twenty
    checkpoints.keep(lambda: {"stopping": {}, "weights": torch.zeros(3)})
    assert torch.equal(read_checkpoint(tmp_path)["weights"], STATE["weights"])
    checkpoints.keep(lambda: {"stopping": {}, "weights": torch.zeros(3)}, now=True)
    assert torch.equal(read_checkpoint(tmp_path)["weights"], torch.zeros(3))


def test_without_a_folder_nothing_is_written() -> None:
    checkpoints = Checkpoints(None)
    checkpoints.begin(STATE)
    checkpoints.keep(lambda: STATE, now=True)
    assert checkpoints.path is None


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("trapped",))


def test_code_in_a_checkpoint_is_refused_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"format": 1, "stopping": Trap()}, tmp_path / NAME)
    with pytest.raises(UserError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path)
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no archive", b"text", pickle.dumps([1, 2])])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(UserError, match="checkpoint"):
        read_checkpoint(tmp_path)


def test_a_cut_off_checkpoint_is_refused(tmp_path: Path) -> None:
    Checkpoints(tmp_path).begin(STATE)
    whole = (tmp_path / NAME).read_bytes()
    (tmp_path / NAME).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="not a readable checkpoint"):
        read_checkpoint(tmp_path)


def test_a_missing_checkpoint_and_one_of_another_format_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no checkpoint"):
        read_checkpoint(tmp_path)
    torch.save({"format": 99, "stopping": {}}, tmp_path / NAME)
    with pytest.raises(UserError, match="format 99"):
        read_checkpoint(tmp_path)
