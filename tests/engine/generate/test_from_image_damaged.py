"""A picture to draw again is a stranger's file: typed fields are read, anything else is refused in a sentence."""

import shutil
import struct

import pytest
from outputs import spoil
from PIL import Image

DAMAGED = {
    "not JSON": ({"text": '{"schema": 1'}, "not JSON"),
    "deep nesting": ({"text": "[" * 100_000}, "not JSON"),
    "a list": ({"text": "[1]"}, "not a JSON object"),
    "a newer schema": ({"schema": 2}, "schema 2"),
    "no seed": ({"drop": ["seed"]}, "there is no `seed`"),
    "a seed of -1": ({"seed": -1}, "--seed"),
    "a huge seed": ({"seed": 2**64}, "--seed"),
    "text for a number": ({"cfg": "3"}, "cfg = '3'"),
    "true for a number": ({"width": True}, "width = True"),
    "a number beyond a float": ({"cfg": 10**400}, "too large"),
    "a width of 63": ({"width": 63}, "--width"),
    "an upscale of 1000": ({"upscale": 1000}, "--upscale"),
    "a precision of ours that is none": ({"dtype": "fp8"}, "fp8"),
    "automatic precision": ({"dtype": "auto"}, "auto"),
    "code for a prompt": ({"prompt": ["__import__('os').system('touch sentinel')"]}, "prompt = "),
    "a scheduler by name": ({"scheduler": None, "drop": ["scheduler"]}, "no `scheduler`"),
    "an unknown scheduler": ({"scheduler": {"name": "os.system"}}, "No scheduler is called"),
    "an unknown spacing": ({"scheduler": {"spacing": "wide"}}, "--spacing"),
    "a start by path": ({"init_image": "/etc/passwd"}, "init_image = '/etc/passwd'"),
    "a start without content": ({"init_image": {"name": "dog.png"}}, "no `sha256`"),
    "a strength of 3": ({"strength": 3}, "--strength"),
    "a variation in words": ({"variation": "a little"}, "--variation"),
    "a frame beyond its end": ({"seed_to": 5, "share": 1.5}, "--share"),
    "another prompt that is none": ({"prompt_to": ["a cat"]}, "prompt_to = "),
    "no steps": ({"scheduler": {"steps": 0}}, "got 0"),
}


@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_record_is_refused_in_a_sentence(drawn_once, generate, tmp_path, what):
    change, words = DAMAGED[what]
    path = shutil.copy(drawn_once, tmp_path / "damaged.png")
    spoil(path, **change)
    code, out, err = generate("--from-image", path, "-o", tmp_path / "again.png")
    assert code == 1 and out == "" and err.startswith(f"error: --from-image {path}: its record is damaged: ") and words in err
    assert "Traceback" not in err and [found.name for found in tmp_path.iterdir()] == ["damaged.png"]


@pytest.fixture(scope="session")
def drawn_once(model, tmp_path_factory):
    """A picture to be copied and spoiled."""
    from ldmcli.cli import main

    path = tmp_path_factory.mktemp("drawn") / "first.png"
    assert main(["generate", "a dog", "-m", str(model), "-s", "5", "--steps", "1", "-o", str(path), "-q"]) == 0
    return path


def bomb(path):
    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + head + b"\0\0\0\0")


def test_a_picture_that_is_not_as_large_as_its_record_says_is_not_verified(drawn_once, generate, tmp_path):
    """Drawing millions of pixels to compare them with a few would only cost time; without --verify it is drawn again."""
    path = shutil.copy(drawn_once, tmp_path / "other.png")
    spoil(path, width=4096, height=4096)
    code, out, err = generate("--from-image", path, "--verify")
    assert code == 1 and out == "" and "says 4096 x 4096 pixels, and the file has 64 x 64" in err
    spoil(path, width=32, height=64)
    assert generate("--from-image", path, "-q", "-o", tmp_path / "again.png")[0] == 0


UNREADABLE = {
    "text": lambda path: path.write_text("not a picture"),
    "nothing": lambda path: path.write_bytes(b""),
    "a folder": lambda path: path.mkdir(),
    "a bomb": bomb,
    "a JPEG": lambda path: Image.new("RGB", (8, 8)).save(path, format="JPEG"),
    "a PNG of another tool": lambda path: Image.new("RGB", (8, 8)).save(path),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_is_no_picture_of_ours_is_refused_in_a_sentence(generate, tmp_path, what):
    path = tmp_path / "x.png"
    UNREADABLE[what](path)
    code, out, err = generate("--from-image", path)
    assert code == 1 and out == "" and err.startswith(f"error: --from-image {path}") and "Traceback" not in err


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.1])
def test_a_picture_that_was_cut_off_is_refused(drawn_once, generate, tmp_path, kept):
    whole = drawn_once.read_bytes()
    (tmp_path / "x.png").write_bytes(whole[: int(kept * len(whole))])
    code, out, err = generate("--from-image", tmp_path / "x.png", "-o", tmp_path / "again.png")
    assert code == 1 and out == "" and err.startswith("error: --from-image") and "Traceback" not in err


def test_without_metadata_there_is_nothing_to_draw_from(generate, tmp_path):
    generate("a dog", "-s", "5", "--steps", "1", "--no-metadata", "-o", tmp_path / "bare.png")
    code, _, err = generate("--from-image", tmp_path / "bare.png")
    assert code == 1 and "has no `ldm` record" in err and "--no-metadata" in err
