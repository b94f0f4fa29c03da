"""What pictures start from: recorded, drawn again, resumed, refused; frames, variations and the way through the VAE and back."""

import json
import math
import shutil

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

FAST = ("--steps", "3", "--batch-size", "1")


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
    """Draw into a folder; returns the paths in order."""

    def run(*argv, into="out", prompt="a dog"):
        code, _, err = generate(prompt, *FAST, "-q", "-o", f"{tmp_path / into}/", *argv)
        assert code == 0, err
        return sorted(path for path in (tmp_path / into).glob("*.png") if ".frames." not in path.name)

    return run


def facts(path):
    with Image.open(path) as picture:
        return json.loads(picture.text["ldm"])


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


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


def slerp(one, other, share, axes):
    """Shoemake's formula, in float64."""
    unit = [x / np.sqrt((x**2).sum(axis=axes, keepdims=True)) for x in (one, other)]
    omega = np.arccos((unit[0] * unit[1]).sum(axis=axes, keepdims=True))
    return (np.sin((1 - share) * omega) * one + np.sin(share * omega) * other) / np.sin(omega)


def diffusers_pictures(model, latents, **inputs):
    import diffusers

    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(model, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    settings = {"timestep_spacing": "leading"}
    pipeline.scheduler = diffusers.DDIMScheduler.from_config(pipeline.scheduler.config, **settings)
    shared = {"num_inference_steps": 3, "guidance_scale": 3.0, "latents": torch.from_numpy(latents).float()}

    def embed(prompt):
        return pipeline.encode_prompt(prompt, "cpu", 1, True, "")[:2]

    (first, negative), (last, _) = (embed(inputs[key]) for key in ("prompt", "prompt_to"))
    embeds = first + inputs["share"] * (last - first)
    return np.asarray(pipeline(prompt_embeds=embeds, negative_prompt_embeds=negative, **shared).images[0]).astype(int)


def noise(seed):
    return torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(seed)).double().numpy()


def test_frames_go_from_picture_to_picture_as_diffusers_draws_them(draw, generate, model, tmp_path):
    argv = ("--scheduler", "ddim", "--spacing", "leading")
    frames = draw("-s", "5", "--seed-to", "9", "--prompt-to", "red cat", "--frames", "5", *argv, into="frames")
    assert [path.name for path in frames] == [f"0000{i}_seed{seed}.png" for i, seed in enumerate((5, 5, 5, 5, 9))]
    ends = (*draw("-s", "5", *argv, into="first"), *draw("-s", "9", *argv, into="last", prompt="red cat"))
    assert [frames[0].read_bytes(), frames[-1].read_bytes()] == [path.read_bytes() for path in ends]
    for i in (1, 3):
        mixed = slerp(noise(5), noise(9), i / 4, (1, 2, 3))
        theirs = diffusers_pictures(model, mixed, prompt="a dog", prompt_to="red cat", share=i / 4)
        assert np.abs(pixels(frames[i]) - theirs).max() <= 1
    many = draw("-s", "5", "--seed-to", "9", "--prompt-to", "red cat", "--frames", "5", *argv, "--batch-size", "8", into="many")
    ends = (
        *draw("-s", "5", *argv, "--batch-size", "8", into="f8"),
        *draw("-s", "9", *argv, "--batch-size", "8", into="l8", prompt="red cat"),
    )
    assert [many[0].read_bytes(), many[-1].read_bytes()] == [path.read_bytes() for path in ends]
    assert facts(frames[1])["share"] == 0.25 and facts(frames[1])["seed_to"] == 9 and "share" not in facts(frames[4])
    assert generate("--from-image", frames[2], "--verify", "-q")[0] == 0


def test_a_batch_of_frames_is_that_of_single_frames_to_one_level(draw):
    argv = ("-s", "5", "--seed-to", "9", "--prompt-to", "red cat", "--frames", "4", "--scheduler", "euler-a")
    one, many = (draw(*argv, "--batch-size", size, into=size) for size in ("1", "8"))
    assert max(np.abs(pixels(a) - pixels(b)).max() for a, b in zip(one, many, strict=True)) <= 1


@pytest.mark.parametrize("kind", ["strip", "gif"])
def test_the_frames_are_one_file_too(kind, generate, tmp_path):
    argv = ("-s", "5", "--seed-to", "9", "--frames", "3", "--frames-as", kind, "-o", f"{tmp_path}/", *FAST, "--json")
    code, out, err = generate("a dog", "a cat", *argv)
    assert code == 0, err
    paths = json.loads(out)["frames"]
    assert [path.rpartition("/")[2].partition(".")[0] for path in paths] == ["00000-00002", "00003-00005"]
    with Image.open(paths[1]) as sheet:
        assert sheet.n_frames == 3 if kind == "gif" else sheet.width > 3 * 64


def test_a_variation_is_that_of_a1111(draw, model):
    """modules/rng.py of stable-diffusion-webui: columns of the noise, and with several pictures the other seed counts."""
    argv = ("--scheduler", "ddim", "--spacing", "leading")
    paths = draw("-s", "5", "--variation", "9:0.25", "-n", "2", *argv)
    assert [(facts(path)["seed"], facts(path)["variation"]) for path in paths] == [(5, "9:0.25"), (5, "10:0.25")]
    for path, seed in zip(paths, (9, 10), strict=True):
        mixed = slerp(noise(5), noise(seed), 0.25, (2,))
        theirs = diffusers_pictures(model, mixed, prompt="a dog", prompt_to="a dog", share=0)
        assert np.abs(pixels(path) - theirs).max() <= 1
    plain, none = draw("-s", "5", into="plain"), draw("-s", "5", "--variation", "9:0", into="none")
    assert np.array_equal(pixels(plain[0]), pixels(none[0]))


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
    plain, low, fused = (draw(*argv, *more, into=f"way{i}") for i, more in enumerate(((), ("--low-memory",), ("--fuse",))))
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
