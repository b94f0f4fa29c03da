"""The door to files of other machines: the same bytes through broken connections, an end to every wait, a cache with a size."""

import fcntl
import threading
import time

import pytest
from servers import Proxy

from ldmcli.errors import LdmError, NotFound
from ldmcli.runtime import remote, remote_cache
from ldmcli.runtime.remote_cache import local_copy, local_file, local_folder, opened
from ldmcli.runtime.remote_versions import _known, files_below, note_of, version_of
from ldmcli.runtime.urls import public, url_of

BODY = bytes(range(256)) * 400
"""102,400 bytes."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Pieces of 10,000 bytes, and a second in all."""
    monkeypatch.setattr(remote, "PIECE", 10_000)
    monkeypatch.setattr(remote, "PATIENCE_S", 1.0)
    monkeypatch.setattr(remote, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(remote, "LONGEST_PAUSE_S", 0.1)


@pytest.mark.parametrize(("text", "url"), [
    ("s3://b/k", "s3://b/k"), ("s3:/b/k", "s3://b/k"), ("hf://datasets/a/b", "hf://datasets/a/b"), ("https:/h/a?x=1", "https://h/a?x=1"),
    ("gs://b/{00..12}.tar", "gs://b/{00..12}.tar"), ("data/s3", None), ("C:/x", None), ("s3", None), ("./s3://b", None), ("a:0.5", None),
])  # fmt: skip
def test_what_is_a_url(text, url):
    assert url_of(text) == url


@pytest.mark.parametrize("pieces", [True, False])
def test_broken_connections_cost_a_piece(web, monkeypatch, pieces):
    (web.folder / "a.bin").write_bytes(BODY)
    proxy = Proxy(web.server_address[1])
    web.pieces = pieces
    proxy.drop_every, proxy.drop_after = (1, 15_000) if pieces else (2, 5000)
    assert local_file(f"http://127.0.0.1:{proxy.port}/a.bin").read_bytes() == BODY
    assert proxy.dropped >= 1
    got = [piece for method, _, piece in web.asked if method == "GET"]
    assert len(got) <= 22 if pieces else len(got) <= 4


def test_s3_through_broken_connections(bucket, tmp_path):
    (tmp_path / "up").mkdir()
    (tmp_path / "up/a b é.bin").write_bytes(BODY)
    url = bucket.put(tmp_path / "up")
    bucket.proxy.drop_every, bucket.proxy.drop_after = 1, 16_000
    with opened(f"{url}/a b é.bin".replace("//", "/")) as file:
        assert file.read() == BODY
    assert [file.url for file in files_below(url)] == [f"{url}/a b é.bin"]


@pytest.mark.parametrize(("name", "error", "said"), [
    ("nothing.bin", NotFound, "no such file"), ("forbidden.bin", LdmError, "access is refused")
])  # fmt: skip
def test_what_will_not_change_is_said_at_once(web, name, error, said):
    started = time.monotonic()
    with pytest.raises(error, match=said) as refused:
        local_file(f"{web.url}/{name}")
    assert time.monotonic() - started < 1.5 and "\n" not in refused.value.message


def test_a_server_that_is_gone_and_one_that_comes_back(bucket, tmp_path):
    (tmp_path / "a.bin").write_bytes(BODY)
    url = f"{bucket.empty()}/a.bin"
    bucket.proxy.down()
    back = threading.Timer(0.3, bucket.proxy.up)
    back.start()
    remote.store(tmp_path / "a.bin", url)
    back.join()
    assert local_file(url).read_bytes() == BODY
    bucket.proxy.down()
    try:
        with pytest.raises(NotFound, match="tried for 1 second") as given_up:
            version_of(f"{url}x")
        assert "\n" not in given_up.value.message
    finally:
        bucket.proxy.up()


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


def test_folders_are_copied_with_their_names_and_stay_inside(web, bucket, tmp_path):
    (web.folder / "deep/er").mkdir(parents=True)
    (web.folder / "deep/er/a.txt").write_bytes(b"a")
    (web.folder / "deep/b.txt").write_bytes(b"b")
    for url in (bucket.put(web.folder), web.url):
        copy = local_folder(f"{url}/deep", files_below(f"{url}/deep"))
        assert {str(path.relative_to(copy)): path.read_bytes() for path in copy.rglob("*.txt")} == {"er/a.txt": b"a", "b.txt": b"b"}
    with pytest.raises(NotFound, match="no such folder"):
        files_below(bucket.empty())


@pytest.mark.parametrize("name", ["../../x", "/abs/path", "a/../../x", "a//b"])
def test_a_name_in_a_bucket_that_leads_out_of_the_folder_is_refused(bucket, name):
    url = bucket.empty()
    bucket.client.put_object(Bucket="tests", Key=f"{url[11:]}/{name}", Body=b"x")
    with pytest.raises(LdmError, match="leads out of the folder"):
        files_below(url)


def test_marks_of_folders_are_no_files(bucket):
    url = bucket.empty()
    for name, body in (("", b""), ("a/", b""), ("a/b.txt", b"b")):
        bucket.client.put_object(Bucket="tests", Key=f"{url[11:]}/{name}", Body=body)
    assert [file.url for file in files_below(url)] == [f"{url}/a/b.txt"]


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


def test_a_file_of_unknown_size_is_refused(tmp_path):
    with pytest.raises(LdmError, match="does not say how large it is"):
        remote.fetch(remote.RemoteFile("http://x/a", None, ""), tmp_path / "a")


@pytest.mark.parametrize(("url", "said"), [
    ("https://me:word@h/a?sig=1", "https://h/a"), ("s3://b/a@b/c", "s3://b/a@b/c"), ("https://h/a#x", "https://h/a"), ("a?b", "a?b"),
    ("https://h:80/a", "https://h:80/a"),
])  # fmt: skip
def test_no_secret_is_printed(url, said):
    assert public(url) == said


def test_no_message_holds_a_secret(web, monkeypatch):
    monkeypatch.setattr(remote, "PATIENCE_S", 0.3)
    for place in (web.url, "http://127.0.0.1:9"):
        with pytest.raises(LdmError) as refused:
            local_file(place.replace("://", "://me:word@") + "/forbidden?sig=hush")
        assert "word" not in refused.value.message and "hush" not in refused.value.message
    told = remote._reason("x", ValueError("400, url='https://me:word@h/a?sig=hush'"))
    assert "word" not in told and "hush" not in told


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
