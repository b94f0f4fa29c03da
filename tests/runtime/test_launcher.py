"""What stands in the environment, by a launcher or left over from one."""

import pickle
import signal

import pytest

from ldmcli.errors import Agreed, LdmError, OutOfMemory, PeerLost, Stopped, UsageError
from ldmcli.runtime.exit_codes import exit_code_of
from ldmcli.runtime.launcher import local_index, process_count, process_index
from ldmcli.runtime.signals import Interrupted


def test_empty_variables_are_none(monkeypatch):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "")
    assert (process_count(), process_index(), local_index()) == (1, 0, 0)


def test_a_rank_alone_makes_nobody_silent(monkeypatch):
    monkeypatch.setenv("RANK", "3")
    assert process_index() == 0


@pytest.mark.parametrize(
    ("name", "text", "read"), [("WORLD_SIZE", "two", process_count), ("WORLD_SIZE", "0", process_count), ("LOCAL_RANK", "-1", local_index)]
)
def test_what_no_launcher_sets_is_refused(monkeypatch, name, text, read):
    monkeypatch.setenv(name, text)
    with pytest.raises(UsageError, match=f"{name}={text}"):
        read()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2), (MemoryError(), 5), (RuntimeError("CUDA out of memory. Tried"), 5), (OutOfMemory("no"), 5),
        (ValueError("a bug"), 1), (Interrupted(signal.SIGTERM), 143), (KeyboardInterrupt(), 1),
    ],
)  # fmt: skip
def test_exit_codes(error, code):
    assert exit_code_of(error) == code


@pytest.mark.parametrize(
    "error", [LdmError("a", hint="b"), Stopped("a", exit_code=143, hint="b"), Agreed("a", exit_code=4), PeerLost("process 0")]
)
def test_errors_travel_between_processes(error):
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error) and (str(copy), copy.message, copy.hint, copy.exit_code) == (
        str(error), error.message, error.hint, error.exit_code,
    )  # fmt: skip
