"""The same command gives the same bytes; a seed names a picture whatever the batch."""

import json
import platform

import numpy as np
import pytest
import torch
from PIL import Image

from ldmcli.cli import main
from ldmcli.engine.generate import run as engine
from ldmcli.networks.unet import UNet


@pytest.fixture
def draw(model, tmp_path):
    """Run `ldm generate` in this process; returns the paths of the pictures in order."""

    def run(*arguments, into="out"):
        folder = tmp_path / into
        assert main(["generate", *arguments, "-m", str(model), "-o", f"{folder}/", "-q", "--device", "cpu"]) == 0
        return sorted(folder.glob("*.png"))

    return run


def pixels(paths):
    return [np.asarray(Image.open(path)).astype(int) for path in paths]


@pytest.mark.parametrize("scheduler", ["dpm++2m", "euler-a"])
def test_the_same_command_gives_the_same_bytes(draw, scheduler):
    first = draw("a dog", "-n", "3", "-s", "5", "--scheduler", scheduler, into="one")
    second = draw("a dog", "-n", "3", "-s", "5", "--scheduler", scheduler, into="two")
    assert len(first) == 3 and [p.name for p in first] == [p.name for p in second]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.parametrize("scheduler", ["dpm++2m", "euler-a"])
def test_with_a_batch_size_of_1_a_picture_has_the_same_bytes_alone_and_among_others(draw, scheduler):
    shared = ("--batch-size", "1", "--scheduler", scheduler)
    among = draw("a cat", "a dog", "-n", "2", "-s", "5", *shared, into="among")
    alone = draw("a dog", "-s", "6", *shared, into="alone")
    assert [p.name for p in among][3] == "00003_seed6.png"
    assert alone[0].read_bytes() == among[3].read_bytes()


@pytest.mark.parametrize("scheduler", ["dpm++2m", "euler-a", "heun"])
def test_a_batch_of_8_gives_the_pictures_of_batches_of_1(draw, scheduler):
    shared = ("a dog", "a cat", "-n", "4", "-s", "5", "--steps", "3", "--scheduler", scheduler, "--batch-size")
    together, single = pixels(draw(*shared, "8", into="eight")), pixels(draw(*shared, "1", into="one"))
    assert len(together) == 8 and len({p.tobytes() for p in together}) == 8
    assert max(np.abs(a - b).max() for a, b in zip(together, single, strict=True)) <= 1


def test_picture_i_of_a_prompt_has_seed_plus_i_and_a_repeated_prompt_goes_on_counting(draw):
    names = [p.name for p in draw("a dog", "a cat", "a dog", "-n", "2", "-s", "5")]
    assert names == [f"{i:05d}_seed{seed}.png" for i, seed in enumerate([5, 6, 5, 6, 7, 8])]


def test_the_prompt_the_negative_prompt_and_the_guidance_all_matter(draw):
    variants = [("a dog",), ("a cat",), ("a dog", "--negative", "red"), ("a dog", "--cfg", "6"), ("a dog", "--cfg-rescale", "0.7")]
    drawn = {pixels(draw(*v, "-s", "5", into=f"v{i}"))[0].tobytes() for i, v in enumerate(variants)}
    assert len(drawn) == len(variants)


def test_the_chunks_say_everything_but_time_place_and_machine(draw, model, tmp_path):
    (path,) = draw("a dog, running", "-s", "5", "--scheduler", "euler", "--negative", "red")
    text = Image.open(path).text
    assert set(text) == {"parameters", "ldm", "XML:com.adobe.xmp"}
    facts = json.loads(text["ldm"])
    assert facts["prompt"] == "a dog, running" and facts["seed"] == 5 and facts["negative_prompt"] == "red"
    assert facts["scheduler"]["name"] == "euler" and facts["scheduler"]["steps"] == 4 and facts["cfg"] == 3.0
    assert facts["model"] == "tiny" and len(facts["unet_sha256"]) == 64 and facts["torch"] == torch.__version__
    assert not {"time", "date", "seconds", "host", "path", "output"} & facts.keys()
    for secret in (str(tmp_path), str(model.parent), platform.node()):
        assert secret not in text["ldm"] and secret not in text["parameters"]
    first, negative, settings = text["parameters"].split("\n")
    assert (first, negative) == ("a dog, running", "Negative prompt: red")
    assert settings.startswith("Steps: 4, Sampler: Euler, CFG scale: 3, Seed: 5, Size: 64x64, ")


def test_no_metadata_means_none(draw):
    (path,) = draw("a dog", "-s", "5", "--no-metadata")
    assert Image.open(path).text == {}


@pytest.mark.parametrize(("cfg", "rows"), [("0", 3), ("1", 3), ("1.5", 6)])
def test_without_guidance_the_network_sees_each_picture_once(draw, monkeypatch, cfg, rows):
    seen = []
    original = engine.open_networks

    def opened(*arguments, **options):
        session = original(*arguments, **options)
        session.unet.register_forward_hook(lambda module, inputs, output: seen.append((len(inputs[0]), len(inputs[2].states))))
        assert isinstance(session.unet, UNet)
        return session

    monkeypatch.setattr(engine, "open_networks", opened)
    draw("a dog", "-n", "3", "-s", "5", "--cfg", cfg, "--steps", "4")
    assert seen == [(rows, rows)] * 4


def test_upscaling_enlarges_what_was_drawn(draw):
    small, large = draw("a dog", "-s", "5", into="small"), draw("a dog", "-s", "5", "--upscale", "3", into="large")
    assert np.array_equal(np.kron(pixels(small)[0], np.ones((3, 3, 1), int)), pixels(large)[0])


def test_inference_copies_draw_the_picture_of_the_plain_networks_to_one_step_of_255(ldm, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name, argv in {"copy": (), "plain": ("--no-fuse",)}.items():
        command = ("generate", "a dog", "a red bus", "-s", "3", "--cfg", "5", "--cfg-interval", "0.2,1", "--steps", "4", "--device", "cpu")
        assert ldm(*command, "-o", f"{tmp_path / name}/", "-q", *argv)[0] == 0
    ours, plain = (sorted((tmp_path / name).glob("*.png")) for name in ("copy", "plain"))
    assert len(ours) == 2 and all(abs(first - second).max() <= 1 for first, second in zip(pixels(ours), pixels(plain), strict=True))
    assert [json.loads(Image.open(paths[0]).text["ldm"]).get("fuse", False) for paths in (ours, plain)] == [True, False]


def test_the_record_says_which_networks_drew_and_a_replay_takes_the_same(generate, tmp_path, monkeypatch):
    from ldmcli.networks import inference

    path = tmp_path / "plain.png"
    assert generate("a dog", "--no-fuse", "-s", "3", "--steps", "2", "-o", path, "-q")[0] == 0
    monkeypatch.setattr(inference, "can_pack", lambda: pytest.fail("a copy was made"))
    assert generate("--from-image", path, "--verify", "-q")[0] == 0
    assert generate("a dog", "-s", "3", "--fuse", "--steps", "2", "--trace", tmp_path / "look", "-o", tmp_path / "traced.png", "-q")[0] == 0
