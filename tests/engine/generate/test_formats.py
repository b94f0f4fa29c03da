"""--format and --grid: what is written besides PNG."""

import json

import numpy as np
import pytest
from PIL import Image

from ldmcli.records.pictures import ImageRecord
from ldmcli.reports.grid import CELL, MOST_PICTURES, grid_sheet


def pixels(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


@pytest.fixture
def draw(generate, tmp_path):
    """One picture of three steps; returns its path."""

    def run(name, *argv):
        code, printed, err = generate("a dog", "-s", "5", "--steps", "3", "--batch-size", "1", "-q", "-o", f"{tmp_path}/{name}", *argv)
        assert code == 0, err
        return printed.splitlines()[0]

    return run


@pytest.mark.parametrize(("kind", "ending"), [("png", ".png"), ("webp", ".webp"), ("jpg", ".jpg"), ("jpeg", ".jpg"), ("WebP", ".webp")])
def test_the_format_of_a_folder_is_asked_for(draw, kind, ending):
    path = draw("out/", "--format", kind)
    assert path.endswith(f"/00000_seed5{ending}")
    with Image.open(path) as picture:
        assert picture.format == {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG"}[ending]


def test_numbers_do_not_start_again_with_another_format(draw):
    draw("out/")
    assert draw("out/", "--format", "webp").endswith("/00001_seed5.webp")


def test_the_name_of_a_file_says_its_format_and_webp_has_the_same_pixels(draw):
    png, webp, jpg = (draw(f"dog{ending}") for ending in (".png", ".webp", ".jpeg"))
    assert np.array_equal(pixels(png), pixels(webp))
    assert 0 < abs(pixels(png) - pixels(jpg)).max() < 100


@pytest.mark.parametrize("kind", ["png", "webp", "jpg"])
def test_a_picture_of_any_format_is_drawn_again(draw, generate, tmp_path, kind):
    path, again = draw(f"dog.{kind}", "--scheduler", "ddim"), tmp_path / f"again.{kind}"
    code, _, err = generate("--from-image", path, "-o", again, "-q")
    assert code == 0, err
    assert again.read_bytes() == (tmp_path / f"dog.{kind}").read_bytes()


def test_webp_is_verified_and_jpg_is_told_why_it_cannot_be(draw, generate):
    path = draw("dog.webp")
    assert generate("--from-image", path, "--verify", "-q") == (0, f"equal: {path}\n", "")
    code, out, err = generate("--from-image", draw("dog.jpg"), "--verify", "-q")
    assert code == 2 and out == "" and "a JPEG holds rounded pixels" in err and "without --verify" in err


@pytest.mark.parametrize("kind", ["webp", "jpg"])
def test_without_metadata_there_is_nothing_to_draw_again(draw, generate, kind):
    code, _, err = generate("--from-image", draw(f"dog.{kind}", "--no-metadata"))
    assert code == 1 and "has no `ldm` record" in err


@pytest.mark.parametrize("comment", [b"", b"ldm\0", b"ldm\0{", b"ldm\0\xff\xfe", b"Nikon"])
def test_a_stranger_s_exif_is_refused_in_a_sentence(generate, tmp_path, comment):
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0x927C: comment})
    Image.new("RGB", (8, 8)).save(tmp_path / "x.jpg", exif=exif)
    code, _, err = generate("--from-image", tmp_path / "x.jpg")
    assert code == 1 and err.startswith("error: --from-image") and "Traceback" not in err


