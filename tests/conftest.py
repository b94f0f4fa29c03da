"""Fixtures of every folder here. The helpers behind them are modules beside this one."""

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # huggingface_hub reads it once, when it is imported
# A worker of the suite has one core of the machine, and forks, which a pool of threads does not survive. A test of threads sets its own.
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # what nohup sets would be passed on to every process that tests start
# Whatever the machine says: or every worker would compile the tests, and every process that they start the package, again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
gc.set_threshold(50_000)  # as in ldmcli/__main__.py: imports make what stays, and looking for garbage among it takes seconds


def handed_over(file: int) -> None:
    """fsync without the wait: what a disk holds after a power cut no test can see, and a kill takes nothing of it. Fails as fsync does."""
    os.fstat(file)


os.fsync = handed_over


def pytest_collection_finish() -> None:
    """What has been imported by now is not looked at again, in every test that collects garbage."""
    gc.collect()
    gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """--slow, which scripts/test passes on."""
    parser.addoption("--slow", action="store_true", help="also the tests that take a minute or more")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Files that take long come first, so that no worker is left alone with one at the end. Slow tests have to be asked for."""
    early = {item.path for item in items if item.get_closest_marker("early")}
    items.sort(key=lambda item: item.path not in early)
    if not (config.getoption("--slow") or os.environ.get("LDM_SLOW_TESTS")):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes a minute or more: --slow or LDM_SLOW_TESTS=1"))


@pytest.fixture(scope="session")
def published(tmp_path_factory) -> Path:
    """A tiny pipeline folder as diffusers saves it."""
    from published import write_pipeline  # diffusers takes seconds to import; most tests do without

    return write_pipeline(tmp_path_factory.mktemp("published"))


@pytest.fixture
def own_copy(published, tmp_path) -> Path:
    """The same folder, to be changed at will."""
    return Path(shutil.copytree(published, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def stable_diffusion(tmp_path_factory) -> Callable[[int], Path]:
    """The folder of Stable Diffusion 1.x (epsilon) or 2.x (v) in small, in all three forms; each is built when it is first asked for."""

    @cache
    def folder(family: int) -> Path:
        from families import build_family

        return build_family(tmp_path_factory.mktemp(f"sd{family}"), family)

    return folder


@pytest.fixture(scope="session")
def clip(tmp_path_factory) -> Path:
    """A CLIPModel folder with tiny random weights."""
    from tiny_clip import write_clip

    return write_clip(tmp_path_factory.mktemp("clip") / "tiny-clip")


@pytest.fixture
def online(monkeypatch, tmp_path):
    """A machine with a network and an empty cache. Returns a function that makes it another one: the name of its cache."""
    from ldmcli.runtime import remote, remote_cache, remote_versions

    def machine(name: str) -> Path:
        monkeypatch.setenv("LDM_REMOTE_CACHE", str(tmp_path / name))
        remote_versions._known.clear()
        for lock in remote_cache._held.values():
            lock.close()
        remote_cache._held.clear()
        remote._connected.cache_clear()
        return tmp_path / name

    monkeypatch.delenv("HF_HUB_OFFLINE")
    machine("first-machine")
    yield machine
    machine("last-machine")  # locks of this test's files are given back


@pytest.fixture(scope="session")
def s3_server():
    """An S3 server of this process, with a bucket; see servers.py."""
    for package in ("s3fs", "moto", "flask", "flask_cors"):
        pytest.importorskip(package, reason=f"pip install {package}")
    from servers import Bucket

    bucket = Bucket()
    _ = bucket.client
    yield bucket
    bucket.server.stop()


@pytest.fixture
def bucket(s3_server, online, monkeypatch):
    """The bucket for one test. Its server breaks nothing off, unless the test says so."""
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    yield s3_server
    s3_server.proxy.drop_every, s3_server.proxy.falls_after = 0, None


@pytest.fixture
def web(online, tmp_path):
    """A server of files and its folder; `url` is where they are."""
    pytest.importorskip("aiohttp", reason="pip install aiohttp")
    from servers import Server, serving

    folder = tmp_path / "web"
    folder.mkdir()
    server = Server(folder)
    server.folder, server.url = folder, f"http://127.0.0.1:{server.server_address[1]}"  # type: ignore[attr-defined]
    with serving(server):
        yield server
