"""`main` is the only place where an error becomes a sentence and an exit code."""

import errno
import os

import pytest

from ldmcli import errors
from ldmcli.models import source


@pytest.fixture
def failing(ldm, monkeypatch):
    """Run a command that fails in this way."""

    def run(error, *argv):
        def find_model(text, **options):
            raise error

        monkeypatch.setattr(source, "find_model", find_model)
        return ldm("generate", "a dog", *argv)

    return run


FAMILIES = [
    (errors.LdmError, 1),
    (errors.UsageError, 2),
    (errors.PartlyFailed, 3),
    (errors.NonFinite, 4),
    (errors.OutOfMemory, 5),
    (errors.NotFound, 6),
]


@pytest.mark.parametrize(("family", "code"), FAMILIES)
def test_each_family_has_its_exit_code_and_two_lines(failing, family, code):
    assert failing(family("the disk is gone.", hint="Bring it back.")) == (code, "", "error: the disk is gone.\nBring it back.\n")
    assert failing(family("the disk is gone.")) == (code, "", "error: the disk is gone.\n")


def test_a_stopped_run_has_the_code_of_its_signal(failing):
    assert failing(errors.Stopped("stopped.", exit_code=143))[0] == 143


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore lines"),
        OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("std::bad_alloc"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes."),
    ],
)
def test_running_out_of_memory_is_exit_5_with_advice(failing, error):
    code, out, err = failing(error)
    lines = err.splitlines()
    assert code == 5 and out == "" and len(lines) == 2
    assert lines[0].startswith("error: out of memory") and "--batch-size" in lines[1]


def test_what_the_system_refuses_is_exit_1_in_a_sentence_with_the_file(failing):
    hint = "The system refused that; --debug shows where.\n"
    assert failing(OSError(errno.ENOSPC, "No space left on device", "/x/y")) == (1, "", f"error: /x/y: No space left on device.\n{hint}")
    assert failing(PermissionError(errno.EACCES, "Permission denied")) == (1, "", f"error: Permission denied.\n{hint}")
    with pytest.raises(OSError, match="ours"):
        failing(OSError("ours"))


def test_ctrl_c_is_exit_130(failing):
    assert failing(KeyboardInterrupt()) == (130, "", "error: interrupted.\n")


def test_a_bug_of_ours_keeps_its_traceback(failing):
    with pytest.raises(ZeroDivisionError):
        failing(ZeroDivisionError("ours"))


@pytest.mark.parametrize("how", ["flag", "variable"])
def test_a_traceback_is_shown_only_when_asked_for(failing, monkeypatch, how):
    monkeypatch.delenv("LDM_DEBUG", raising=False)
    assert "Traceback" not in failing(errors.NotFound("gone."))[2]
    if how == "variable":
        monkeypatch.setenv("LDM_DEBUG", "1")
    code, _, err = failing(errors.NotFound("gone."), *(["--debug"] if how == "flag" else []))
    assert code == 6 and "Traceback" in err and err.endswith("error: gone.\n")


def test_control_characters_in_a_message_do_not_reach_the_terminal(failing):
    _, _, err = failing(errors.NotFound("no file \x1b]0;owned\x07 \u202egnp.exe [/red]", hint="line\rback"))
    assert err == "error: no file ]0;owned gnp.exe [/red]\nlineback\n"


def test_the_error_of_a_parser_says_which_help_to_read(ldm):
    code, out, err = ldm("train-vae", "--batch-size", "many")
    assert code == 2 and out == ""
    assert err.startswith("error: Invalid value for '--batch-size'") and err.endswith("\nTry: ldm train-vae --help\n")
    assert ldm("nonsense")[2] == "error: No such command 'nonsense'.\nTry: ldm --help\n"
