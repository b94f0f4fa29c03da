"""What may be asked of the hub, and how long for."""

import json
import socket
import subprocess
import sys
import time
from contextlib import closing

import pytest

from ldmcli.models.hub import ANSWER_S, names_repository

TEXTS = {
    "openai/clip-vit-large-patch14": True,
    "stabilityai/stable-diffusion-2.1": True,
    "models/dog.safetensors": False,
    "models/dog.SAFETENSORS": False,
    "models/dog.ckpt": False,
    "here/dog": False,  # the folder is there: a path that was mistyped
    "./dog": False,
    "../models/dog": False,
    "/models/dog": False,
    "~/dog": False,
    "a/b/c": False,
    "dog": False,
    "dog/": False,
    "": False,
}


@pytest.mark.parametrize("text", TEXTS)
def test_only_owner_and_name_that_is_no_path_is_asked_for(text, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path)
    assert names_repository(text) is TEXTS[text]


COMMANDS = {
    "a model": ["generate", "a dog", "-m", "owner/name"],
    "a text encoder": ["train-unet", "--data", ".", "--text-encoder", "owner/name"],
    "a scorer": ["clipscore", "a.png", "--clip-model", "owner/name"],
}

PROGRAM = """
import json, sys
from ldmcli.models import hub
hub.ANSWER_S = 0.5
from ldmcli.cli import main
for command in json.loads(sys.argv[1]):
    print(main(command), file=sys.stderr)
"""


@pytest.mark.parametrize("listens", [True, False], ids=["silent", "refusing"])
def test_a_hub_that_cannot_be_reached_is_told_at_once_in_one_line(listens, tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        if not listens:
            server.close()
        environment = {
            "HF_ENDPOINT": address,
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": "0",
            "PATH": "",
            "PYTHONPATH": ":".join(sys.path),
        }
        began = time.monotonic()
        command = [sys.executable, "-c", PROGRAM, json.dumps(list(COMMANDS.values()))]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, timeout=60)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and done.stdout == "" and len(lines) == 3 * len(COMMANDS), done.stderr
    for what, error, code in zip(COMMANDS, lines[::3], lines[2::3], strict=True):  # the hint is between them
        assert code == "6" and error.startswith("error: ") and "owner/name" in error, what
    assert time.monotonic() - began < 20  # imports, on a machine with much else to do; before, each was told after 25 s of trying


def test_no_answer_is_waited_for_less_than_5_seconds():
    assert ANSWER_S < 4  # and a second of imports
