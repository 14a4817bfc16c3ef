"""The command line called in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from babysit.cli.app import main


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Calls `babysit` with some words; gives exit code, standard output and standard error."""

    def called(*words: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return caught.value.code, out, err

    return called
