"""Shards whose headers lie: what is declared is looked at before anything of that size is read."""

import io
import os
import tarfile
import time
import tracemalloc

import pytest
from made_folders import P

from ldmcli.data.captioned import CaptionedImage
from ldmcli.data.layouts import load_captioned
from ldmcli.data.pictures import read_squares
from ldmcli.errors import LdmError
from ldmcli.runtime.pictures import BadPicture

GIB = 2**30


def member(name, size, kind=tarfile.REGTYPE, **more):
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    for key, value in more.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT)


def padded(body):
    return body + b"\0" * (-len(body) % 512)


WHOLE = member("x.png", len(P)) + padded(P) + member("x.txt", 5) + padded(b"a cat")
END = b"\0" * 1024


@pytest.fixture
def shard(tmp_path):
    """A sparse file of six GiB that begins with these bytes."""

    def write(*parts):
        path = tmp_path / "000.tar"
        path.write_bytes(b"".join(parts))
        os.truncate(path, 6 * GIB)
        return path

    return write


@pytest.fixture(autouse=True)
def bounded():
    """In a second and a few megabytes."""
    tracemalloc.start()
    began = time.perf_counter()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6 and time.perf_counter() - began < 2


def test_a_picture_of_five_gibibytes_is_left_out(shard):
    found = load_captioned(shard(WHOLE, member("y.png", 5 * GIB)))
    assert [image.id for image in found.images] == ["000/x"]
    assert any("picture of more than" in text for text in found.problems)


def test_a_picture_of_five_gibibytes_is_not_read_either(shard):
    with pytest.raises(BadPicture, match=f"{5 * GIB} bytes, more than"):
        read_squares(CaptionedImage("y", shard(WHOLE), ("a cat",), (512, 5 * GIB)), 8, "center")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_header_of_five_gibibytes_is_refused(shard, kind):
    with pytest.raises(LdmError, match="not a readable tar file: a header of"):
        load_captioned(shard(WHOLE, member("long", 5 * GIB, kind)))


def test_a_member_of_less_than_nothing_is_refused(tmp_path):
    """The reader of tar files would go back to it for ever."""
    info = bytearray(member("y.png", 0))
    info[124:136] = b"\xff" * 11 + b"\x00"
    info[148:156] = b"%06o\0 " % (256 + sum(info[:148]) + sum(info[156:512]))
    (tmp_path / "000.tar").write_bytes(WHOLE + bytes(info) + END)
    with pytest.raises(LdmError, match="not a readable tar file"):
        load_captioned(tmp_path / "000.tar")


def test_headers_within_headers_without_end_are_refused(tmp_path):
    (tmp_path / "000.tar").write_bytes(member("x", 0, tarfile.XHDTYPE) * 5000 + WHOLE + END)
    with pytest.raises(LdmError, match="not a readable tar file"):
        load_captioned(tmp_path / "000.tar")


def test_a_shard_of_the_standard_library_is_read(tmp_path):
    with tarfile.open(tmp_path / "000.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        for name, body in (("\u00e9" * 120 + ".png", P), ("\u00e9" * 120 + ".txt", b"a cat")):
            info = tarfile.TarInfo(name)
            info.size = len(body)
            archive.addfile(info, io.BytesIO(body))
    assert load_captioned(tmp_path / "000.tar").images[0].captions == ("a cat",)
