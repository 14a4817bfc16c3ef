"""A search that was ended in any way goes on, and nothing that had ended is lost."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import optuna
import pytest
from torch import nn

from babysit.data.splits import Splits
from babysit.records.errors import UserError
from babysit.records.trial import TrialState
from babysit.testing.executor_contract import build, workload
from babysit.tuning.executors.base import TrainingTask, TrainResult, TrialConfig
from babysit.tuning.executors.processes import processes
from babysit.tuning.executors.sequential import SequentialExecutor
from babysit.tuning.result import SearchResult
from babysit.tuning.search import search
from babysit.tuning.search_checkpoint import CannotWriteError, Result, SearchCheckpoint
from babysit.tuning.settings import SearchSettings, Stage
from babysit.tuning.space_parser import read_space

SETTINGS = SearchSettings(batch_size=16, stages=(Stage("coarse", 12, 3), Stage("fine", 9, 3)), finalists=1)
SPACE = "lr=1e-4..1e2 weight_decay=1e-6..1e-2"


def searched(folder: Path | None, **changes: Any) -> SearchResult:
    work = workload()
    splits = Splits(train=work.train, validation=work.validation, test=work.validation)
    arguments: dict[str, Any] = {"space": read_space(SPACE), "settings": SETTINGS, "executor": SequentialExecutor}
    return search(changes.pop("build", build), splits, folder=folder, **(arguments | changes))


def shown(result: SearchResult) -> list[object]:
    return [
        (trial.number, trial.stage, trial.parameters, trial.metric, trial.reason, trial.last_costs, trial.rungs)
        for trial in result.trials
    ]


def slow(parameters: dict[str, Any]) -> nn.Module:
    time.sleep(0.02)
    return build(parameters)


def main() -> None:
    """The search in a process of its own, which the tests kill."""
    executor = processes(1) if sys.argv[2] == "processes" else SequentialExecutor
    settings = SearchSettings(**{**SETTINGS.__dict__, "sampler": sys.argv[3]})
    searched(Path(sys.argv[1]), build=slow, executor=executor, settings=settings)


def results_in(folder: Path) -> int:
    file = folder / "results.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def killed_after(folder: Path, results: int, *, executor: str = "inprocess", sampler: str = "random") -> None:
    """Begins the search and kills it with SIGKILL as soon as it has written so many more results."""
    goal = results_in(folder) + results
    with subprocess.Popen([sys.executable, __file__, str(folder), executor, sampler]) as driver:
        deadline = time.monotonic() + 120
        while results_in(folder) < goal:
            assert driver.poll() is None, "it ended by itself"
            assert time.monotonic() < deadline
            time.sleep(0.002)
        driver.send_signal(signal.SIGKILL)
    assert driver.returncode == -signal.SIGKILL


@pytest.mark.slow
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_killed_twice_in_the_middle_it_ends_with_the_same_numbers_as_undisturbed(tmp_path: Path, sampler: str):
    settings = SearchSettings(**{**SETTINGS.__dict__, "sampler": sampler})
    expected = shown(searched(None, settings=settings))
    folder = tmp_path / "search"
    killed_after(folder, 5, sampler=sampler)
    killed_after(folder, 12, sampler=sampler)
    before = results_in(folder)
    trained = 0

    def counting(parameters: dict[str, Any]) -> nn.Module:
        nonlocal trained
        trained += 1
        return build(parameters)

    result = searched(folder, build=counting, settings=settings)
    assert shown(result) == expected
    assert any(f"resumed from {before} results" in note for note in result.notes)
    # Members of the rung under way are built again, those that had ended are not.
    assert trained < len(expected)


@pytest.mark.slow
def test_with_workers_a_killed_driver_loses_at_most_one_rung(tmp_path: Path):
    expected = shown(searched(None))
    killed_after(tmp_path / "search", 15, executor="processes")
    assert shown(searched(tmp_path / "search")) == expected


def test_a_finished_search_is_answered_from_its_folder_without_training(tmp_path: Path):
    first = searched(tmp_path)

    def never(workload: TrainingTask) -> SequentialExecutor:
        work = TrainingTask(build=refuse, train=workload.train, validation=workload.validation)
        return SequentialExecutor(work)

    def refuse(parameters: dict[str, Any]) -> nn.Module:
        raise AssertionError("trained again")

    assert shown(searched(tmp_path, executor=never)) == shown(first)
    assert not list(tmp_path.glob("members-*"))


def test_another_space_or_other_data_are_another_search(tmp_path: Path):
    searched(tmp_path)
    with pytest.raises(UserError, match="started with another space"):
        searched(tmp_path, space=read_space("lr=1e-3..1e2"))
    with pytest.raises(UserError, match="started with another settings"):
        searched(tmp_path, settings=SearchSettings(batch_size=16, stages=(Stage("coarse", 4, 1),)))


def test_two_searches_in_one_folder_are_refused(tmp_path: Path):
    with SearchCheckpoint(tmp_path, spec={}), pytest.raises(UserError, match="another process is searching"):
        SearchCheckpoint(tmp_path, spec={}).__enter__()
    with SearchCheckpoint(tmp_path, spec={}):
        pass  # the lock goes with the search


class _Full:
    """A file on a disk that fills up after so many lines."""

    def __init__(self, file: Any, lines: int) -> None:
        self._file, self._left = file, lines

    def write(self, line: bytes) -> int:
        if not self._left:
            self._file.write(line[: len(line) // 2])
            self._file.flush()
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._left -= 1
        return int(self._file.write(line))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def test_a_full_disk_is_told_in_one_line_and_the_search_goes_on_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = shown(searched(None))
    enter = SearchCheckpoint.__enter__

    def on_a_small_disk(self: SearchCheckpoint) -> SearchCheckpoint:
        entered = enter(self)
        entered._file = _Full(entered._file, 17)  # type: ignore[assignment]
        return entered

    with monkeypatch.context() as patch:
        patch.setattr(SearchCheckpoint, "__enter__", on_a_small_disk)
        with pytest.raises(UserError, match="cannot write the search: No space left on device") as told:
            searched(tmp_path)
    assert str(tmp_path) in str(told.value)
    assert "the search resumes from them" in str(told.value)
    assert results_in(tmp_path) == 17  # and half a line
    assert shown(searched(tmp_path)) == expected


def test_a_disk_that_is_really_full_keeps_what_came_before(tmp_path: Path):
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk is not permitted here")

    def fill() -> None:
        with SearchCheckpoint(small, spec={}) as folder:
            for _ in range(1000):
                folder.add(line)

    line = Result(epochs=1, parameters={"lr": 0.1}, seed=0, advance={"costs": ["1.0"] * 500})
    try:
        with pytest.raises(CannotWriteError, match="No space left on device"):
            fill()
        written = results_in(small)
        assert 1 < written < 1000
        subprocess.run(["mount", "-o", "remount,size=1m", str(small)], check=True)
        with SearchCheckpoint(small, spec={}) as folder:
            assert folder.results == [line] * written
            folder.add(line)
        with SearchCheckpoint(small, spec={}) as folder:
            assert len(folder.results) == written + 1
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_checkpoint_that_cannot_be_written_is_told_and_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def no_room(self: SequentialExecutor, folder: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(SequentialExecutor, "save", no_room)
    result = searched(tmp_path)
    assert shown(result) == shown(searched(None))
    assert sum("could not be saved" in note for note in result.notes) == 1


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_trained(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the search"):
        searched(tmp_path / "file" / "search")


def test_members_of_a_checkpoint_that_cannot_be_read_whole_are_not_trained_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    true_advance, true_load = SequentialExecutor.advance, SequentialExecutor.load

    def halting(self: SequentialExecutor, members: Sequence[TrialConfig], *, epochs: int) -> Iterator[TrainResult]:
        for place, advance in enumerate(true_advance(self, members, epochs=epochs)):
            if advance.step > 8 and place == 1:  # in the middle of the second rung
                raise KeyboardInterrupt
            yield advance

    def half(self: SequentialExecutor, folder: Path) -> None:
        true_load(self, folder)
        raise UserError("the rest cannot be read")

    with monkeypatch.context() as patched:
        patched.setattr(SequentialExecutor, "advance", halting)
        assert searched(tmp_path).interrupted
    monkeypatch.setattr(SequentialExecutor, "load", half)
    again = searched(tmp_path)
    assert any("trained again from the start: the rest cannot be read" in note for note in again.notes)
    assert shown(again) == shown(searched(None))


def test_ctrl_c_and_then_the_same_folder_again_give_all_of_it(tmp_path: Path):
    count = 0

    def interrupting(parameters: dict[str, Any]) -> nn.Module:
        nonlocal count
        count += 1
        if count == 9:
            raise KeyboardInterrupt
        return build(parameters)

    first = searched(tmp_path, build=interrupting)
    assert first.interrupted
    assert any("to resume it" in note for note in first.notes)
    assert shown(searched(tmp_path)) == shown(searched(None))


def test_the_study_file_is_one_that_optuna_reads_with_a_study_for_each_stage(tmp_path: Path):
    result = searched(tmp_path / "search")
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "search" / "study.log"))
    )
    names = optuna.get_all_study_names(storage)
    assert names == [f"{tmp_path.name}/coarse", f"{tmp_path.name}/fine"]
    study = optuna.load_study(study_name=names[0], storage=storage)
    coarse = {trial.number: trial for trial in result.trials if trial.stage == "coarse"}
    assert len(study.trials) == len(coarse) == 12
    for kept in study.trials:
        trial = coarse[kept.user_attrs["number"]]
        assert kept.params == trial.parameters
        if trial.state is TrialState.COMPLETE:
            assert kept.value == trial.metric
        else:
            assert kept.state is optuna.trial.TrialState.PRUNED
            assert kept.user_attrs["reason"] == trial.reason


def test_a_lock_and_half_a_line_left_in_the_study_file_by_a_killed_search_do_no_harm(tmp_path: Path):
    folder = tmp_path / "search"
    searched(folder)
    study = folder / "study.log"
    whole = study.read_bytes()
    study.write_bytes(whole[: len(whole) // 2])
    (folder / "study.log.lock").symlink_to(study)
    began = time.monotonic()
    result = searched(folder)
    assert time.monotonic() - began < 20  # Optuna itself waits 30 seconds for such a lock
    assert not any("study file" in note for note in result.notes)
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(study)))
    studies = [optuna.load_study(study_name=name, storage=storage) for name in optuna.get_all_study_names(storage)]
    assert [len(one.trials) for one in studies] == [12, 9]


def test_a_study_file_of_another_make_is_left_alone_and_told(tmp_path: Path):
    (tmp_path / "study.log").write_text("notes of mine\nmore of them\n")
    result = searched(tmp_path)
    assert any("the study file" in note and "could not be written" in note for note in result.notes)
    assert result.best is not None


if __name__ == "__main__":
    main()
