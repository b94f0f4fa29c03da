"""Pieces of one job shared out through a store; launched processes are tried where the commands are."""

import threading
import time

import pytest
import torch.distributed as dist
from forks import fork

from ldmcli.errors import LdmError
from ldmcli.runtime import team as team_module
from ldmcli.runtime.team import Team
from ldmcli.runtime.teamwork import share_out


@pytest.fixture
def teams():
    """Processes 0 and 1, both in this one."""
    store = dist.HashStore()
    return Team(0, 2, store), Team(1, 2, store)


def result_of(steps):
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_the_error_that_is_raised_does_not_depend_on_which_comes_first(teams):
    first, other = teams
    begun = threading.Event()

    def slow(number):
        begun.set()
        yield
        time.sleep(0.2)
        raise LdmError(f"piece {number}")

    def quick(number):
        yield
        raise LdmError(f"piece {number}")

    threading.Thread(target=lambda: result_of(share_out(other, "work", 2, slow)), daemon=True).start()
    assert begun.wait(10)  # it has piece 0
    with pytest.raises(LdmError, match="piece 0"):
        result_of(share_out(first, "work", 2, quick))


def test_who_skips_a_name_is_not_waited_for(teams):
    first, other = teams
    other.send("work", None)

    def work(number):
        yield
        return number

    assert result_of(share_out(first, "work", 3, work)) == [0, 1, 2]


def test_a_process_whose_store_never_answers_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(team_module, "LOST_S", 0.1)
    monkeypatch.setattr(team_module, "BEAT_S", 0.05)

    class Silent:
        def set(self, key, value):
            time.sleep(60)

    def work():
        with Team(0, 2, Silent()).showing_life():
            time.sleep(60)
        return 0

    child = fork(work, tmp_path / "talk")
    assert child.wait(20) == 1 and "cannot be reached" in child.said()
