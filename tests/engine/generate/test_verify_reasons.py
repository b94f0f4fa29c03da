"""`--verify` says why a picture differs, and a picture of an older schema is told from one of today."""

import json

import numpy as np
import pytest
import torch
from outputs import spoil
from PIL import Image

from ldmcli import __version__
from ldmcli.engine.generate import picture_record, replay
from ldmcli.outputs.picture_files import png_chunks


@pytest.fixture
def painted(generate, tmp_path):
    """Draw a picture, then change a pixel by as much as is asked and what it records; returns its path."""

    def run(by, **changes):
        path = tmp_path / "dog.png"
        code, _, err = generate("a dog", "-s", "5", "--steps", "2", "--batch-size", "1", "-o", path, "-q")
        assert code == 0, err
        spoil(path, **changes)
        with Image.open(path) as picture:
            pixels, texts = np.array(picture), picture.text
        pixels[3, 4, 1] ^= by
        Image.fromarray(pixels).save(path, pnginfo=png_chunks(texts))
        return path

    return run


THEN = {
    "ldm": "0.0.1", "torch": "1.0", "threads": 77, "machine": "mips", "instruction_set": "mmx", "device": "abacus",
    "vae_retried_in_fp32": True, "batch_size": 5,
}  # fmt: skip


def test_every_condition_that_changed_is_named_in_order(painted, generate):
    path = painted(64, **THEN)
    code, out, err = generate("--from-image", path, "--verify", "--json")
    body = json.loads(out)
    assert code == 1 and body["max_difference"] == 64
    assert [each["what"] for each in body["differs_in"]] == [
        "ldm", "torch", "threads", "processor", "instruction set", "device", "VAE decoded again in fp32", "pictures at a time",
    ]  # fmt: skip
    assert body["differs_in"][0] == {"what": "ldm", "then": "0.0.1", "now": __version__}
    assert [body["differs_in"][4]["now"]] == [torch.backends.cpu.get_cpu_capability().lower()]
    assert "Not as it was drawn: ldm (0.0.1 then" in err and "threads (77 then, 1 now)" in err


def test_a_difference_of_1_is_accepted_with_its_reasons(painted, generate):
    path = painted(1, threads=8)
    code, out, err = generate("--from-image", path, "--verify")
    assert (code, out) == (0, f"differs by up to 1 of 255: {path}\n") and "threads (8 then, 1 now)" in err
    assert generate("--from-image", path, "--verify", "-q") == (0, out, "")


def test_what_an_older_picture_does_not_record_is_said(painted, generate):
    path = painted(64, drop=("instruction_set",))
    code, out, err = generate("--from-image", path, "--verify")
    assert code == 1 and out == f"differs by up to 64 of 255: {path}\n"
    assert "Not as it was drawn: instruction set (not recorded then, " in err


@pytest.mark.parametrize("threads", [["x" * 500], {"a": 1}, "\x1b[31m"])
def test_a_stranger_s_conditions_are_only_words(painted, generate, threads):
    code, _, err = generate("--from-image", painted(64, threads=threads), "--verify")
    assert code == 1 and "threads (" in err and "\x1b" not in err and "xxx" not in err


def test_a_picture_of_an_older_schema_is_drawn_with_a_warning_that_says_what_changed(painted, generate, tmp_path, monkeypatch):
    path = painted(0)
    monkeypatch.setattr(picture_record, "PICTURE_SCHEMA", 2)
    monkeypatch.setattr(replay, "PICTURE_SCHEMA", 2)
    monkeypatch.setitem(replay.SCHEMA_CHANGES, 2, "the noise of ddim is another.")
    code, _, err = generate("--from-image", path, "-o", tmp_path / "again.png")
    assert code == 0 and "is of schema 1, and this version draws schema 2: the noise of ddim is another." in err
    assert generate("--from-image", path, "--verify", "-q")[0] == 0  # the same pixels all the same


@pytest.mark.parametrize("schema", [2, 0, True, 1.0, None, "1"])
def test_a_schema_of_later_or_none_at_all_is_refused(painted, generate, schema):
    code, _, err = generate("--from-image", painted(0, schema=schema), "--verify")
    assert code == 1 and "this version of ldm reads schema 1" in err
