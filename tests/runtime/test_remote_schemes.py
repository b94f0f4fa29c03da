"""gs:// without its package, hf:// without a network, and hf:// against a stand-in for the hub's answers."""

import http.server
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from huggingface_hub import constants
from servers import BODY, serving

from ldmcli.cli import main
from ldmcli.errors import NotFound
from ldmcli.runtime import remote
from ldmcli.runtime.remote_cache import local_file
from ldmcli.runtime.remote_versions import files_below

READING = {
    "prompts": ["generate", "-f", "{}/prompts.txt"],
    "model": ["generate", "a dog", "-m", "{}/model"],
    "pictures": ["train-vae", "--data", "{}/pictures"],
}
"""Commands that read from a place."""


def refused(argv, place, capsys):
    """(exit code, the lines that are said) of a command."""
    code = main([word.format(place) for word in argv])
    out, err = capsys.readouterr()
    assert out == "" and "Traceback" not in err
    return code, err.splitlines()


@pytest.fixture
def impatient(online, monkeypatch):
    """A second in all. The hub's client has read that the suite uses no network."""
    monkeypatch.setattr(remote, "PATIENCE_S", 1.0)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("argv", [*READING.values(), ["generate", "a dog", "-o", "{}/out/"]], ids=[*READING, "results"])
def test_gs_without_its_package_names_it(argv, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "gcsfs", None)  # as where it is not installed
    code, lines = refused(argv, "gs://bucket", capsys)
    assert code == 2
    assert lines[0].startswith("error: gs://bucket") and lines[0].endswith(" needs the package gcsfs.")
    assert lines[1:] == ["Get it with: pip install gcsfs"]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("place", ["hf://datasets/anna/cats", "gs://bucket"])
@pytest.mark.parametrize("argv", READING.values(), ids=READING)
def test_offline_is_said_in_one_line(argv, place, monkeypatch, capsys):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, lines = refused([*argv, *(["--offline"] if "generate" in argv else [])], place, capsys)
    assert code == 6 and len(lines) == 2, lines
    assert lines[0].startswith(f"error: {place}/") and lines[0].endswith(" is not in the cache, and the network is not to be used.")


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("argv", READING.values(), ids=READING)
def test_hf_without_a_network_is_said_in_one_line(argv, monkeypatch, capsys):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # where nobody listens
    code, lines = refused(argv, "hf://datasets/anna/cats", capsys)
    assert code == 6 and lines[1] == "Is the network there? What is done is kept.", lines
    assert lines[0].startswith("error: hf://datasets/anna/cats") and "tried for 1 seconds" in lines[0]


class Answers(http.server.BaseHTTPRequestHandler):
    """What the hub answers for the data set anna/cats: which revision, which files, and their bytes, in pieces too."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        """Nothing: stderr is the tests'."""

    def send(self, status, body, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def facts(self, path):
        """Of a file, as the hub's lists have them."""
        name = path.relative_to(self.server.folder).as_posix()
        return {"type": "file", "path": name, "size": path.stat().st_size, "oid": f"{path.stat().st_mtime_ns:040x}"}

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        asked = json.loads(body)["paths"] if body.startswith("{") else parse_qs(body)["paths"]
        paths = [self.server.folder / name for name in ([asked] if isinstance(asked, str) else asked)]
        self.send(200, json.dumps([self.facts(path) for path in paths if path.is_file()]).encode(), Content_Type="application/json")

    def do_GET(self):
        place = unquote(urlsplit(self.path).path)
        self.server.asked.append((self.command, place, self.headers.get("Range")))
        api, files = "/api/datasets/anna/cats", "/datasets/anna/cats/resolve/main/"
        if place in (api, f"{api}/revision/main"):
            return self.send(200, json.dumps({"id": "anna/cats", "sha": "1" * 40}).encode(), Content_Type="application/json")
        if place.startswith(f"{api}/tree/main"):
            folder = self.server.folder / place.removeprefix(f"{api}/tree/main").strip("/")
            found = [self.facts(path) for path in sorted(folder.rglob("*")) if path.is_file()]
            if found:
                return self.send(200, json.dumps(found).encode(), Content_Type="application/json")
        path = self.server.folder / place.removeprefix(files)
        if not (place.startswith(files) and path.is_file()):
            return self.send(404, b"{}", X_Error_Code="EntryNotFound")
        body, span = path.read_bytes(), self.headers.get("Range")
        first, last = map(int, span.removeprefix("bytes=").split("-")) if span else (0, len(body) - 1)
        last = min(last, len(body) - 1)
        self.send(206 if span else 200, body[first : last + 1], ETag='"1"', Content_Range=f"bytes {first}-{last}/{len(body)}")

    do_HEAD = do_GET


@pytest.fixture
def hub(impatient, monkeypatch, tmp_path):
    """Its folder holds the files of anna/cats; `asked` is every request for one."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads, server.folder, server.asked = True, tmp_path / "hub", []
    (server.folder / "pictures").mkdir(parents=True)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(constants, "ENDPOINT", address)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}")
    with serving(server):
        yield server


def test_files_of_the_hub_are_got_in_pieces_and_listed(hub, monkeypatch):
    monkeypatch.setattr(remote, "PIECE", 30_000)
    for name in ("a.bin", "pictures/b é.bin", "pictures/c.bin"):
        Path(hub.folder, name).write_bytes(BODY)
    assert local_file("hf://datasets/anna/cats/a.bin").read_bytes() == BODY
    assert sum(span is not None for _, _, span in hub.asked) == 4
    listed = files_below("hf://datasets/anna/cats/pictures")
    assert [(file.url, file.size) for file in listed] == [
        ("hf://datasets/anna/cats/pictures/b é.bin", len(BODY)), ("hf://datasets/anna/cats/pictures/c.bin", len(BODY)),
    ]  # fmt: skip
    assert local_file(listed[0].url).read_bytes() == BODY
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert local_file(listed[0].url).read_bytes() == BODY


def test_a_file_that_the_hub_has_not_is_said_at_once(hub):
    with pytest.raises(NotFound, match="no such file"):
        local_file("hf://datasets/anna/cats/nothing.bin")
