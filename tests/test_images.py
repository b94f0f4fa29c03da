"""Tensors to pictures as diffusers does it, and the text in PNG files as web UIs read it."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ldmcli.errors import NonFinite
from ldmcli.images import parameters_text, png_chunks, to_pillow, to_uint8

FACTS = {
    "prompt": "a dog",
    "negative_prompt": "blurry",
    "seed": 1234,
    "cfg": 7.5,
    "width": 512,
    "height": 256,
    "scheduler": {"name": "dpm++2m-karras", "steps": 20},
    "unet_sha256": "0123456789abcdef" * 4,
    "model": "my-model",
    "ldm": "0.1.0",
}


def facts(**changes) -> dict:
    return {**FACTS, **changes}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_pixels_are_those_of_diffusers(dtype):
    from diffusers.image_processor import VaeImageProcessor

    generator = torch.Generator().manual_seed(0)
    pictures = (torch.randn(3, 3, 16, 16, generator=generator) * 1.2).to(dtype)
    pictures[0, 0] = torch.linspace(-1, 1, 256).reshape(16, 16).to(dtype)
    wanted = VaeImageProcessor().postprocess(pictures.float(), output_type="pil")
    ours = to_pillow(pictures)
    assert [picture.mode for picture in ours] == ["RGB"] * 3
    assert all(np.array_equal(np.asarray(a), np.asarray(b)) for a, b in zip(ours, wanted, strict=True))


def test_every_level_of_grey_survives_the_way_there_and_back():
    levels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, 16, 16)
    assert torch.equal(to_uint8(levels.float() / 127.5 - 1).permute(0, 3, 1, 2), levels)


def test_out_of_range_is_clipped():
    assert to_uint8(torch.tensor([-9.0, 9.0, 0.0]).reshape(1, 3, 1, 1)).flatten().tolist() == [0, 255, 128]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_what_is_no_number_is_never_painted(value):
    """diffusers would write a black picture."""
    pictures = torch.zeros(2, 3, 4, 4)
    pictures[1, 2, 3, 0] = value
    with pytest.raises(NonFinite, match="NaN or infinity") as caught:
        to_pillow(pictures)
    assert caught.value.exit_code == 4


def test_the_parameters_text_is_what_web_uis_write():
    assert parameters_text(FACTS, "DPM++ 2M", "Karras") == (
        "a dog\n"
        "Negative prompt: blurry\n"
        "Steps: 20, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.5, Seed: 1234, Size: 512x256, "
        "Model hash: 0123456789, Model: my-model, RNG: CPU, Version: ldm 0.1.0"
    )


def test_what_is_empty_is_left_out():
    text = parameters_text(facts(negative_prompt=""), "Euler", None)
    assert "Negative prompt" not in text and "Schedule type" not in text and text.count("\n") == 1
    assert "CFG scale: 7, " in parameters_text(facts(cfg=7.0), "Euler", None)


SETTING = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""The grammar of the A1111 reader."""


def read_back(text: str) -> dict[str, str]:
    """The last line of the text as A1111's parse_generation_parameters reads it."""
    pairs = SETTING.findall(text.rpartition("\n")[2])
    assert len(pairs) >= 3
    return {key: json.loads(value) if value.startswith('"') and value.endswith('"') else value for key, value in pairs}


@pytest.mark.parametrize(
    "model", ["plain", "a, b", "C: drive", "two\nlines", 'say "hi", you', "back\\slash, comma", "日本語, é", "emoji 😀:"]
)
def test_web_uis_read_every_setting_back(model):
    got = read_back(parameters_text(facts(model=model), "DPM++ 2M", "Karras"))
    assert got == {
        "Steps": "20",
        "Sampler": "DPM++ 2M",
        "Schedule type": "Karras",
        "CFG scale": "7.5",
        "Seed": "1234",
        "Size": "512x256",
        "Model hash": "0123456789",
        "Model": model,
        "RNG": "CPU",
        "Version": "ldm 0.1.0",
    }


@pytest.mark.parametrize(
    ("model", "written"), [("C: drive", '"C: drive"'), ("a, b", '"a, b"'), ("a\nb", '"a\\nb"'), ("é:", '"é:"'), ('a "b"', 'a "b"')]
)
def test_only_what_would_break_the_line_is_quoted(model, written):
    assert f", Model: {written}, RNG: CPU" in parameters_text(facts(model=model), "Euler", None)


PROMPTS = ["a dog", "café", "日本語 😀👍🏽", "two\nlines, and: a comma", "[/red] <script>", "", "x" * 10_000, "\u202e\x1b[31m"]


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda p: repr(p)[:20])
def test_both_chunks_come_back_from_the_file(prompt, tmp_path):
    path: Path = tmp_path / "x.png"
    mine = facts(prompt=prompt, negative_prompt=prompt)
    Image.new("RGB", (4, 4)).save(path, pnginfo=png_chunks(mine, "Euler", None))
    with Image.open(path) as picture:
        assert set(picture.text) == {"parameters", "ldm"}
        assert picture.text["parameters"] == parameters_text(mine, "Euler", None)
        assert json.loads(picture.text["ldm"]) == mine


def test_the_same_facts_make_the_same_bytes(tmp_path):
    for name, mine in (("a.png", FACTS), ("b.png", dict(reversed(FACTS.items())))):
        Image.new("RGB", (4, 4)).save(tmp_path / name, pnginfo=png_chunks(mine, "Euler", None))
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
