"""Copies of files of other machines: a cache with a size, whole or not there, made once, made again when damaged."""

import fcntl
import threading
import time

import pytest
from servers import BODY, Proxy

from ldmcli.errors import LdmError, NotFound
from ldmcli.runtime import remote, remote_cache
from ldmcli.runtime.remote_cache import local_copy, local_file, opened
from ldmcli.runtime.remote_versions import _known, note_of, version_of

pytestmark = pytest.mark.usefixtures("impatient")


def test_the_cache_keeps_to_its_size_and_forgets_what_was_used_longest_ago(web, online, monkeypatch):
    monkeypatch.setenv("LDM_REMOTE_CACHE_GB", str(3.5 * len(BODY) / 1e9))
    for name in "abcdef":
        (web.folder / name).write_bytes(BODY)
    kept = local_file(f"{web.url}/a")
    handle = opened(f"{web.url}/b")
    for name in "cdcef":
        opened(f"{web.url}/{name}").close()
        time.sleep(0.01)
    there = [path.name for path in kept.parents[1].rglob("*") if path.is_file()]
    assert sorted(there) == ["a", "e", "f"] and handle.read() == BODY  # what is held stays, what is open can be read
    assert len([1 for method, path, _ in web.asked if (method, path) == ("GET", "/c")]) == 11  # once, in pieces
    (web.folder / "large").write_bytes(BODY * 4)
    with pytest.raises(LdmError, match="more than the cache"):
        opened(f"{web.url}/large")


def test_half_a_file_is_never_there(web, online, monkeypatch):
    (web.folder / "a").write_bytes(BODY)
    proxy = Proxy(web.server_address[1])
    proxy.drop_every, proxy.drop_after = 0, 0
    url = f"http://127.0.0.1:{proxy.port}/a"
    version_of(url)
    whole = remote.fetch

    def cut(file, target):
        target.write_bytes(BODY[:100])
        raise KeyboardInterrupt

    monkeypatch.setattr(remote, "fetch", cut)
    with pytest.raises(KeyboardInterrupt):
        local_file(url)
    entries = remote_cache.cache_folder() / "entries"
    assert list(entries.iterdir()) == []
    monkeypatch.setattr(remote, "fetch", whole)
    assert local_file(url).read_bytes() == BODY


def test_two_that_want_the_same_file_get_it_once(web):
    (web.folder / "a").write_bytes(BODY)
    got: list[bytes] = []

    def get(hold):
        url = f"{web.url}/a"
        got.append(local_file(url).read_bytes() if hold else opened(url).read())

    threads = [threading.Thread(target=get, args=(number % 2,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()
    assert got == [BODY] * 6
    assert len([1 for method, _, _ in web.asked if method == "GET"]) == 11


def test_who_waits_to_make_a_copy_takes_the_one_that_another_made_and_holds(web):
    (web.folder / "a").write_bytes(BODY)
    files, names = [version_of(f"{web.url}/a")], ["a"]
    key = remote_cache.digest(*((file.url, file.size, file.tag) for file in files))
    with remote_cache._lock(key) as held:
        fcntl.flock(held, fcntl.LOCK_SH)  # as a process does that reads a model, to its end
        waiting = threading.Thread(target=local_file, args=(files[0].url,), daemon=True)
        waiting.start()
        time.sleep(0.3)
        remote_cache._make(remote_cache.cache_folder() / "entries" / key, files, names)
        waiting.join(20)
        assert not waiting.is_alive()


def test_a_changed_file_is_another_one_and_offline_stays_offline(web, online, monkeypatch):
    (web.folder / "a").write_bytes(b"one")
    url = f"{web.url}/a"
    assert local_file(url).read_bytes() == b"one"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = len(web.asked)
    _known.clear()
    (web.folder / "a").write_bytes(b"two")
    assert local_file(url).read_bytes() == b"one" and local_copy(url).read_bytes() == b"one"
    with pytest.raises(NotFound, match="the network is not to be used"):
        local_copy(f"{web.url}/b")
    assert len(web.asked) == asked
    monkeypatch.delenv("HF_HUB_OFFLINE")
    _known.clear()
    assert local_file(url).read_bytes() == b"two"


def test_a_file_that_changes_while_it_is_read_is_refused(web, monkeypatch):
    (web.folder / "a").write_bytes(BODY)
    version_of(f"{web.url}/a")
    (web.folder / "a").write_bytes(BODY[::-1])
    with pytest.raises(LdmError, match="was changed while it was read"):
        local_file(f"{web.url}/a")


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(BODY[:77]), lambda path: path.write_bytes(b"")])
def test_a_damaged_copy_is_made_again(web, online, harm):
    for name in ("a", "b"):
        (web.folder / name).write_bytes(BODY)
        opened(f"{web.url}/{name}").close()
        (copy,) = (remote_cache.cache_folder() / "entries").rglob(name)
        harm(copy)
        assert (opened(f"{web.url}/a") if name == "a" else local_file(f"{web.url}/b").open("rb")).read() == BODY


def test_a_copy_that_never_stays_ends_in_a_sentence(web, online, monkeypatch):
    (web.folder / "a").write_bytes(BODY)
    monkeypatch.setattr(remote_cache, "_copied", lambda files, names, hold: web.folder / "nowhere")
    with pytest.raises(LdmError, match="deleted again and again"):
        opened(f"{web.url}/a")


@pytest.mark.parametrize(
    "body", [b"", b"[", b"[1]", b'[["a"]]', b'[["/x", "1", "t"]]', b'[[7, 1, "t"]]', b'[["https://h/a", 3, "t"]]', b"7"]
)
def test_a_damaged_note_is_none(web, online, monkeypatch, body):
    (web.folder / "a").write_bytes(b"one")
    url = f"{web.url}/a"
    for _ in range(2):  # online it is asked again
        assert local_file(url).read_bytes() == b"one"
        note = note_of("file", url)
        assert web.url not in note.read_text() and remote_cache.cache_folder().stat().st_mode & 0o77 == 0
        note.write_bytes(body)
        _known.clear()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(NotFound, match="the network is not to be used"):
        version_of(url)
