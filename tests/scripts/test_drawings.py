"""One drawing in a scene: painted, tinted, mirrored, turned."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts" / "bundle"))

import composition  # noqa: E402
import scenes  # noqa: E402
from sources import Emoji  # noqa: E402


def test_a_drawing_of_little_colour_is_never_painted(tmp_path):
    white = np.full((64, 64, 4), 255, np.uint8)
    white[:8] = (220, 30, 40, 255)
    Image.fromarray(white).save(tmp_path / "white.png")
    white[:40] = (220, 30, 40, 255)
    Image.fromarray(white).save(tmp_path / "red.png")
    assert not scenes.takes_colour(tmp_path / "white.png") and scenes.takes_colour(tmp_path / "red.png")


def test_a_pale_drawing_is_tinted_and_what_is_black_stays_black(tmp_path):
    pale = Image.new("RGBA", (20, 20), "white")
    pale.paste("black", (0, 0, 10, 20))
    pale.putpixel((0, 0), (255, 255, 255, 0))
    pale.save(tmp_path / "pale.png")
    tinted = scenes.read_source(tmp_path / "pale.png", "blue")
    assert tinted.getpixel((0, 0))[3] == 0 and tinted.getpixel((5, 5)) == (0, 0, 0, 255)
    red, green, blue, opaque = tinted.getpixel((15, 5))
    assert red < green < blue == 255 == opaque and red == round(255 * (1 - scenes.TINT / 100))


def test_a_mirrored_object_is_the_mirror_image_and_a_turned_one_loses_no_corner(tmp_path):
    half = np.zeros((64, 64, 4), np.uint8)
    half[:, :20] = (220, 30, 40, 255)
    Image.fromarray(half).save(tmp_path / "half.png")
    emoji = Emoji(code="0", image="", name="", category="Objects", subcategory="", keywords=((), ()))
    plain = scenes.Placed(emoji=emoji, path=tmp_path / "half.png", x=32, y=32, side=64)
    mirrored = np.asarray(scenes.draw_object(dataclasses.replace(plain, mirrored=True)))
    assert (mirrored[:, ::-1] == half).all()
    turned = np.asarray(scenes.draw_object(dataclasses.replace(plain, turn=10.0)))
    assert turned.shape[0] == turned.shape[1] > 64 and turned[..., 3].sum() == pytest.approx(half[..., 3].sum(dtype=int), rel=0.02)


@pytest.mark.parametrize("colour", list(composition.HUES))
def test_painting_turns_the_main_hue_and_keeps_the_shape(colour):
    source = Image.new("RGBA", (64, 64))
    ImageDraw.Draw(source).ellipse((4, 4, 60, 60), fill=(220, 30, 40, 255))
    painted = scenes.recoloured(source, colour)
    assert painted.getchannel("A").tobytes() == source.getchannel("A").tobytes()
    hue = painted.convert("RGB").convert("HSV").getpixel((32, 32))[0] * 360 / 256
    assert min(abs(hue - composition.HUES[colour]), 360 - abs(hue - composition.HUES[colour])) < 8
