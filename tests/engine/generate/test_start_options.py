"""What pictures start from: recorded, drawn again, resumed, refused; and the way through the VAE and back."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from start_pictures import FAST, drawing, facts, pixels


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """A picture of the size that the tiny model draws."""
    picture = Image.linear_gradient("L").resize((64, 64)).convert("RGB")
    ImageDraw.Draw(picture).ellipse((15, 8, 50, 43), fill="orange")
    path = tmp_path_factory.mktemp("photos") / "photo.png"
    picture.save(path)
    return path


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    """White on its left."""
    picture = Image.new("L", (64, 64))
    picture.paste(255, (0, 0, 32, 64))
    path = tmp_path_factory.mktemp("masks") / "mask.png"
    picture.save(path)
    return path


@pytest.fixture
def draw(generate, tmp_path):
    return drawing(generate, tmp_path)


def beside(folder, *files):
    folder.mkdir(exist_ok=True)
    return [shutil.copy(file, folder) for file in files]


STARTS = {
    "a picture": ("--strength", "0.7", "--scheduler", "euler-a"),
    "a variation": ("--variation", "77:0.30000000000000004"),
    "the VAE alone": ("--strength", "0"),
}


@pytest.mark.parametrize("what", STARTS)
def test_a_picture_records_what_it_started_from_and_is_drawn_again(what, draw, generate, photo, mask, tmp_path, monkeypatch):
    argv = STARTS[what] if what == "a variation" else ("--init-image", photo, *STARTS[what])
    if what == "a picture":
        argv = (*argv, "--mask", mask)
    (path,) = draw("-s", "5", *argv)
    beside(path.parent, *([photo, mask] if what != "a variation" else []))
    for again in (("--verify",), ("-o", tmp_path / "again.png")):
        code, out, err = generate("--from-image", path, *again, "-q")
        assert code == 0, err
    assert (tmp_path / "again.png").read_bytes() == path.read_bytes()
    text = Image.open(path).text
    assert str(photo.parent) not in text["ldm"] + text["parameters"]
    wanted = {
        "a picture": "Denoising strength: 0.7",
        "a variation": "Variation seed: 77, Variation seed strength: 0.3",
        "the VAE alone": "Denoising strength: 0",
    }
    assert f", {wanted[what]}, " in text["parameters"]


def test_the_picture_is_found_by_its_content_or_has_to_be_named(draw, generate, photo, tmp_path, monkeypatch):
    (path,) = draw("-s", "5", "--init-image", photo)
    monkeypatch.chdir(tmp_path)
    replay = ("--from-image", path, "--verify", "-q")
    code, _, err = generate(*replay)
    assert code == 6 and "started from photo.png (sha256 " in err and "Name it with --init-image." in err
    assert generate(*replay, "--init-image", photo)[0] == 0
    Image.new("RGB", (64, 64)).save(tmp_path / "photo.png")  # of the same name, and another picture
    assert generate(*replay)[0] == 6
    code, _, err = generate(*replay, "--init-image", tmp_path / "photo.png")
    assert code == 2 and "started from another picture" in err
    shutil.copy(photo, path.parent / "renamed.png")
    assert generate(*replay)[0] == 0
    (plain,) = draw("-s", "5", into="plain")
    assert generate("--from-image", plain, "--verify", "--init-image", photo)[0] == 2


def test_the_record_never_names_a_path(draw, generate, photo, tmp_path):
    from outputs import spoil

    (path,) = draw("-s", "5", "--init-image", photo)
    spoil(path, init_image={"name": str(photo), "sha256": facts(path)["init_image"]["sha256"]})
    assert generate("--from-image", path, "--verify", "-q")[0] == 6


def test_strength_0_is_the_vae_alone_and_prints_its_psnr(generate, model, photo, tmp_path):
    from ldmcli.engine.parts import make_codec
    from ldmcli.models.loading import load_vae
    from ldmcli.outputs.images import to_uint8

    code, out, err = generate("a dog", "-s", "1", "--init-image", photo, "--strength", "0", "-o", tmp_path / "round.png", "--json")
    body = json.loads(out)
    codec, before = make_codec(load_vae(model / "vae")), pixels(photo)
    x = torch.from_numpy(before).permute(2, 0, 1)[None].float() / 255 * 2 - 1
    with torch.no_grad():
        wanted = to_uint8(codec.decode(codec.encode(x)[0]))[0].numpy().astype(int)
    ours = pixels(tmp_path / "round.png")
    assert code == 0 and np.abs(ours - wanted).max() <= 1
    decibel = 10 * math.log10(255**2 / ((ours - before) ** 2).mean())
    (trip,) = body["round_trips"]
    assert trip["psnr"] == pytest.approx(decibel, abs=0.01) and trip["image"] == body["images"][0]["path"]
    assert f"PSNR {decibel:.1f} dB" in err and body["images"][0]["num_unet_calls"] == 0


def test_a_run_of_train_vae_shows_its_round_trip(ldm, generate, model, photo, tmp_path):
    shutil.copytree(model / "vae", tmp_path / "run" / "model" / "vae")
    shared = ("generate", "a dog", "-s", "1", "--init-image", photo, "--strength", "0", "--device", "cpu", "-q")
    for name, which in {"run": ("-m", tmp_path / "run"), "vae": ("--vae", tmp_path / "run")}.items():
        assert ldm(*shared, *which, "-o", tmp_path / f"{name}.png")[0] == 0
    assert (tmp_path / "run.png").read_bytes() == (tmp_path / "vae.png").read_bytes()
    assert generate("a dog", "-s", "1", "--init-image", photo, "--strength", "0", "-o", tmp_path / "whole.png")[0] == 0
    assert np.array_equal(pixels(tmp_path / "run.png"), pixels(tmp_path / "whole.png"))
    code, _, err = ldm("generate", "a dog", "--init-image", photo, "--strength", "0.5", "-m", tmp_path / "run")
    assert code == 6 and "holds a VAE but no U-Net yet" in err
    (tmp_path / "line.jsonl").write_text(json.dumps({"prompt": "a dog", "strength": 0.5}))
    code, _, err = ldm(*shared[:1], "-f", tmp_path / "line.jsonl", *shared[2:], "-m", tmp_path / "run", "-o", f"{tmp_path}/lines/")
    assert code == 1 and "do not belong together" in err and "Traceback" not in err


SIZES = {
    "its own, rounded down": ((60, 45), (), (56, 40)),
    "a large one, at the model's size": ((900, 600), (), (96, 64)),
    "asked for": ((900, 600), ("--size", "64x64"), (64, 64)),
    "one side, and the ratio": ((900, 600), ("-W", "48"), (48, 32)),
    "the other side": ((600, 900), ("-H", "48"), (32, 48)),
    "a sliver": ((300, 3), ("-H", "8", "-W", "64"), (64, 8)),
}


@pytest.mark.parametrize("what", SIZES)
def test_a_picture_is_drawn_at_its_own_size_unless_that_is_too_large_or_another_is_asked_for(what, generate, tmp_path):
    size, argv, wanted = SIZES[what]
    Image.new("RGB", size, "teal").save(tmp_path / "in.png")
    command = ("a dog", "-s", "1", *FAST, "--init-image", tmp_path / "in.png", "--strength", "0.4", "-o", tmp_path / "out.png", *argv)
    code, _, err = generate(*command)
    assert code == 0, err
    assert Image.open(tmp_path / "out.png").size == wanted
    said = f"--init-image has {size[0]} x {size[1]} pixels and is drawn at {wanted[0]} x {wanted[1]}" in err
    assert said == (len(argv) < 2 or argv[0] != "--size") or what == "a sliver"


def test_white_is_redrawn_and_black_stays(ldm, mask, tmp_path):
    for name, argv in {
        "dog": ("a dog", "-s", "3"),
        "cat": ("a red car", "-s", "4", "--init-image", tmp_path / "dog.png", "--mask", mask, "--strength", "1"),
    }.items():
        assert ldm("generate", *argv, "--steps", "6", "--device", "cpu", "-o", tmp_path / f"{name}.png", "-q")[0] == 0
    far = np.abs(pixels(tmp_path / "dog.png") - pixels(tmp_path / "cat.png"))
    assert far[:, 40:].mean() < 5 and far[:, :24].mean() > 25


def test_lines_and_sweeps_say_what_to_start_from(generate, photo, mask, tmp_path):
    lines = [
        {"prompt": "a dog", "init_image": str(photo), "strength": 0.5},
        {"prompt": "a dog", "init_image": str(photo), "mask": str(mask), "seed": 3},
        {"prompt": "a cat", "variation": "4:0.5"},
        {"prompt": "a cat", "seed_to": 4, "frames": 3},
        {"prompt": "a cat", "init_image": str(tmp_path / "none.png")},
        {"prompt": "a cat", "mask": str(mask)},
    ]
    (tmp_path / "lines.jsonl").write_text("\n".join(map(json.dumps, lines)))
    argv = ("-s", "5", *FAST, "--strength", "0.7", "--json")
    code, out, err = generate("-f", tmp_path / "lines.jsonl", *argv, "-o", f"{tmp_path}/lines/")
    body = json.loads(out)
    failed = {item["line"]: (item["exit_code"], item["error"]) for item in body["failed"]}
    assert code == 3 and failed.keys() == {5, 6}, err
    assert failed[5][0] == 6 and "no such picture" in failed[5][1] and "--mask says which part" in failed[6][1]
    assert [facts(image["path"]).get("strength") for image in body["images"]] == [0.5, 0.7, None, None, None, None]
    code, out, _ = generate("a dog", "-s", "5", *FAST, "--init-image", photo, "--sweep", "strength=0.4,1", "-o", f"{tmp_path}/s/", "--json")
    assert code == 0 and [image["num_unet_calls"] for image in json.loads(out)["images"]] == [1, 3]


def test_a_batch_of_frames_goes_on_where_it_was(generate, photo, tmp_path, evaluations):
    argv = ("a dog", "-s", "5", *FAST, "--init-image", photo, "--seed-to", "9", "--frames", "3", "-o", f"{tmp_path}/", "-q")
    assert generate(*argv)[0] == 0
    before = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    (tmp_path / "00001_seed5.png").unlink()
    evaluations.clear()
    assert generate(*argv, "--resume")[0] == 0
    assert len(evaluations) == 1 and {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == before


def test_one_network_at_a_time_and_inference_copies_start_from_pictures_too(draw, photo, mask):
    argv = ("-s", "5", "--init-image", photo, "--mask", mask, "--scheduler", "euler-a", "--strength", "0.7")
    plain, low, fused = (draw(*argv, *more, into=f"way{i}") for i, more in enumerate((("--no-fuse",), ("--no-fuse", "--low-memory"), ())))
    assert np.array_equal(pixels(plain[0]), pixels(low[0])) and np.abs(pixels(plain[0]) - pixels(fused[0])).max() <= 1


def test_a_large_picture_goes_through_the_vae_in_tiles_both_ways(generate, photo, tmp_path, monkeypatch):
    from ldmcli.networks.vae import Encoder

    seen = []
    monkeypatch.setattr(Encoder, "forward", lambda self, x, forward=Encoder.forward: (seen.append(x.shape[2:]), forward(self, x))[1])
    shared = ("a dog", "--init-image", photo, "--strength", "0", "--size", "320x256", "-q")
    for name, way, calls in (
        ("whole", "--no-tiled-decode", [(256, 320)]),
        ("tiles", "--tiled-decode", [(256, 256), (256, 128)] + [(64, 256), (64, 128)]),
    ):
        seen.clear()
        assert generate(*shared, way, "-o", tmp_path / f"{name}.png")[0] == 0
        assert seen == calls


def test_a_stranger_s_file_is_refused_with_what_to_do(generate, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    code, _, err = generate("a dog", "--init-image", tmp_path / "text.png", "-o", f"{tmp_path}/out/")
    assert code == 1 and "not a readable picture" in err and "Traceback" not in err
    code, _, err = generate("a dog", "--init-image", tmp_path / "none.png")
    assert code == 6 and "no such picture" in err
