"""Crops, flips, JPEGs decoded at a fraction, and doing without a cache: the pixels are the ones that were asked for."""

import numpy as np
import pytest
import torch
from PIL import Image

from ldmcli.data.cache import Entry, decoded_pictures
from ldmcli.data.captioned import CaptionedImage, CaptionedImages
from ldmcli.data.pictures import on_white, read_picture, read_squares
from ldmcli.data.row_sources import ComputedOnDemand, DecodedOnDemand, draw_views, flip_some
from ldmcli.runtime.pictures import BadPicture


@pytest.fixture
def wide(tmp_path) -> CaptionedImage:
    """32 x 8 pixels: four squares of 0, 60, 120 and 180."""
    Image.fromarray(np.repeat(np.arange(4, dtype=np.uint8) * 60, 8)[None].repeat(8, 0)).save(tmp_path / "x.png")
    return CaptionedImage("x", tmp_path / "x.png", ("stripes",))


def test_random_crops_are_four_squares_along_the_longer_side(wide):
    views = read_squares(wide, 8, "random")
    assert views.shape == (4, 3, 8, 8)
    for view, grey in zip(views, (0, 60, 120, 180), strict=True):
        assert (view == grey).all()


def test_centre_and_none(wide):
    assert read_squares(wide, 8, "center")[0, 0, 0].tolist() == [60] * 4 + [120] * 4
    squeezed = read_squares(wide, 8, "none")[0, 0, 0].tolist()
    assert squeezed[0] < 10 and squeezed[-1] > 170 and squeezed == sorted(squeezed)


@pytest.mark.parametrize(("side", "size", "wanted"), [(512, 32, 64), (512, 33, 128), (500, 32, 125), (64, 64, 64), (100, 64, 100)])
def test_a_jpeg_is_decoded_smaller_but_never_below_twice_the_target(tmp_path, side, size, wanted):
    Image.new("RGB", (side, side), "red").save(tmp_path / "x.jpg")
    assert read_picture(tmp_path / "x.jpg", at_least=2 * size).size == (wanted, wanted)
    Image.new("RGB", (side, side), "red").save(tmp_path / "x.png")
    assert read_picture(tmp_path / "x.png", at_least=2 * size).size == (side, side)


def test_floating_point_is_refused_since_its_white_is_unknown(tmp_path):
    Image.new("F", (8, 8), 0.5).save(tmp_path / "x.tif")
    with pytest.raises(BadPicture, match="what white is"):
        read_picture(tmp_path / "x.tif")


def test_cmyk_has_known_values():
    """Without a profile: (1 - ink) (1 - black)."""
    assert on_white(Image.new("CMYK", (1, 1), (0, 255, 0, 0))).getpixel((0, 0)) == (255, 0, 255)
    assert on_white(Image.new("CMYK", (1, 1), (0, 0, 0, 255))).getpixel((0, 0)) == (0, 0, 0)


def test_without_a_cache_the_pixels_are_those_of_the_cache(wide, tmp_path):
    (tmp_path / "bad.png").write_text("<html>")
    data = CaptionedImages("here", (wide, CaptionedImage("bad", tmp_path / "bad.png", ("x",)), wide))
    *_, entry = decoded_pictures(data, 8, tmp_path / "cache", crop="random")
    assert isinstance(entry, Entry) and list(entry.facts["bad"]) == ["1"]
    rows = torch.tensor([9, 0, 5, 3])
    lazy = DecodedOnDemand(data, 8, "random")
    assert lazy.shape == entry.arrays["pixels"].shape == (12, 3, 8, 8) and len(lazy) == 12
    assert torch.equal(lazy[rows], entry.arrays["pixels"][rows])


def test_columns_are_computed_together_and_rounded_as_in_a_cache():
    asked = []

    def compute(rows):
        asked.append(rows.tolist())
        return {"mean": rows[:, None] / 3, "std": rows[:, None] / 7}

    source = ComputedOnDemand(10, compute)
    mean, std = source.of("mean"), source.of("std")
    asked.clear()
    rows = torch.tensor([4, 2])
    assert torch.equal(mean[rows], (rows[:, None] / 3).half()) and torch.equal(std[rows], (rows[:, None] / 7).half())
    assert asked == [[4, 2]] and mean.shape == (10, 1)


def test_views_belong_to_their_picture_and_all_are_drawn():
    rows = torch.arange(5).repeat(400)
    drawn = draw_views(rows, 4, torch.Generator().manual_seed(0))
    assert torch.equal(drawn // 4, rows)
    assert (drawn % 4).bincount().float().sub(500).abs().max() < 80
    generator = torch.Generator().manual_seed(0)
    assert draw_views(rows, 1, generator) is rows  # and nothing was drawn, so runs with one view are what they were
    assert torch.equal(generator.get_state(), torch.Generator().manual_seed(0).get_state())


def test_flipping_mirrors_left_and_right_only_where_asked():
    pictures = torch.arange(12).view(2, 1, 2, 3)
    assert flip_some(pictures, torch.tensor([True, False])).tolist() == [[[[2, 1, 0], [5, 4, 3]]], [[[6, 7, 8], [9, 10, 11]]]]
