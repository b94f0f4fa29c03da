"""The door to files of other machines: the same bytes through broken connections, an end to every wait, nothing outside the folder."""

import threading
import time

import pytest
from servers import BODY, Proxy

from ldmcli.errors import LdmError, NotFound
from ldmcli.runtime import remote
from ldmcli.runtime.remote_cache import local_file, local_folder, opened
from ldmcli.runtime.remote_versions import files_below, version_of
from ldmcli.runtime.urls import public, url_of

pytestmark = pytest.mark.usefixtures("impatient")


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
