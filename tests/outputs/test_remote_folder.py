"""Results in a bucket: what is not the run's own stays there, whatever becomes of the copies on this disk."""

import pytest

from ldmcli.outputs import remote_folder
from ldmcli.outputs.remote_folder import RemoteFolder
from ldmcli.runtime import remote, remote_cache

THEIRS = {".git/config": b"a", ".hidden": b"b", "cache/latents.npy": b"c", "deep/.x/y": b"d"}


@pytest.fixture
def url(bucket, tmp_path):
    """A place in the bucket with files of others and a picture."""
    for name, body in {**THEIRS, "0.png": b"old", "deep/1.png": b"older"}.items():
        path = tmp_path / "there" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
    return bucket.put(tmp_path / "there")


@pytest.mark.parametrize("whole", [False, True])
def test_what_is_not_ours_stays_there(bucket, url, whole):
    before, folder = bucket.holds(url), RemoteFolder(url)
    folder.get(whole=whole)
    (folder.local / "2.png").write_bytes(b"new")
    folder.put()
    folder.put()
    assert bucket.holds(url) == {**before, "2.png": b"new"}


@pytest.mark.parametrize("whole", [False, True])
def test_copies_that_a_cleaner_removed_cost_nothing_there(bucket, url, whole):
    first = RemoteFolder(url)
    first.get(whole=True)
    before = bucket.holds(url)
    for name in ("0.png", "deep/1.png"):
        (first.local / name).unlink()
    again = RemoteFolder(url)
    again.get(whole=whole)
    assert (again.local / "0.png").read_bytes() == (b"old" if whole else b"")
    again.put()
    assert bucket.holds(url) == before


def test_a_placeholder_that_is_gone_deletes_no_picture(bucket, url):
    folder = RemoteFolder(url)
    folder.get(whole=False)
    before = bucket.holds(url)
    (folder.local / "0.png").unlink()
    folder.put()
    assert bucket.holds(url) == before


def test_what_the_run_had_and_removed_is_deleted_there(bucket, url):
    folder = RemoteFolder(url)
    folder.get(whole=True)
    (folder.local / "step-1").mkdir()
    (folder.local / "step-1/w").write_bytes(b"w")
    folder.put()
    (folder.local / "step-1/w").unlink()
    (folder.local / "0.png").unlink()
    folder.put()
    assert bucket.holds(url) == {**THEIRS, "deep/1.png": b"older"}


def test_a_late_process_of_a_team_leaves_what_the_first_one_has_made(bucket, url):
    first, late = RemoteFolder(url), RemoteFolder(url)
    first.get(whole=False)
    (first.local / "2.png").write_bytes(b"new")
    remote.store(first.local / "2.png", f"{url}/2.png")  # and not noted yet
    late.get(whole=False)
    assert (first.local / "2.png").read_bytes() == b"new" and "2.png" not in late.sent


def test_a_wait_for_one_that_writes_nothing_has_an_end(bucket, url, monkeypatch):
    monkeypatch.setattr(remote_cache, "WAIT_S", 0.2)
    folder = RemoteFolder(url)
    folder.local.mkdir(parents=True)
    with remote_folder.open_lock(folder.local.with_name(f"{folder.local.name}.lock")) as held:
        remote_cache.until_got(held, remote_folder.fcntl.LOCK_EX, url, folder.local)
        with pytest.raises(remote_cache.NotFound, match="another process has been getting it"):
            folder.get(whole=False)
