import os
import random
import re
import subprocess
import sys

import msgspec

from babysit.store.run_id import is_alive, new_run_id, this_process


def test_run_ids_sort_by_time_and_differ() -> None:
    ids = [new_run_id() for _ in range(100)]
    assert all(re.fullmatch(r"\d{8}-\d{6}-[a-z]{6}", run_id) for run_id in ids)
    assert [run_id[:15] for run_id in ids] == sorted(run_id[:15] for run_id in ids)
    assert len(set(ids)) > 95


def test_naming_a_run_leaves_the_random_state_alone() -> None:
    before = random.getstate()
    new_run_id()
    assert random.getstate() == before


def test_this_process_is_alive() -> None:
    assert is_alive(this_process()) is True


def test_another_process_is_alive_until_it_ends() -> None:
    code = (
        "import msgspec, sys; from babysit.store.run_id import this_process\n"
        "print(msgspec.json.encode(this_process()).decode(), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    owner = msgspec.json.decode(other.stdout.readline(), type=type(this_process()))
    assert is_alive(owner) is True
    other.kill()
    other.wait()
    assert is_alive(owner) is False


def test_a_number_given_again_is_not_the_same_process() -> None:
    later = msgspec.structs.replace(this_process(), started="1")
    assert is_alive(later) is False
    parent = msgspec.structs.replace(this_process(), process=os.getppid(), started="1")
    assert is_alive(parent) is False


def test_a_process_elsewhere_cannot_be_asked() -> None:
    assert is_alive(msgspec.structs.replace(this_process(), machine="another")) is None
