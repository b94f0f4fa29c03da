"""Texts that wait on the disk."""

import tempfile

import pytest

from ldmcli.errors import LdmError
from ldmcli.runtime import long_lists
from ldmcli.runtime.long_lists import StoredTexts

TEXTS = ["a dog", "", "caf\xe9 \N{DOG FACE}", "a\0b\nc", "\ud800 alone", "x" * 300, "last"]


@pytest.mark.parametrize("held", [0, 7, 20, 10_000])
def test_texts_come_back_as_they_were_wherever_they_wait(monkeypatch, held):
    monkeypatch.setattr(long_lists, "HELD_BYTES", held)
    stored = StoredTexts()
    for number, text in enumerate(TEXTS):
        stored.append(text)
        assert list(stored) == TEXTS[: number + 1]
    assert (stored[-1], stored[1:4], len(stored)) == ("last", TEXTS[1:4], len(TEXTS))
    with pytest.raises(IndexError):
        stored[len(TEXTS)]


def test_a_full_disk_is_told(monkeypatch):
    monkeypatch.setattr(long_lists, "HELD_BYTES", 0)
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda buffering: open("/dev/full", "wb", buffering=buffering))
    with pytest.raises(LdmError, match="cannot write a temporary file in .*: No space left on device") as caught:
        StoredTexts().append("a dog")
    assert "TMPDIR" in caught.value.hint


def test_nothing_is_left_in_the_temporary_folder(monkeypatch, tmp_path):
    monkeypatch.setattr(long_lists, "HELD_BYTES", 0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    stored = StoredTexts()
    stored.append("a dog")
    assert stored[0] == "a dog" and list(tmp_path.iterdir()) == []
