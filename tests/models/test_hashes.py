"""Checksums of large files are computed once, and again as soon as the file is another one."""

import hashlib
import os
import time

import pytest

from ldmcli.models import hashes
from ldmcli.models.hashes import file_hash


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A file that counts as large and has not changed lately."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(hashes, "LARGE", 4)
    monkeypatch.setattr(hashes, "SETTLED_S", 0.0)
    path = tmp_path / "weights"
    path.write_bytes(b"abcdef")
    return path


@pytest.fixture
def counted(monkeypatch):
    """A list that grows with every file that is read for its checksum."""
    read, original = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: read.append(file.name) or original(file, name))
    return read


def test_it_is_read_once(large, counted):
    wanted = hashlib.sha256(b"abcdef").hexdigest()
    assert [file_hash(large) for _ in range(3)] == [wanted] * 3 and len(counted) == 1


@pytest.mark.parametrize("how", ["written to", "another of the same time and size", "renamed over"])
def test_another_file_is_read_again(large, how):
    file_hash(large)
    state = large.stat()
    time.sleep(0.02)  # longer than the clock that a file system takes its times from needs
    if how == "renamed over":
        other = large.with_name("other")
        other.write_bytes(b"ghijkl")
        other.replace(large)
    else:
        large.write_bytes(b"ghijkl")
    if how != "written to":
        os.utime(large, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert file_hash(large) == hashlib.sha256(b"ghijkl").hexdigest()


def test_one_that_has_just_changed_is_not_relied_on(large, counted, monkeypatch):
    monkeypatch.setattr(hashes, "SETTLED_S", 60.0)
    file_hash(large)
    file_hash(large)
    assert len(counted) == 2


def test_one_that_changes_meanwhile_is_not_relied_on(large, monkeypatch):
    original = hashlib.file_digest

    def slowly(file, name):
        digest = original(file, name)
        time.sleep(0.02)
        large.write_bytes(b"ghijkl")
        return digest

    monkeypatch.setattr(hashlib, "file_digest", slowly)
    file_hash(large)
    monkeypatch.setattr(hashlib, "file_digest", original)
    assert file_hash(large) == hashlib.sha256(b"ghijkl").hexdigest()


@pytest.mark.parametrize("damage", [b"", b"0" * 63, b"\xff" * 64])
def test_a_damaged_entry_is_made_again(large, counted, damage, tmp_path):
    wanted = file_hash(large)
    (entry,) = (tmp_path / "cache" / "ldm" / "sha256").iterdir()
    entry.write_bytes(damage)
    assert file_hash(large) == wanted == entry.read_text() and len(counted) == 2


def test_where_nothing_can_be_kept_it_is_computed(large, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    assert file_hash(large) == hashlib.sha256(b"abcdef").hexdigest()


def test_a_user_without_a_home_has_checksums_too(large, monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert file_hash(large) == hashlib.sha256(b"abcdef").hexdigest()


def test_small_files_leave_nothing_behind(large, tmp_path, monkeypatch):
    monkeypatch.setattr(hashes, "LARGE", 7)
    file_hash(large)
    assert not (tmp_path / "cache").exists()
