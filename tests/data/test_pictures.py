"""Picture files of every kind to square tensors, and what is refused."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ldmcli.data.pictures import read_square
from ldmcli.runtime.pictures import MAX_PIXELS, BadPicture

WHITE, RED, GREEN = (255, 255, 255), (255, 0, 0), (0, 255, 0)


def read(path: Path, picture: Image.Image, size: int = 8, **options) -> torch.Tensor:
    picture.save(path, **options)
    got = read_square(path, size)
    assert got.shape == (3, size, size) and got.dtype == torch.uint8 and got.is_contiguous()
    return got


def corner(pixels: torch.Tensor, row: int = 0, column: int = 0) -> tuple[int, ...]:
    return tuple(pixels[:, row, column].tolist())


def test_grey_becomes_three_equal_channels(tmp_path):
    assert corner(read(tmp_path / "x.png", Image.new("L", (8, 8), 77))) == (77, 77, 77)
    assert corner(read(tmp_path / "y.png", Image.new("1", (8, 8), 1))) == WHITE


def test_cmyk_becomes_rgb(tmp_path):
    got = corner(read(tmp_path / "x.jpg", Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=100))
    assert got[0] > 240 and max(got[1:]) < 15


@pytest.mark.parametrize(("value", "wanted"), [(0, 0), (200, 1), (255, 1), (40000, 156), (65535, 255)])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, value, wanted):
    picture = Image.fromarray(np.full((8, 8), value, dtype=np.uint16))
    assert picture.mode == "I;16"
    assert corner(read(tmp_path / "x.png", picture)) == (wanted,) * 3
    assert corner(read(tmp_path / "x.tif", picture)) == (wanted,) * 3


def test_colours_under_full_transparency_do_not_show(tmp_path):
    hidden = Image.new("RGBA", (8, 8), (*RED, 0))
    assert corner(read(tmp_path / "x.png", hidden)) == WHITE
    assert corner(read(tmp_path / "x.webp", hidden, lossless=True, exact=True)) == WHITE
    assert corner(read(tmp_path / "y.png", Image.new("RGBA", (8, 8), (*RED, 128)))) == (255, 127, 127)
    assert corner(read(tmp_path / "z.png", Image.new("LA", (8, 8), (0, 0)))) == WHITE


def test_a_palette_is_resolved_and_its_transparent_entry_is_white(tmp_path):
    picture = Image.new("P", (8, 8), 1)
    picture.putpalette([*RED, *GREEN] + [0] * 762)
    assert corner(read(tmp_path / "x.png", picture)) == GREEN
    assert corner(read(tmp_path / "y.png", picture, transparency=1)) == WHITE
    assert corner(read(tmp_path / "z.gif", picture, transparency=1)) == WHITE


def test_a_transparent_colour_of_an_rgb_png_is_white(tmp_path):
    assert corner(read(tmp_path / "x.png", Image.new("RGB", (8, 8), RED), transparency=RED)) == WHITE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(tmp_path, orientation):
    upright = np.zeros((8, 8, 3), dtype=np.uint8)
    upright[:4, :4] = RED
    upright[:4, 4:] = GREEN
    undo = {2: [1], 3: [2, 2], 4: [0], 5: "t", 6: [2], 7: "a", 8: [2, 2, 2]}.get(orientation, [])
    stored = np.array(upright)
    if undo == "t":
        stored = stored.transpose(1, 0, 2)
    elif undo == "a":
        stored = np.rot90(stored, 2).transpose(1, 0, 2)
    else:
        for axis in undo:
            stored = np.rot90(stored) if axis == 2 else np.flip(stored, axis)
    exif = Image.Exif()
    exif[0x0112] = orientation
    got = read(tmp_path / "x.png", Image.fromarray(np.ascontiguousarray(stored)), exif=exif)
    assert torch.equal(got, torch.from_numpy(upright).permute(2, 0, 1))


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (3, 7), (500, 400)])
def test_any_shape_becomes_a_square(tmp_path, size):
    assert corner(read(tmp_path / "x.png", Image.new("RGB", size, GREEN)), 4, 4) == GREEN


def test_the_centre_is_kept_and_the_shorter_side_fills(tmp_path):
    wide = np.zeros((8, 24, 3), dtype=np.uint8)
    wide[:, 8:16] = GREEN
    assert (read(tmp_path / "x.png", Image.fromarray(wide)) == torch.tensor(GREEN)[:, None, None]).all()


def test_a_large_jpeg_is_close_to_an_exact_reduction(tmp_path):
    """JPEG is decoded at a fraction of its size; that must not change what is learnt from it."""
    ramp = np.linspace(0, 255, 512).astype(np.uint8)
    picture = Image.fromarray(
        np.stack([np.tile(ramp, (512, 1)), np.tile(ramp, (512, 1)).T, np.full((512, 512), 99)], axis=-1).astype(np.uint8)
    )
    got = read(tmp_path / "x.jpg", picture, 32, quality=95).float()
    exact = torch.from_numpy(np.asarray(picture.resize((32, 32), Image.Resampling.BOX)).copy()).permute(2, 0, 1).float()
    assert (got - exact).abs().max() <= 4


def jpeg(**options) -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


BROKEN = {
    "no byte": b"",
    "a page of HTML": b"<!DOCTYPE html><html><body>404</body></html>",
    "half a JPEG": jpeg()[:800],
    "a JPEG without its end": jpeg()[:-40],
    "a PNG header only": b"\x89PNG\r\n\x1a\n",
    "zeros": bytes(4096),
    "text": b"just a caption\n" * 100,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_picture_is_refused_with_a_reason(kind, tmp_path):
    (tmp_path / "x.jpg").write_bytes(BROKEN[kind])
    with pytest.raises(BadPicture, match=r"\w+"):
        read_square(tmp_path / "x.jpg", 8)


@pytest.mark.parametrize("tag", [0x0107, 0x011A])
def test_an_exif_block_that_pillow_stumbles_over_is_a_bad_picture(tmp_path, tag):
    """A text where a number belongs; struct.error and TypeError are what Pillow 13 raises here."""
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 20
    data, text = jpeg(exif=exif), b"\x01\x0e\x00\x02"
    assert data.count(text) == 1
    (tmp_path / "x.jpg").write_bytes(data.replace(text, struct.pack(">HH", tag, 2)))
    with pytest.raises(BadPicture, match="integer|operand"):
        read_square(tmp_path / "x.jpg", 8)


def test_missing_file_and_folder_are_bad_pictures(tmp_path):
    for path in (tmp_path / "gone.png", tmp_path):
        with pytest.raises(BadPicture):
            read_square(path, 8)


def bomb(width: int, height: int) -> bytes:
    """A valid PNG of one colour: 1 bit a pixel, so 400 megapixels are 48 kB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = zlib.compressobj(9)
    row = bytes(1 + (width + 7) // 8)
    body = b"".join(rows.compress(row) for _ in range(height)) + rows.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [20_000, 9_000])
def test_a_bomb_is_refused_from_its_header(tmp_path, side):
    whole = bomb(side, side)
    assert len(whole) < 60_000 and side**2 > MAX_PIXELS
    for body in (whole, whole[:100]):  # with no pixels to decode the answer is the same
        (tmp_path / "bomb.png").write_bytes(body)
        with pytest.raises(BadPicture, match=f"{side}x{side} pixels|decompression bomb"):
            read_square(tmp_path / "bomb.png", 8)


def test_the_bombs_little_brother_is_read(tmp_path):
    (tmp_path / "x.png").write_bytes(bomb(80, 80))
    assert corner(read_square(tmp_path / "x.png", 8)) == (0, 0, 0)
