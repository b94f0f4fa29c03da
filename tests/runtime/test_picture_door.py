"""The one door for pictures."""

import ast
import io
import os
import struct
from pathlib import Path

import pytest
from PIL import Image

import ldmcli
from ldmcli.data.pictures import read_picture
from ldmcli.runtime import pictures
from ldmcli.runtime.pictures import BadPicture, formats, open_picture

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n0 0 moveto 10 10 lineto stroke\nshowpage\n%%EOF\n"


@pytest.mark.parametrize("name", ["dog.jpg", "dog.png", "dog.eps"])
def test_no_other_program_is_started_whatever_a_file_calls_itself(tmp_path, monkeypatch, name):
    (tmp_path / name).write_bytes(POSTSCRIPT)
    with Image.open(tmp_path / name) as picture:
        assert picture.format == "EPS"  # Pillow alone would hand it to Ghostscript when it is decoded
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.parent.mkdir()
    ghostscript.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(ghostscript.parent), prepend=os.pathsep)
    with pytest.raises(BadPicture, match="cannot identify"):
        read_picture(tmp_path / name)
    assert not (tmp_path / "started").exists()


def test_what_is_no_regular_file_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path in (tmp_path / "pipe.png", tmp_path, Path("/dev/zero")):
        with pytest.raises(BadPicture, match="not a regular file"):
            open_picture(path)
    with pytest.raises(FileNotFoundError):
        open_picture(tmp_path / "nothing.png")


def test_bytes_and_pixels_are_limited_before_anything_is_decoded(tmp_path, monkeypatch):
    Image.new("RGB", (30, 20)).save(tmp_path / "small.png")
    with open_picture(tmp_path / "small.png", max_pixels=600) as picture:
        assert picture.size == (30, 20)
    for source in (tmp_path / "small.png", io.BytesIO((tmp_path / "small.png").read_bytes())):
        with pytest.raises(BadPicture, match="30x20 pixels, more than 599"):
            open_picture(source, max_pixels=599)
    monkeypatch.setattr(pictures, "MAX_BYTES", 50)
    with pytest.raises(BadPicture, match="bytes, more than 50"):
        open_picture(tmp_path / "small.png")
    open_picture(tmp_path / "small.png", max_pixels=pictures.OUR_PIXELS).close()


def test_a_chunk_of_notes_that_is_too_long_is_refused_before_it_is_read(tmp_path):
    head = (tmp_path / "x.png", 2**27)
    Image.new("RGB", (8, 8)).save(head[0])
    whole = head[0].read_bytes()
    for at in (33, len(whole) - 12):  # before the pixels and behind them
        head[0].write_bytes(whole[:at] + struct.pack(">I", head[1]) + b"tEXt")
        os.truncate(head[0], head[1] + 100)
        with pytest.raises(BadPicture, match="a chunk b'tEXt' of 134217728 bytes"):
            open_picture(head[0])


def test_every_format_that_is_opened_is_decoded_by_pillow_itself():
    assert {"PNG", "JPEG", "WEBP", "GIF", "TIFF"} <= set(formats()) and not {"EPS", "WMF", "HDF5", "GRIB"} & set(formats())


def test_nothing_else_opens_pictures():
    root = Path(ldmcli.__file__).parent
    callers = {
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "open" and isinstance(node.value, ast.Name) and node.value.id == "Image"
    }
    assert callers == {"runtime/pictures.py"}
