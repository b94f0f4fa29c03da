"""XMP that says a model drew a picture, as other programs find it."""

import io
import json
import re
import shutil
import xml.etree.ElementTree as ElementTree

import pytest
from PIL import Image
from running import finished

from ldmcli.outputs.picture_files import encode_picture, picture_texts, read_texts, sheet_kind, sheet_texts
from ldmcli.outputs.provenance import RECONSTRUCTIONS
from ldmcli.reports.progressive import animation, save_progress

DRAWN = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
EDITED = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
FACTS = {
    "prompt": "a dog", "negative_prompt": "", "seed": 1, "cfg": 7.5, "cfg_interval": None, "weighting": "none", "long_prompts": False,
    "width": 4, "height": 4, "scheduler": {"name": "ddim", "steps": 2}, "unet_sha256": "0" * 64, "model": "m", "ldm": "0",
}  # fmt: skip
PAPER = Image.new("RGB", (16, 16), "white")


def picture(kind, **more):
    return encode_picture(PAPER, kind, picture_texts(FACTS | more, "DDIM", None))


def frames(folder):
    save_progress("frames", [(9.0, PAPER)], folder)
    return next(folder.iterdir()).read_bytes()


FILES = {
    "png": (lambda folder: picture("png"), DRAWN),
    "webp": (lambda folder: picture("webp"), DRAWN),
    "jpg": (lambda folder: picture("jpg"), DRAWN),
    "masked": (lambda folder: picture("png", mask={"name": "m.png", "sha256": "0"}), EDITED),
    "without a mask": (lambda folder: picture("png", mask=None), DRAWN),
    "grid": (lambda folder: encode_picture(PAPER, "png", sheet_texts("grid")), DRAWN),
    "reconstructions": (lambda folder: encode_picture(PAPER, "png", sheet_texts(RECONSTRUCTIONS)), EDITED),
    "gif": (lambda folder: animation([PAPER, Image.new("RGB", (16, 16))]), DRAWN),
    "frame": (frames, DRAWN),
}


def source_type(body):
    """By an XML parser, from what Pillow finds; of a GIF it looks for none."""
    with Image.open(io.BytesIO(body)) as opened:
        packet = re.search(rb"<x:.*</x:xmpmeta>", body, re.DOTALL)[0] if opened.format == "GIF" else opened.info["xmp"]
    (found,) = ElementTree.fromstring(packet).iter("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType")
    return found.text


@pytest.mark.parametrize("what", FILES)
def test_every_file_says_that_a_model_drew_it(what, tmp_path):
    make, said = FILES[what]
    assert source_type(make(tmp_path / "folder")) == said


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="no exiftool (apt-get install libimage-exiftool-perl)")
def test_exiftool_reads_it_and_finds_nothing_wrong(tmp_path):
    said = {}
    for name, (make, expected) in FILES.items():
        body = make(tmp_path / "folder")
        with Image.open(io.BytesIO(body)) as opened:
            path = tmp_path / f"{name}.{opened.format.lower()}"
        path.write_bytes(body)
        said[str(path)] = expected
    command = ["exiftool", "-json", "-n", "-validate", "-warning", "-XMP-iptcExt:DigitalSourceType", *said]
    found = json.loads(finished(command, seconds=60).stdout)
    assert {each["SourceFile"]: each["DigitalSourceType"] for each in found} == said
    assert not [each["Warning"] for each in found if re.search("xmp|chunk|gif", each.get("Warning", ""), re.IGNORECASE)]


@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_it_is_left_out_with_the_rest(kind):
    assert b"adobe" not in encode_picture(PAPER, kind, None) and b"DigitalSourceType" not in encode_picture(PAPER, kind, None)


def test_a_sheet_without_it_is_still_told_from_a_picture():
    body = encode_picture(PAPER, "png", sheet_texts("grid"), provenance=False)
    assert b"adobe" not in body
    with Image.open(io.BytesIO(body)) as opened:
        assert sheet_kind(read_texts(opened)) == "grid"


def test_a_gif_without_it_has_the_same_frames():
    with_it, without = (animation([PAPER, Image.new("RGB", (16, 16))], provenance=chosen) for chosen in (True, False))
    assert b"XMP DataXMP" in with_it and b"XMP DataXMP" not in without
    first, second = (Image.open(io.BytesIO(body)) for body in (with_it, without))
    assert first.n_frames == second.n_frames == 2 and first.info["comment"] == second.info["comment"]
    for number in range(2):
        first.seek(number), second.seek(number)
        assert first.convert("RGB").tobytes() == second.convert("RGB").tobytes()
