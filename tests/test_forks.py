"""What the suite's own processes say when they hang."""

import threading

import pytest
from forks import ended, fork


def hang_for_ever():
    threading.Event().wait()


def test_a_process_that_hangs_says_where(tmp_path):
    quick, stuck = fork(lambda: 3, tmp_path / "quick"), fork(hang_for_ever, tmp_path / "stuck")
    with pytest.raises(AssertionError, match=r"waited too long[\s\S]*in hang_for_ever[\s\S]*of all: \[\(3, ''\)"):
        ended([quick, stuck], seconds=0.2)
    assert stuck.code is not None