def test_a_grid_shows_every_picture_of_the_command_with_what_tells_them_apart(generate, tmp_path):
    argv = ("a dog", "a cat", "-n", "3", "-s", "5", "--steps", "1", "--grid", "-q", "-o", f"{tmp_path}/")
    code, printed, _ = generate(*argv)
    *paths, grid = printed.splitlines()
    assert code == 0 and len(paths) == 6 and grid == f"{tmp_path}/00000-00005.grid.png"
    sheet, gap, caption, side = pixels(grid), 4, 14, 192  # 64 pixels, enlarged to at least 128
    side = 128
    assert sheet.shape == (2 * (side + caption + gap) + gap, 3 * (side + gap) + gap, 3)  # a row for each prompt
    for place, path in enumerate(paths):
        left, top = gap + place % 3 * (side + gap), gap + place // 3 * (side + caption + gap)
        shown = sheet[top : top + side, left : left + side]
        assert np.array_equal(shown, pixels(path).repeat(2, 0).repeat(2, 1))
        assert sheet[top + side : top + side + caption, left : left + side].min() < 100
    assert json.loads(generate(*argv[:-3], "--json", *argv[-2:])[1])["grid"] == f"{tmp_path}/00006-00011.grid.png"
    assert "grid" not in json.loads(generate("a", "--steps", "1", "--json", "-o", f"{tmp_path}/")[1])


def test_a_grid_is_made_again_by_resume_and_never_replaces_another_file(generate, tmp_path):
    argv = ("a dog", "-n", "2", "-s", "5", "--steps", "1", "--grid", "-q", "-o", f"{tmp_path}/")
    (tmp_path / "00000-00001.grid.png").write_text("mine")
    assert generate(*argv)[1].splitlines()[-1] == f"{tmp_path}/00000-00001.grid-2.png"
    assert (tmp_path / "00000-00001.grid.png").read_text() == "mine"


@pytest.fixture
def records(tmp_path):
    """Records of pictures that exist: (count, width, height) -> list."""

    def make(count, width, height):
        path = tmp_path / f"{width}x{height}.png"
        Image.new("RGB", (width, height), "red").save(path)
        common = {"negative_prompt": "", "steps": 1, "num_unet_calls": 1, "scheduler": "ddim", "cfg": 1.0, "truncated_tokens": 0}
        return [ImageRecord(path=str(path), prompt="a", seed=i, width=width, height=height, seconds=0.1, **common) for i in range(count)]

    return make


def test_a_large_command_is_capped(records, generate, tmp_path):
    sheet = grid_sheet(records(MOST_PICTURES + 50, 8, 8))
    assert sheet.size == grid_sheet(records(MOST_PICTURES, 8, 8)).size
    argv = ("a", "-n", str(MOST_PICTURES + 1), "--steps", "1", "--size", "8", "--batch-size", "64", "--grid", "-o", f"{tmp_path}/")
    code, _, err = generate(*argv)
    assert code == 0 and f"the grid shows the first {MOST_PICTURES} of {MOST_PICTURES + 1} pictures" in err


def test_large_pictures_are_made_small_and_keep_their_shape(records):
    sheet = np.asarray(grid_sheet([*records(1, 1024, 512), *records(1, 512, 1024)]))
    assert sheet.shape[1] == 2 * CELL + 12
    reds = [(sheet[4 : 4 + CELL, left : left + CELL] == (255, 0, 0)).all(-1) for left in (4, 8 + CELL)]
    assert [(red.any(1).sum(), red.any(0).sum()) for red in reds] == [(CELL // 2, CELL), (CELL, CELL // 2)]


def test_everything_that_generate_writes_says_that_a_model_drew_it_and_nothing_with_no_metadata(generate, tmp_path):
    ways = {
        "strips": ("a cat", "--grid", "--progressive", "strip"), "gifs": ("--progressive", "gif"), "frames": ("--progressive", "frames"),
        "sequence": ("--seed-to", "2", "--frames", "2", "--frames-as", "strip"),
        "animated": ("--seed-to", "2", "--frames", "2", "--frames-as", "gif"),
    }  # fmt: skip
    for name, argv in ways.items():
        for more in ((), ("--no-metadata",)):
            folder = tmp_path / f"{name}{len(more)}"
            code, _, err = generate("a dog", *argv, *more, "-s", "1", "--steps", "2", "-q", "-o", f"{folder}/")
            assert code == 0, err
            bodies = [path.read_bytes() for path in folder.rglob("*") if path.suffix in (".png", ".gif")]
            assert len(bodies) == {"strips": 5, "gifs": 2}.get(name, 3)
            assert [b"digitalsourcetype/trainedAlgorithmicMedia" in body for body in bodies] == [not more] * len(bodies)
